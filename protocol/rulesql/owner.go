package rulesql

import (
	"fmt"
	"strings"
)

// Owner is what the owner of a program adds to the language. A function that is nil is one that queries cannot call there. Values
// are codec.Value, valid as long as the message, or nil, bool, int64, float64, string, []any and map[string]any.
type Owner struct {
	// Shadow returns the shadow document of the message's device as it is stored, nil when there is none.
	Shadow func(e *Env) (any, error)
	// Property returns the latest value of a property of the message's device as it is stored; ok is false when there is none.
	Property func(e *Env, id string) (v any, ok bool, err error)
	// Filter compiles a jq filter. What it returns gives the filter's first output, ok false when there is none.
	Filter func(source string) (func(in any) (out any, ok bool, err error), error)
}

// owned are the functions that an Owner adds.
func owned() []function {
	return []function{
		{name: "get_shadow", params: "t?", compile: (*compiler).shadow},
		{name: "get_property", params: "t", compile: (*compiler).property},
		{name: "jq", params: "tv?", compile: (*compiler).jq},
	}
}

func (c *compiler) lacks(x *Call) evaluator {
	c.fail(x.line, x.column, "it needs a hub", x.Name+" cannot be called here")
	return constant(val{})
}

// shadow compiles get_shadow(), the whole document, and get_shadow('State.Reported.light').
func (c *compiler) shadow(x *Call) evaluator {
	if c.owner.Shadow == nil {
		return c.lacks(x)
	}
	load, path := c.owner.Shadow, constant(text(""))
	if len(x.Args) > 0 {
		path = c.evaluator(x.Args[0])
	}
	return func(e *Env) val {
		if e.shadow == nil {
			if !e.spend(x, readCost) {
				return val{}
			}
			v, err := load(e)
			if err != nil {
				return e.fail(FaultOwner, x, "the shadow cannot be read: "+err.Error())
			}
			doc := val{}
			if v != nil {
				doc = fromAny(v)
			}
			e.shadow = &doc
		}
		return follow(*e.shadow, path(e))
	}
}

// follow walks a path of names between dots.
func follow(v, path val) val {
	if path.kind != vString || path.str == "" {
		return v
	}
	for name := range strings.SplitSeq(path.str, ".") {
		v = v.member(name)
	}
	return v
}

// readCost is what asking the owner costs: a rule may ask a handful of times.
const readCost = MaxSteps / 16

func (c *compiler) property(x *Call) evaluator {
	if c.owner.Property == nil {
		return c.lacks(x)
	}
	load, id := c.owner.Property, c.evaluator(x.Args[0])
	return func(e *Env) val {
		name := id(e)
		if name.kind <= vNull {
			return name
		}
		if !e.spend(x, readCost) {
			return val{}
		}
		v, ok, err := load(e, name.text())
		if err != nil {
			return e.fail(FaultOwner, x, "the property cannot be read: "+err.Error())
		}
		if !ok {
			return val{}
		}
		return fromAny(v)
	}
}

// jq compiles jq('filter'), of the payload, and jq('filter', value).
func (c *compiler) jq(x *Call) evaluator {
	if c.owner.Filter == nil {
		return c.lacks(x)
	}
	source, ok := x.Args[0].(*Literal)
	if !ok || source.value.kind != vString {
		c.fail(x.line, x.column, "write it as a text in quotes", "a jq filter must be a constant")
		return constant(val{})
	}
	run, err := c.owner.Filter(source.value.str)
	if err != nil {
		c.fail(x.line, x.column, "", fmt.Sprintf("the jq filter is wrong: %v", err))
		return constant(val{})
	}
	in := func(e *Env) val { return fromNode(e.Payload) }
	if len(x.Args) == 2 {
		in = c.evaluator(x.Args[1])
	} else {
		c.payload = true
	}
	return func(e *Env) val {
		v := in(e)
		if v.kind == vMissing {
			return v
		}
		if !e.spend(x, readCost) {
			return val{}
		}
		if v.box != nil && len(v.appendJSON(nil)) > MaxText {
			return e.tooLong(x)
		}
		out, ok, err := run(v.any())
		if err != nil {
			return e.fail(FaultOwner, x, err.Error())
		}
		if !ok {
			return val{}
		}
		return fromAny(out)
	}
}
