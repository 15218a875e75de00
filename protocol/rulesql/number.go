package rulesql

import (
	"math"
)

// numbers are the functions of numbers. What has no result, as asin(2), is null.
func numbers() []function {
	return []function{
		{name: "abs", params: "n", is: stock, run: absolute},
		{name: "floor", params: "n", is: stock, run: whole(math.Floor)},
		{name: "ceil", params: "n", run: whole(math.Ceil)},
		{name: "round", params: "ni?", run: digits(math.Round)},
		{name: "trunc", params: "ni?", run: digits(math.Trunc)},
		{name: "sign", params: "n", run: func(_ *Env, _ *Call, v, _, _ val) val { o, _ := compare(v, integer(0)); return integer(int64(o)) }},
		{name: "mod", params: "nn", run: modulo},
		{name: "power", params: "nn", run: two(math.Pow)},
		{name: "sqrt", params: "n", run: one(math.Sqrt)},
		{name: "cbrt", params: "n", run: one(math.Cbrt)},
		{name: "exp", params: "n", is: stock, run: one(math.Exp)},
		{name: "ln", params: "n", run: one(math.Log)},
		{name: "log2", params: "n", run: one(math.Log2)},
		{name: "log10", params: "n", run: one(math.Log10)},
		{name: "sin", params: "n", is: stock, run: one(math.Sin)},
		{name: "cos", params: "n", is: stock, run: one(math.Cos)},
		{name: "tan", params: "n", is: stock, run: one(math.Tan)},
		{name: "asin", params: "n", is: stock, run: one(math.Asin)},
		{name: "acos", params: "n", run: one(math.Acos)},
		{name: "atan", params: "n", run: one(math.Atan)},
		{name: "atan2", params: "nn", run: two(math.Atan2)},
		{name: "sinh", params: "n", is: stock, run: one(math.Sinh)},
		{name: "cosh", params: "n", is: stock, run: one(math.Cosh)},
		{name: "tanh", params: "n", is: stock, run: one(math.Tanh)},
		{name: "asinh", params: "n", run: one(math.Asinh)},
		{name: "acosh", params: "n", run: one(math.Acosh)},
		{name: "atanh", params: "n", run: one(math.Atanh)},
		{name: "degrees", params: "n", run: one(func(f float64) float64 { return f * 180 / math.Pi })},
		{name: "radians", params: "n", run: one(func(f float64) float64 { return f * math.Pi / 180 })},
		{name: "pi", run: func(*Env, *Call, val, val, val) val { return float(math.Pi) }},
		{name: "greatest", params: "v…", many: extreme(1)},
		{name: "least", params: "v…", many: extreme(-1)},
		{name: "clamp", params: "nnn", run: clamp},
	}
}

// finite makes a value of a result; of one that is none, null.
func (e *Env) finite(x *Call, f float64) val {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return e.unfit(x, "there is no such number")
	}
	return float(f)
}

func one(f func(float64) float64) func(*Env, *Call, val, val, val) val {
	return func(e *Env, x *Call, v, _, _ val) val { return e.finite(x, f(v.float())) }
}

func two(f func(a, b float64) float64) func(*Env, *Call, val, val, val) val {
	return func(e *Env, x *Call, a, b, _ val) val { return e.finite(x, f(a.float(), b.float())) }
}

func absolute(_ *Env, _ *Call, v, _, _ val) val {
	if v.kind == vFloat {
		return float(math.Abs(v.float()))
	}
	if v.num < 0 {
		return negative(integer(v.num))
	}
	return integer(v.num)
}

// fitting is an integer where f fits in one.
func fitting(f float64) val {
	if math.Abs(f) < 1<<62 {
		return integer(int64(f))
	}
	return float(f)
}

func whole(f func(float64) float64) func(*Env, *Call, val, val, val) val {
	return func(_ *Env, _ *Call, v, _, _ val) val {
		if v.kind != vFloat {
			return integer(v.num)
		}
		return fitting(f(v.float()))
	}
}

// digits rounds to so many places after the point; without them to an integer.
func digits(f func(float64) float64) func(*Env, *Call, val, val, val) val {
	return func(e *Env, x *Call, v, places, _ val) val {
		switch {
		case v.kind != vFloat:
			return integer(v.num)
		case places.kind == vMissing:
			return fitting(f(v.float()))
		case places.num < 0 || places.num > 15:
			return e.unfit(x, "there can be 0 to 15 places after the point")
		}
		scale := math.Pow(10, float64(places.num))
		if r := f(v.float()*scale) / scale; !math.IsInf(r, 0) {
			return float(r)
		}
		return v
	}
}

func modulo(e *Env, x *Call, a, b, _ val) val {
	if b.float() == 0 {
		e.note(FaultZero, x, "division by zero")
		return null()
	}
	if a.kind != vFloat && b.kind != vFloat {
		return remainder(a.num, b.num)
	}
	return remainderFloats(a.float(), b.float())
}

// extreme is the first argument that no other surpasses; those that are missing or null are left out.
func extreme(sign ordering) func(*Env, *Call, []val) val {
	return func(e *Env, x *Call, args []val) val { return e.pick(x, args, sign) }
}

func (e *Env) pick(x *Call, list []val, sign ordering) val {
	best := null()
	for _, v := range list {
		if v.kind <= vNull {
			continue
		}
		if best.kind == vNull {
			best = v
			continue
		}
		o, ok := compare(v, best)
		if !ok {
			return e.fail(FaultType, x, "arrays and objects have no order")
		}
		if o == sign {
			best = v
		}
	}
	return best
}

func clamp(e *Env, x *Call, v, low, high val) val {
	if o, _ := compare(low, high); o > 0 {
		return e.unfit(x, "the lower bound is above the upper one")
	}
	if o, _ := compare(v, low); o < 0 {
		return low
	}
	if o, _ := compare(v, high); o > 0 {
		return high
	}
	return v
}
