package rulesql

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"
)

// function is one that queries can call.
type function struct {
	few, many int  // arguments
	star      bool // takes * for the raw payload, instead of arguments
	run       func(e *Env, x *Call, args []evaluator) val
}

// functions returns all of them by name. It is called by the compiler only; programs hold what they use.
func functions() map[string]function {
	return map[string]function{
		"deviceSN":  {run: func(e *Env, _ *Call, _ []evaluator) val { return text(e.Device.SN) }},
		"productSN": {run: func(e *Env, _ *Call, _ []evaluator) val { return text(e.Device.Product) }},
		"clientID":  {run: func(e *Env, _ *Call, _ []evaluator) val { return text(e.Device.ClientID()) }},
		"messageID": {run: func(e *Env, _ *Call, _ []evaluator) val { return text(e.MessageID.String()) }},
		"qos":       {run: func(e *Env, _ *Call, _ []evaluator) val { return integer(int64(e.QoS)) }},
		"timestamp": {run: func(e *Env, _ *Call, _ []evaluator) val { return integer(e.Time.UnixMilli()) }},
		"topic":     {many: 1, run: topicLevel},
		"rand":      {run: func(*Env, *Call, []evaluator) val { return float(rand.Float64()) }},

		"abs":   {few: 1, many: 1, run: absolute},
		"floor": {few: 1, many: 1, run: floor},
		"asin":  number(math.Asin),
		"cos":   number(math.Cos),
		"cosh":  number(math.Cosh),
		"exp":   number(math.Exp),
		"sin":   number(math.Sin),
		"sinh":  number(math.Sinh),
		"tan":   number(math.Tan),
		"tanh":  number(math.Tanh),

		"concat":   {few: 1, many: 16, run: concat},
		"endswith": {few: 2, many: 2, run: endsWith},
		"lower":    textual(strings.ToLower),
		"upper":    textual(strings.ToUpper),
		"replace":  {few: 3, many: 3, run: replace},
		"to_base64": {few: 1, many: 1, star: true, run: func(e *Env, x *Call, args []evaluator) val {
			if args == nil {
				return text(base64.StdEncoding.EncodeToString(e.Raw))
			}
			return onText(args[0](e), func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })
		}},
	}
}

// call compiles a function call. Names are taken as they are written first, then without regard to case.
func (c *compiler) call(x *Call) evaluator {
	all := functions()
	f, ok := all[x.Name]
	if !ok {
		var names []string
		for name := range all {
			names = append(names, name)
			if strings.EqualFold(name, x.Name) {
				f, ok = all[name], true
			}
		}
		if !ok {
			sort.Strings(names)
			c.fail(x, "there are "+strings.Join(names, " "), "no function is called "+x.Name)
			return constant(val{})
		}
	}
	if len(x.Args) == 1 {
		if _, star := x.Args[0].(*Star); star {
			if !f.star {
				c.fail(x, "only to_base64(*) takes the whole payload", x.Name+" does not take *")
			}
			return func(e *Env) val { return f.run(e, x, nil) }
		}
	}
	if len(x.Args) < f.few || len(x.Args) > max(f.few, f.many) {
		c.fail(x, "", fmt.Sprintf("%s takes %s, not %d", x.Name, f.count(), len(x.Args)))
	}
	args := make([]evaluator, len(x.Args))
	for i, a := range x.Args {
		args[i] = c.evaluator(a)
	}
	return func(e *Env) val { return f.run(e, x, args) }
}

func (f *function) count() string {
	most := max(f.few, f.many)
	s := strconv.Itoa(most) + " arguments"
	if most == 1 {
		s = "1 argument"
	}
	if f.few == most {
		return s
	}
	return strconv.Itoa(f.few) + " to " + s
}

// topicLevel is topic(), the whole topic, and topic(n), its n-th level from 1; missing if there is none.
func topicLevel(e *Env, x *Call, args []evaluator) val {
	if len(args) == 0 {
		return text(e.Topic)
	}
	n := args[0](e)
	if n.kind <= vNull {
		return val{}
	}
	if n.kind != vInt {
		return e.fail(x, "the level of a topic is a whole number")
	}
	rest := strings.TrimPrefix(e.Topic, "/")
	for i := int64(1); ; i++ {
		level, after, more := strings.Cut(rest, "/")
		if i == n.num {
			return text(level)
		}
		if !more || i > n.num {
			return val{}
		}
		rest = after
	}
}

// number makes a function of one number. What has no result, as asin(2), is null.
func number(f func(float64) float64) function {
	return function{few: 1, many: 1, run: func(e *Env, x *Call, args []evaluator) val {
		switch v := args[0](e); v.kind {
		case vMissing, vNull:
			return v
		case vBool, vInt, vFloat:
			if r := f(v.float()); !math.IsNaN(r) {
				return float(r)
			}
			return val{kind: vNull}
		}
		return e.fail(x, "the argument is not a number")
	}}
}

func absolute(e *Env, x *Call, args []evaluator) val {
	switch v := args[0](e); v.kind {
	case vInt:
		if v.num < 0 {
			return negative(v)
		}
		return v
	case vMissing, vNull:
		return v
	case vBool, vFloat:
		return float(math.Abs(v.float()))
	}
	return e.fail(x, "the argument is not a number")
}

// floor gives an integer where the result fits in one.
func floor(e *Env, x *Call, args []evaluator) val {
	switch v := args[0](e); v.kind {
	case vMissing, vNull, vInt:
		return v
	case vBool, vFloat:
		f := math.Floor(v.float())
		if math.Abs(f) < 1<<62 {
			return integer(int64(f))
		}
		return float(f)
	}
	return e.fail(x, "the argument is not a number")
}

// onText applies f to the value as a string; what is missing or null stays so.
func onText(v val, f func(string) string) val {
	if v.kind <= vNull {
		return v
	}
	return text(f(v.text()))
}

func textual(f func(string) string) function {
	return function{few: 1, many: 1, run: func(e *Env, _ *Call, args []evaluator) val { return onText(args[0](e), f) }}
}

func concat(e *Env, _ *Call, args []evaluator) val {
	var b []byte
	for _, a := range args {
		v := a(e)
		if v.kind <= vNull {
			return v
		}
		b = v.appendText(b)
	}
	return text(string(b))
}

func endsWith(e *Env, _ *Call, args []evaluator) val {
	s, end := args[0](e), args[1](e)
	if s.kind <= vNull || end.kind <= vNull {
		return val{kind: vNull}
	}
	return boolean(strings.HasSuffix(s.text(), end.text()))
}

// maxText bounds what replace can make of a message.
const maxText = 1 << 20

func replace(e *Env, x *Call, args []evaluator) val {
	s, from, to := args[0](e), args[1](e), args[2](e)
	if s.kind <= vNull || from.kind <= vNull || to.kind <= vNull {
		return val{kind: min(s.kind, from.kind, to.kind)}
	}
	old, with := from.text(), to.text()
	if old == "" {
		return text(s.text())
	}
	if len(s.text())+strings.Count(s.text(), old)*len(with) > maxText {
		return e.fail(x, "the result is longer than 1 MiB")
	}
	return text(strings.ReplaceAll(s.text(), old, with))
}
