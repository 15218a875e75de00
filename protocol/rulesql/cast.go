package rulesql

import (
	"math"
	"strconv"
	"strings"
)

// casts are the functions of types, and those that ask for null and missing.
func casts() []function {
	return []function{
		{name: "to_int", params: "v", run: toInt},
		{name: "to_float", params: "v", run: toFloat},
		{name: "to_string", params: "t", run: func(_ *Env, _ *Call, s, _, _ val) val { return s }},
		{name: "to_bool", params: "v", run: toBool},
		{name: "typeof", params: "v", is: asks, run: func(_ *Env, _ *Call, v, _, _ val) val { return text(v.typeOf()) }},
		{name: "is_bool", params: "v", is: asks, run: typed(func(v val) bool { return v.kind == vBool })},
		{name: "is_int", params: "v", is: asks, run: typed(func(v val) bool { return v.kind == vInt })},
		{name: "is_float", params: "v", is: asks, run: typed(func(v val) bool { return v.kind == vFloat })},
		{name: "is_number", params: "v", is: asks, run: typed(func(v val) bool { return v.kind == vInt || v.kind == vFloat })},
		{name: "is_string", params: "v", is: asks, run: typed(func(v val) bool { return v.kind == vString })},
		{name: "is_array", params: "v", is: asks, run: typed(val.isArray)},
		{name: "is_object", params: "v", is: asks, run: typed(val.isObject)},
		{name: "isnull", params: "v", is: asks, run: typed(func(v val) bool { return v.kind <= vNull })},
		{name: "ismissing", params: "v", is: asks, run: typed(func(v val) bool { return v.kind == vMissing })},
		{name: "coalesce", params: "v…", is: asks, lazy: coalesce},
		{name: "nullif", params: "vv", run: func(_ *Env, _ *Call, v, w, _ val) val {
			if o, ok := compare(v, w); ok && o == 0 {
				return null()
			}
			return v
		}},
	}
}

func typed(f func(val) bool) func(*Env, *Call, val, val, val) val {
	return func(_ *Env, _ *Call, v, _, _ val) val { return boolean(f(v)) }
}

// typeOf names the type of a value.
func (v val) typeOf() string {
	switch {
	case v.isArray():
		return "array"
	case v.isObject():
		return "object"
	}
	return [...]string{"missing", "null", "bool", "int", "float", "string", "null"}[v.kind]
}

// coalesce is the first argument that is neither missing nor null; those behind it are not evaluated.
func coalesce(e *Env, _ *Call, args []evaluator) val {
	v := null()
	for _, a := range args {
		if v = a(e); v.kind > vNull {
			return v
		}
	}
	return v
}

func toInt(e *Env, x *Call, v, _, _ val) val {
	switch v.kind {
	case vMissing, vNull, vInt:
		return v
	case vBool:
		return integer(v.num)
	case vString:
		s := strings.TrimSpace(v.str)
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return integer(n)
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) {
			return e.unfit(x, "the text is not a number")
		}
		v = float(f)
	}
	if v.kind != vFloat {
		return e.fail(FaultType, x, "argument 1 is "+v.typeName()+", which is no number")
	}
	f := math.Trunc(v.float())
	if f < -1<<63 || f >= 1<<63 {
		return e.unfit(x, "the number does not fit in 64 bits")
	}
	return integer(int64(f))
}

func toFloat(e *Env, x *Call, v, _, _ val) val {
	switch v.kind {
	case vMissing, vNull, vFloat:
		return v
	case vBool, vInt:
		return float(float64(v.num))
	case vString:
		f, err := strconv.ParseFloat(strings.TrimSpace(v.str), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return e.unfit(x, "the text is not a number")
		}
		return float(f)
	}
	return e.fail(FaultType, x, "argument 1 is "+v.typeName()+", which is no number")
}

func toBool(e *Env, x *Call, v, _, _ val) val {
	switch v.kind {
	case vMissing, vNull, vBool:
		return v
	case vInt, vFloat:
		return boolean(v.float() != 0)
	case vString:
		switch strings.ToLower(strings.TrimSpace(v.str)) {
		case "true", "on", "yes", "1":
			return boolean(true)
		case "false", "off", "no", "0":
			return boolean(false)
		}
		return e.unfit(x, "the text is neither true nor false")
	}
	return e.fail(FaultType, x, "argument 1 is "+v.typeName()+", which is neither true nor false")
}
