package worker

import (
	"strings"

	"github.com/dop251/goja"
)

// console keeps the beginning of what a script prints.
type console struct {
	b    strings.Builder
	room int
}

// install gives the script console.log and its kin, which are all the same here.
func (c *console) install(rt *goja.Runtime, room int) {
	c.room = room
	o, print := rt.NewObject(), rt.ToValue(c.print)
	for _, name := range []string{"log", "info", "warn", "error", "debug"} {
		_ = o.Set(name, print) // an object of our own takes it
	}
	_ = rt.Set("console", o)
}

// print is console.log.
func (c *console) print(call goja.FunctionCall) goja.Value {
	for i, v := range call.Arguments {
		if i > 0 {
			c.add(" ")
		}
		if c.room > 0 { // what is not kept is not made either
			c.add(show(v))
		}
	}
	c.add("\n")
	return goja.Undefined()
}

func (c *console) add(s string) {
	if c.room <= 0 {
		return
	}
	s = cut(s, c.room)
	c.room -= len(s)
	c.b.WriteString(s)
}

func (c *console) String() string { return c.b.String() }

// show is a value as it is printed: objects as JSON, where they have some.
func show(v goja.Value) string {
	o, ok := v.(*goja.Object)
	if !ok || o.ClassName() == "Error" {
		return v.String()
	}
	b, err := o.MarshalJSON()
	if err != nil {
		return v.String()
	}
	return string(b)
}
