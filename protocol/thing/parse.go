package thing

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// reader turns a decoded definition into a Template and notes what has the wrong shape. What has the right shape but a
// wrong content is left to Validate.
type reader struct{ faults faults }

func (r *reader) template(v codec.Value) *Template {
	t := &Template{}
	if v.Kind() != codec.Object {
		r.faults.add("Template", "must be an object with Property, Event and Command")
		return t
	}
	r.each(v.Get("Property"), "Property", func(path string, e codec.Value) {
		t.Property = append(t.Property, Property{
			Identifier:  r.str(e, path, "Identifier"),
			Name:        r.str(e, path, "Name"),
			Description: r.str(e, path, "Description"),
			PropertyID:  r.id(e, path, "PropertyID"),
			AccessMode:  r.str(e, path, "AccessMode"),
			DataType:    r.dataType(e.Get("DataType"), path+".DataType", 1),
		})
	})
	r.each(v.Get("Event"), "Event", func(path string, e codec.Value) {
		t.Event = append(t.Event, Event{
			Identifier:  r.str(e, path, "Identifier"),
			Name:        r.str(e, path, "Name"),
			Description: r.str(e, path, "Description"),
			EventID:     r.id(e, path, "EventID"),
			Type:        r.str(e, path, "Type"),
			Output:      r.parameters(e.Get("Output"), path+".Output", 1),
		})
	})
	r.each(v.Get("Command"), "Command", func(path string, e codec.Value) {
		t.Command = append(t.Command, Command{
			Identifier:  r.str(e, path, "Identifier"),
			Name:        r.str(e, path, "Name"),
			Description: r.str(e, path, "Description"),
			CommandID:   r.id(e, path, "CommandID"),
			Input:       r.parameters(e.Get("Input"), path+".Input", 1),
			Output:      r.parameters(e.Get("Output"), path+".Output", 1),
		})
	})
	return t
}

// each calls f for the objects of the list v. An absent or null list is an empty one.
func (r *reader) each(v codec.Value, path string, f func(path string, e codec.Value)) {
	if absent(v) {
		return
	}
	if v.Kind() != codec.Array {
		r.faults.add(path, "must be an array")
		return
	}
	v.Elems(func(i int, e codec.Value) bool {
		if r.faults.full() {
			return false
		}
		p := at(path, i)
		if e.Kind() != codec.Object {
			r.faults.add(p, "must be an object")
			return true
		}
		name, _ := e.Get("Identifier").Str()
		r.faults.within(name, func() { f(p, e) })
		return true
	})
}

func (r *reader) parameters(v codec.Value, path string, depth int) []Parameter {
	var ps []Parameter
	r.each(v, path, func(path string, e codec.Value) {
		ps = append(ps, Parameter{
			Identifier: r.str(e, path, "Identifier"),
			Name:       r.str(e, path, "Name"),
			DataType:   r.dataType(e.Get("DataType"), path+".DataType", depth),
		})
	})
	return ps
}

func (r *reader) dataType(v codec.Value, path string, depth int) DataType {
	if v.Kind() != codec.Object {
		r.faults.add(path, "must be an object with Type and Spec")
		return DataType{}
	}
	d := DataType{Type: Type(r.str(v, path, "Type"))}
	if depth > MaxNesting {
		return d // Validate refuses the level; its content does not matter
	}
	if d.Type == String {
		d.Length = MaxLength
	}
	spec, at := v.Get("Spec"), path+".Spec"
	if d.Type == Struct {
		d.Members = r.parameters(spec, at, depth+1)
		return d
	}
	if absent(spec) {
		return d
	}
	if spec.Kind() != codec.Object {
		r.faults.add(at, "must be an object for %s", d.Type)
		return d
	}
	switch d.Type {
	case Int32, Float32, Float64:
		d.Min, d.Max, d.Step = r.number(spec, at, "Min"), r.number(spec, at, "Max"), r.number(spec, at, "Step")
		d.UnitName = r.str(spec, at, "UnitName")
	case Bool, Enum:
		d.Labels = r.labels(spec, at)
	case String:
		if n := r.count(spec, at, "Length"); n != 0 {
			d.Length = n
		}
	case Array:
		item := r.dataType(spec.Get("Item"), at+".Item", depth+1)
		d.Item, d.Size = &item, r.count(spec, at, "Size")
	}
	return d
}

// labels reads {"0":"off","1":"on"}.
func (r *reader) labels(v codec.Value, path string) []Label {
	var ls []Label
	v.Each(func(key string, e codec.Value) bool {
		n, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			r.faults.add(path+"."+key, "the name of an item must be a whole number")
			return !r.faults.full()
		}
		text, ok := e.Str()
		if !ok {
			r.faults.add(path+"."+key, "must be a string, the label of the item")
		}
		ls = append(ls, Label{Value: n, Text: strings.Clone(text)})
		return true
	})
	slices.SortStableFunc(ls, func(a, b Label) int { return int(a.Value - b.Value) })
	return ls
}

// str reads a string; an absent one is empty.
func (r *reader) str(v codec.Value, path, name string) string {
	e := v.Get(name)
	if absent(e) {
		return ""
	}
	s, ok := e.Str()
	if !ok {
		r.faults.add(path+"."+name, "must be a string")
	}
	return strings.Clone(s) // the document's memory is used again
}

// id reads an entry's number in its catalogue, which the upstream platform writes as a number and others as text.
func (r *reader) id(v codec.Value, path, name string) string {
	e := v.Get(name)
	if absent(e) || e.Kind() == codec.String {
		return r.str(v, path, name)
	}
	n, ok := e.Int()
	if !ok {
		r.faults.add(path+"."+name, "must be a whole number or a string")
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// number reads a number, or one written as a string; an absent or empty one is nil.
func (r *reader) number(v codec.Value, path, name string) *float64 {
	e := v.Get(name)
	if absent(e) {
		return nil
	}
	if s, ok := e.Str(); ok {
		if s == "" {
			return nil
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			r.faults.add(path+"."+name, "%q is not a number", s)
			return nil
		}
		return &f
	}
	f, ok := e.Float()
	if !ok {
		r.faults.add(path+"."+name, "must be a number")
		return nil
	}
	return &f
}

// count reads a whole number that is at least 1, or one written as a string; an absent one is 0.
func (r *reader) count(v codec.Value, path, name string) int {
	p := r.number(v, path, name)
	if p == nil {
		return 0
	}
	if *p != math.Trunc(*p) || *p < 1 || *p > math.MaxInt32 {
		r.faults.add(path+"."+name, "must be a whole number of at least 1, not %s", decimal(*p))
		return 1
	}
	return int(*p)
}

func absent(v codec.Value) bool { return v.Kind() == codec.Missing || v.Kind() == codec.Null }
