package wot

import (
	"math"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// reader turns a document into a Template.
type reader struct {
	losses thing.Losses
	forms  bool // there were some
}

func (r *reader) document(root codec.Value) *thing.Template {
	t := &thing.Template{}
	r.losses.Unknown(root, "td", "@context", "@type", "title", "properties", "events", "actions")
	r.each(root, "properties", func(name, path string, v codec.Value) {
		if p, ok := r.property(name, path, v); ok {
			t.Property = append(t.Property, p)
		}
	})
	r.each(root, "events", func(name, path string, v codec.Value) {
		t.Event = append(t.Event, r.event(name, path, v))
	})
	r.each(root, "actions", func(name, path string, v codec.Value) {
		t.Command = append(t.Command, r.action(name, path, v))
	})
	if r.forms {
		r.losses.Add("forms", "are dropped everywhere: topics follow from the identifiers")
	}
	return t
}

// each calls f for the members of a map whose names are identifiers; the others are left out.
func (r *reader) each(parent codec.Value, member string, f func(name, path string, v codec.Value)) {
	parent.Get(member).Each(func(name string, v codec.Value) bool {
		path := member + "." + name
		if !thing.ValidIdentifier(name) {
			r.losses.Add(path, "is left out: %q is no identifier here: a letter or _, then letters, digits or _, at most %d", name, thing.MaxIdentifier)
			return true
		}
		if v.Kind() != codec.Object {
			r.losses.Add(path, "is left out: it is no object")
			return true
		}
		r.forms = r.forms || v.Get("forms").Exists()
		f(strings.Clone(name), path, v)
		return true
	})
}

// text is a member that is a string, in memory of its own; "" when it is absent.
func text(v codec.Value, name string) string {
	s, _ := v.Get(name).Str()
	return strings.Clone(s)
}

// number is a member that is a number; nil when it is absent or none.
func (r *reader) number(v codec.Value, path, name string) *float64 {
	e := v.Get(name)
	f, ok := e.Float()
	if !ok {
		if e.Exists() {
			r.losses.Add(path+"."+name, "is dropped: it is no number")
		}
		return nil
	}
	return &f
}

func (r *reader) property(name, path string, v codec.Value) (thing.Property, bool) {
	p := thing.Property{Identifier: name, Name: text(v, "title"), Description: text(v, "description"), PropertyID: text(v, ownID),
		AccessMode: thing.AccessReadWrite}
	if only, _ := v.Get("readOnly").Bool(); only {
		p.AccessMode = thing.AccessRead
	}
	if only, _ := v.Get("writeOnly").Bool(); only {
		p.AccessMode = thing.AccessReadWrite
		r.losses.Add(path+".writeOnly", "becomes rw: there are no properties here that can only be set")
	}
	var ok bool
	p.DataType, ok = r.schema(v, path, 1, "title", "description", ownID, "readOnly", "writeOnly", "observable", "forms")
	return p, ok
}

func (r *reader) event(name, path string, v codec.Value) thing.Event {
	r.losses.Unknown(v, path, "title", "description", "data", "forms", ownID, ownSeverity)
	e := thing.Event{Identifier: name, Name: text(v, "title"), Description: text(v, "description"), EventID: text(v, ownID), Type: text(v, ownSeverity)}
	switch e.Type {
	case thing.EventNotify, thing.EventWarning, thing.EventError:
	default:
		e.Type = thing.EventNotify
	}
	e.Output = r.payload(v.Get("data"), path+".data", "data")
	return e
}

func (r *reader) action(name, path string, v codec.Value) thing.Command {
	r.losses.Unknown(v, path, "title", "description", "input", "output", "forms", ownID)
	return thing.Command{Identifier: name, Name: text(v, "title"), Description: text(v, "description"), CommandID: text(v, ownID),
		Input: r.payload(v.Get("input"), path+".input", "input"), Output: r.payload(v.Get("output"), path+".output", "output")}
}

// payload reads the parameters of an event or a command. What is no object becomes one parameter called name.
func (r *reader) payload(v codec.Value, path, name string) []thing.Parameter {
	if !v.Exists() {
		return nil
	}
	if kind, _ := v.Get("type").Str(); kind == "object" || v.Get("properties").Kind() == codec.Object {
		r.losses.Unknown(v, path, "type", "properties")
		return r.parameters(v, path, 1)
	}
	d, ok := r.schema(v, path, 1, "title")
	if !ok {
		return nil
	}
	r.losses.Add(path, "becomes a parameter %q: parameters have names here", name)
	return []thing.Parameter{{Identifier: name, Name: text(v, "title"), DataType: d}}
}

func (r *reader) parameters(v codec.Value, path string, depth int) []thing.Parameter {
	var ps []thing.Parameter
	v.Get("properties").Each(func(name string, e codec.Value) bool {
		at := path + ".properties." + name
		if !thing.ValidIdentifier(name) {
			r.losses.Add(at, "is left out: %q is no identifier here", name)
			return true
		}
		if d, ok := r.schema(e, at, depth, "title"); ok {
			ps = append(ps, thing.Parameter{Identifier: strings.Clone(name), Name: text(e, "title"), DataType: d})
		}
		return true
	})
	return ps
}

// schema reads a data schema; ok is false, and the entry is left out, for one that has no type here. also are members that
// the caller has read.
func (r *reader) schema(v codec.Value, path string, depth int, also ...string) (d thing.DataType, ok bool) {
	if depth > thing.MaxNesting {
		r.losses.Add(path, "is left out: types are nested deeper than %d levels", thing.MaxNesting)
		return d, false
	}
	known := append([]string{"type", ownType}, also...)
	kind, _ := v.Get("type").Str()
	own := text(v, ownType)
	switch kind {
	case "boolean":
		d.Type = thing.Bool
		known = append(known, ownLabels)
		r.labels(&d, v.Get(ownLabels))
	case "integer", "number":
		return r.numeric(v, path, kind, thing.Type(own), known)
	case "string":
		known = r.text(&d, v, path, known)
	case "array":
		r.losses.Unknown(v, path, append(known, "items", "maxItems")...)
		return r.array(v, path, depth)
	case "object":
		r.losses.Unknown(v, path, append(known, "properties")...)
		d.Type = thing.Struct
		if d.Members = r.parameters(v, path, depth+1); len(d.Members) == 0 {
			r.losses.Add(path, "is left out: a struct needs members")
			return d, false
		}
		return d, true
	default:
		r.losses.Add(path, "is left out: there is no type %q here", kind)
		return d, false
	}
	r.losses.Unknown(v, path, known...)
	return d, true
}

func (r *reader) array(v codec.Value, path string, depth int) (d thing.DataType, ok bool) {
	d.Type, d.Size = thing.Array, thing.MaxSize
	switch n := r.number(v, path, "maxItems"); {
	case n == nil:
		r.losses.Add(path+".maxItems", "is absent and becomes %d", thing.MaxSize)
	case *n < 1 || *n > thing.MaxSize || *n != math.Trunc(*n):
		r.losses.Add(path+".maxItems", "becomes %d: 1 to %d is possible here", thing.MaxSize, thing.MaxSize)
	default:
		d.Size = int(*n)
	}
	if v.Get("items").Kind() != codec.Object {
		r.losses.Add(path+".items", "the array is left out: its elements need one type")
		return d, false
	}
	item, ok := r.schema(v.Get("items"), path+".items", depth+1)
	d.Item = &item
	return d, ok
}

// text reads a string, or a date that is written as one.
func (r *reader) text(d *thing.DataType, v codec.Value, path string, known []string) []string {
	if f, _ := v.Get("format").Str(); f == "date-time" {
		d.Type = thing.Date
		r.losses.Add(path+".format", "becomes a date: devices send it as milliseconds, not as text")
		return append(known, "format")
	}
	d.Type, d.Length = thing.String, thing.MaxLength
	if n := r.number(v, path, "maxLength"); n != nil {
		if *n >= 1 && *n <= thing.MaxLength && *n == math.Trunc(*n) {
			d.Length = int(*n)
		} else {
			r.losses.Add(path+".maxLength", "becomes %d: 1 to %d is possible here", thing.MaxLength, thing.MaxLength)
		}
	}
	return append(known, "maxLength")
}

// numeric reads numbers, dates and enums, which are integers with names.
func (r *reader) numeric(v codec.Value, path, kind string, own thing.Type, known []string) (d thing.DataType, ok bool) {
	if own == thing.Enum || own == "" && kind == "integer" && v.Get("oneOf").Kind() == codec.Array {
		r.losses.Unknown(v, path, append(known, "oneOf")...)
		d.Type = thing.Enum
		return d, r.items(&d, v.Get("oneOf"), path+".oneOf")
	}
	if own == thing.Date {
		r.losses.Unknown(v, path, append(known, "unit", "minimum")...)
		d.Type = thing.Date
		return d, true
	}
	r.losses.Unknown(v, path, append(known, "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "unit")...)
	switch {
	case own == thing.Int32 || own == thing.Float32 || own == thing.Float64:
		d.Type = own
	case kind == "integer":
		d.Type = thing.Int32
	default:
		d.Type = thing.Float64
	}
	d.Min = r.bound(v, path, "minimum", "exclusiveMinimum", d.Type, 1)
	d.Max = r.bound(v, path, "maximum", "exclusiveMaximum", d.Type, -1)
	d.Step, d.UnitName = r.number(v, path, "multipleOf"), text(v, "unit")
	if d.Step != nil && *d.Step <= 0 {
		r.losses.Add(path+".multipleOf", "is dropped: it must be more than 0")
		d.Step = nil
	}
	return d, true
}

// bound reads a bound; towards says in which direction an exclusive one has to be moved to be an inclusive one.
func (r *reader) bound(v codec.Value, path, name, exclusive string, t thing.Type, towards float64) *float64 {
	p := r.number(v, path, name)
	if e := r.number(v, path, exclusive); e != nil {
		switch {
		case t != thing.Int32:
			r.losses.Add(path+"."+exclusive, "becomes %s: bounds are part of the range here", name)
		case *e == math.Trunc(*e):
			*e += towards
		}
		p = e
	}
	if p == nil || t != thing.Int32 {
		return p
	}
	n := min(max(*p, math.MinInt32), math.MaxInt32)
	if towards > 0 {
		n = math.Ceil(n)
	} else {
		n = math.Floor(n)
	}
	if n != *p {
		r.losses.Add(path+"."+name, "becomes %v: integers have 32 bits here", int64(n))
	}
	return &n
}

// items reads [{"const":0,"title":"off"},…].
func (r *reader) items(d *thing.DataType, v codec.Value, path string) bool {
	ok := true
	v.Elems(func(_ int, e codec.Value) bool {
		n, whole := e.Get("const").Int()
		if ok = whole && n >= math.MinInt32 && n <= math.MaxInt32; !ok {
			return false
		}
		d.Labels = append(d.Labels, thing.Label{Value: n, Text: text(e, "title")})
		return true
	})
	if !ok || len(d.Labels) < 1 || len(d.Labels) > thing.MaxEnumItems {
		r.losses.Add(path, "the entry is left out: an enum is 1 to %d integers with titles here", thing.MaxEnumItems)
		return false
	}
	slices.SortStableFunc(d.Labels, func(a, b thing.Label) int { return int(a.Value - b.Value) })
	return true
}

// labels reads {"0":"off","1":"on"}, our own form for a bool.
func (r *reader) labels(d *thing.DataType, v codec.Value) {
	for n, key := range [...]string{"0", "1"} {
		if label, ok := v.Get(key).Str(); ok {
			d.Labels = append(d.Labels, thing.Label{Value: int64(n), Text: strings.Clone(label)})
		}
	}
}
