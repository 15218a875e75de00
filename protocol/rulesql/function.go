package rulesql

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hawser-iot/hawser/protocol/nearest"
)

// function is one that queries can call. Exactly one of run, many, lazy and compile is set.
type function struct {
	name string
	// params has a letter for each argument: t text, n number, i whole number, a array, o object, v anything; ? after those
	// that may be left out, and … at the end when the last may be repeated. An argument that is missing or null makes the
	// result so, except for v.
	params string
	is     traits

	run     func(e *Env, x *Call, a, b, c val) val // absent arguments are missing
	many    func(e *Env, x *Call, args []val) val
	lazy    func(e *Env, x *Call, args []evaluator) val
	compile func(c *compiler, x *Call) evaluator
}

// traits say where a function may be used.
type traits uint8

const (
	stock  traits = 1 << iota // in the stock dialect too
	binary                    // in rules for binary messages too
	star                      // takes * for the payload as it came
	asks                      // its arguments may be missing
)

// table has all functions by name, once it was asked for. Its makers refer to it, so that it cannot be made at the start.
var table struct {
	once sync.Once
	all  map[string]*function
}

func functions() map[string]*function {
	table.once.Do(func() {
		table.all = map[string]*function{}
		for _, family := range [][]function{identities(), numbers(), texts(), patterns(), times(), casts(), lists(), objects(), encodings(), hashes(), bitwise(), owned()} {
			for i := range family {
				table.all[family[i].name] = &family[i]
			}
		}
	})
	return table.all
}

// FunctionNames lists what can be called in a dialect, in alphabetical order.
func FunctionNames(d Dialect) []string {
	var names []string
	for name, f := range functions() {
		if d != Stock || f.is&stock != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// lookUp finds a function: as it is written first, then without regard to case.
func (c *compiler) lookUp(x *Call) *function {
	all := functions()
	f := all[x.Name]
	if f == nil {
		for name := range all {
			if strings.EqualFold(name, x.Name) {
				f = all[name]
			}
		}
	}
	switch {
	case f == nil:
		hint := "docs/rules.md lists the functions"
		if near := nearest.Word(x.Name, FunctionNames(c.dialect)); near != "" {
			hint = "did you mean " + near + "?"
		}
		c.fail(x.line, x.column, hint, "no function is called "+x.Name)
	case c.dialect == Stock && f.is&stock == 0:
		c.fail(x.line, x.column, "set the rule's dialect to 2 for it", "the stock dialect (1) has no function "+f.name)
		f = nil
	case c.binary && f.is&binary == 0:
		c.fail(x.line, x.column, "a rule for binary messages can use "+strings.Join(binaryNames(), " "), f.name+" needs a payload that is JSON")
		f = nil
	}
	return f
}

func binaryNames() []string {
	var names []string
	for name, f := range functions() {
		if f.is&binary != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// call compiles a function call.
func (c *compiler) call(x *Call) evaluator {
	f := c.lookUp(x)
	if f == nil {
		return constant(val{})
	}
	if len(x.Args) == 1 {
		if _, all := x.Args[0].(*Star); all {
			return c.callStar(f, x)
		}
	}
	if few, many := f.count(); len(x.Args) < few || len(x.Args) > many {
		c.fail(x.line, x.column, f.usage(), fmt.Sprintf("%s takes %s, not %d", f.name, f.counted(), len(x.Args)))
		return constant(val{})
	}
	if f.compile != nil {
		return f.compile(c, x)
	}
	if f.is&asks != 0 {
		c.quiet++
		defer func() { c.quiet-- }()
	}
	args := c.evaluators(x.Args)
	switch {
	case f.lazy != nil:
		return func(e *Env) val { return f.lazy(e, x, args) }
	case f.many != nil:
		return f.callMany(x, args)
	}
	return f.callRun(x, args)
}

// callStar compiles f(*), which takes the payload as it came.
func (c *compiler) callStar(f *function, x *Call) evaluator {
	if f.is&star == 0 {
		c.fail(x.line, x.column, "functions of bytes do, such as to_base64(*)", f.name+" does not take *")
		return constant(val{})
	}
	return func(e *Env) val {
		if !e.spend(x, len(e.Raw)/16) {
			return val{}
		}
		return f.run(e, x, text(string(e.Raw)), val{}, val{})
	}
}

// callRun compiles a call with at most three arguments, which allocates nothing itself.
func (f *function) callRun(x *Call, args []evaluator) evaluator {
	kinds := f.kinds()
	return func(e *Env) val {
		var v [3]val
		for i, arg := range args {
			var ok bool
			if v[i], ok = e.argument(x, i, kinds[i], arg(e)); !ok {
				return v[i]
			}
		}
		return e.result(x, f.run(e, x, v[0], v[1], v[2]))
	}
}

func (f *function) callMany(x *Call, args []evaluator) evaluator {
	kinds := f.kinds()
	return func(e *Env) val {
		v := make([]val, len(args))
		for i, arg := range args {
			var ok bool
			if v[i], ok = e.argument(x, i, kinds[min(i, len(kinds)-1)], arg(e)); !ok {
				return v[i]
			}
		}
		return e.result(x, f.many(e, x, v))
	}
}

// argument converts an argument to what a function takes. ok is false when what it returns is the result already.
func (e *Env) argument(x *Call, i int, kind byte, v val) (_ val, ok bool) {
	if kind == 'v' {
		return v, e.err == nil
	}
	if v.kind <= vNull {
		return v, false
	}
	what := ""
	switch kind {
	case 't':
		if v.kind != vString {
			v = text(v.text())
		}
		return v, e.spend(x, len(v.str)/16)
	case 'n':
		if v.number() {
			return v, true
		}
		what = "a number"
	case 'i':
		if v.kind == vFloat && v.float() == math.Trunc(v.float()) && math.Abs(v.float()) < 1<<62 {
			v = integer(int64(v.float()))
		}
		if v.kind == vInt || v.kind == vBool {
			return v, true
		}
		what = "a whole number"
	case 'a':
		if v.isArray() {
			return v, e.spend(x, v.length())
		}
		what = "an array"
	case 'o':
		if v.isObject() {
			return v, e.spend(x, v.length())
		}
		what = "an object"
	}
	return e.fail(FaultType, x, "argument "+strconv.Itoa(i+1)+" is "+v.typeName()+", not "+what), false
}

// result pays for what a function has made, and holds it to the limits.
func (e *Env) result(x *Call, v val) val {
	switch {
	case v.kind == vString:
		return e.made(x, v.str)
	case v.box != nil:
		return e.boxed(x, v)
	}
	return v
}

// unfit notes an argument that a function can make nothing of: the result is null.
func (e *Env) unfit(x *Call, reason string) val {
	e.note(FaultArgument, x, reason)
	return null()
}

// typeName is what typeof says, with an article.
func (v val) typeName() string {
	switch name := v.typeOf(); name {
	case "int", "array", "object":
		return "an " + name
	case "null", "missing":
		return name
	default:
		return "a " + name
	}
}

// kinds are the letters of the arguments.
func (f *function) kinds() []byte {
	var out []byte
	for _, r := range f.params {
		if r < 0x80 && r != '?' {
			out = append(out, byte(r))
		}
	}
	return out
}

// maxArguments bounds those that may be repeated.
const maxArguments = 32

// count is how many arguments f takes.
func (f *function) count() (few, many int) {
	many = len(f.kinds())
	few = many - strings.Count(f.params, "?")
	if strings.HasSuffix(f.params, "…") {
		many = maxArguments
	}
	return few, many
}

func (f *function) counted() string {
	few, many := f.count()
	s := strconv.Itoa(many) + " arguments"
	if many == 1 {
		s = "1 argument"
	}
	switch few {
	case many:
		return s
	case many - 1:
		return strconv.Itoa(few) + " or " + s
	}
	return strconv.Itoa(few) + " to " + s
}

// usage shows how f is called.
func (f *function) usage() string {
	words := map[byte]string{'t': "text", 'n': "number", 'i': "integer", 'a': "array", 'o': "object", 'v': "value"}
	few, _ := f.count()
	var b strings.Builder
	for i, k := range f.kinds() {
		switch {
		case i >= few && i == 0:
			b.WriteString("[" + words[k] + "]")
		case i >= few:
			b.WriteString("[, " + words[k] + "]")
		case i > 0:
			b.WriteString(", " + words[k])
		default:
			b.WriteString(words[k])
		}
	}
	if strings.HasSuffix(f.params, "…") {
		b.WriteString(", …")
	}
	return f.name + "(" + b.String() + ")"
}
