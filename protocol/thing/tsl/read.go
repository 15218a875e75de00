package tsl

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// reader turns a document into a Template.
type reader struct{ losses thing.Losses }

func (r *reader) document(root codec.Value) *thing.Template {
	t := &thing.Template{}
	r.losses.Unknown(root, "tsl", "schema", "profile", "properties", "events", "services")
	root.Get("properties").Elems(func(i int, v codec.Value) bool {
		if p, ok := r.property(v, at("properties", i)); ok {
			t.Property = append(t.Property, p)
		}
		return true
	})
	root.Get("events").Elems(func(i int, v codec.Value) bool {
		if e, ok := r.event(v, at("events", i)); ok {
			t.Event = append(t.Event, e)
		}
		return true
	})
	root.Get("services").Elems(func(i int, v codec.Value) bool {
		if c, ok := r.service(v, at("services", i)); ok {
			t.Command = append(t.Command, c)
		}
		return true
	})
	return t
}

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// text is a member that is a string, in memory of its own; "" when it is absent.
func text(v codec.Value, name string) string {
	s, _ := v.Get(name).Str()
	return strings.Clone(s)
}

// identifier reads the identifier of an entry; one that is none here leaves the entry out.
func (r *reader) identifier(v codec.Value, path string) (string, bool) {
	id := text(v, "identifier")
	if !thing.ValidIdentifier(id) {
		r.losses.Add(path, "is left out: %q is no identifier here: a letter or _, then letters, digits or _, at most %d", id, thing.MaxIdentifier)
		return "", false
	}
	return id, true
}

func (r *reader) required(v codec.Value, path string) {
	if must, _ := v.Get("required").Bool(); must {
		r.losses.Add(path+".required", "is dropped: no entry is obligatory here")
	}
}

func (r *reader) property(v codec.Value, path string) (p thing.Property, ok bool) {
	if p.Identifier, ok = r.identifier(v, path); !ok {
		return p, false
	}
	r.losses.Unknown(v, path, "identifier", "name", "desc", "accessMode", "required", "dataType")
	r.required(v, path)
	p.Name, p.Description, p.AccessMode = text(v, "name"), text(v, "desc"), text(v, "accessMode")
	switch p.AccessMode {
	case thing.AccessRead, thing.AccessReadWrite:
	case "w":
		p.AccessMode = thing.AccessReadWrite
		r.losses.Add(path+".accessMode", "w becomes rw: there are no properties here that can only be set")
	default:
		r.losses.Add(path+".accessMode", "%q becomes r", p.AccessMode)
		p.AccessMode = thing.AccessRead
	}
	p.DataType, ok = r.dataType(v.Get("dataType"), path+".dataType", 1)
	return p, ok
}

func (r *reader) event(v codec.Value, path string) (e thing.Event, ok bool) {
	if text(v, "method") == methodPost {
		return e, false
	}
	if e.Identifier, ok = r.identifier(v, path); !ok {
		return e, false
	}
	r.losses.Unknown(v, path, "identifier", "name", "desc", "type", "required", "method", "outputData")
	r.required(v, path)
	r.method(v, path, "thing.event."+e.Identifier+".post")
	e.Name, e.Description = text(v, "name"), text(v, "desc")
	if e.Type, ok = translate(severities[:], 1, 0, text(v, "type")); !ok {
		r.losses.Add(path+".type", "%q becomes notify", text(v, "type"))
		e.Type = thing.EventNotify
	}
	e.Output = r.parameters(v.Get("outputData"), path+".outputData", 1)
	return e, true
}

func (r *reader) service(v codec.Value, path string) (c thing.Command, ok bool) {
	if m := text(v, "method"); m == methodSet || m == methodGet {
		return c, false
	}
	if c.Identifier, ok = r.identifier(v, path); !ok {
		return c, false
	}
	r.losses.Unknown(v, path, "identifier", "name", "desc", "required", "method", "callType", "inputData", "outputData")
	r.required(v, path)
	r.method(v, path, "thing.service."+c.Identifier)
	if text(v, "callType") == "sync" {
		r.losses.Add(path+".callType", "sync is dropped: the caller says whether it waits")
	}
	c.Name, c.Description = text(v, "name"), text(v, "desc")
	c.Input = r.parameters(v.Get("inputData"), path+".inputData", 1)
	c.Output = r.parameters(v.Get("outputData"), path+".outputData", 1)
	return c, true
}

// method notes a method that does not follow from the identifier.
func (r *reader) method(v codec.Value, path, want string) {
	if m := text(v, "method"); m != "" && m != want {
		r.losses.Add(path+".method", "%q is dropped: topics follow from the identifier", m)
	}
}

func (r *reader) parameters(v codec.Value, path string, depth int) []thing.Parameter {
	var ps []thing.Parameter
	v.Elems(func(i int, e codec.Value) bool {
		path := at(path, i)
		id, ok := r.identifier(e, path)
		if !ok {
			return true
		}
		r.losses.Unknown(e, path, "identifier", "name", "dataType")
		d, ok := r.dataType(e.Get("dataType"), path+".dataType", depth)
		if ok {
			ps = append(ps, thing.Parameter{Identifier: id, Name: text(e, "name"), DataType: d})
		}
		return true
	})
	return ps
}

// dataType reads a type; ok is false, and the entry is left out, for one that is unknown here.
func (r *reader) dataType(v codec.Value, path string, depth int) (d thing.DataType, ok bool) {
	name, known := translate(types[:], 1, 0, text(v, "type"))
	if !known {
		r.losses.Add(path, "the entry is left out: there is no type %q here", text(v, "type"))
		return d, false
	}
	if depth > thing.MaxNesting {
		r.losses.Add(path, "the entry is left out: types are nested deeper than %d levels", thing.MaxNesting)
		return d, false
	}
	r.losses.Unknown(v, path, "type", "specs")
	d.Type = thing.Type(name)
	specs, path := v.Get("specs"), path+".specs"
	switch d.Type {
	case thing.Int32, thing.Float32, thing.Float64:
		r.numbers(&d, specs, path)
	case thing.Bool, thing.Enum:
		return d, r.labels(&d, specs, path)
	case thing.String:
		r.losses.Unknown(specs, path, "length")
		d.Length = r.count(specs, path, "length", thing.MaxLength)
	case thing.Array:
		r.losses.Unknown(specs, path, "size", "item")
		d.Size = r.count(specs, path, "size", thing.MaxSize)
		item, ok := r.dataType(specs.Get("item"), path+".item", depth+1)
		d.Item = &item
		return d, ok
	case thing.Struct:
		if d.Members = r.parameters(specs, path, depth+1); len(d.Members) == 0 {
			r.losses.Add(path, "the entry is left out: a struct needs members")
			return d, false
		}
	}
	return d, true
}

func (r *reader) numbers(d *thing.DataType, specs codec.Value, path string) {
	r.losses.Unknown(specs, path, "min", "max", "step", "unit", "unitName")
	d.Min, d.Max, d.Step = r.number(specs, path, "min"), r.number(specs, path, "max"), r.number(specs, path, "step")
	if d.Step != nil && *d.Step == 0 {
		d.Step = nil
	}
	unit, unitName := text(specs, "unit"), text(specs, "unitName")
	if d.UnitName = unitName; unitName == "" {
		d.UnitName = unit
	} else if unit != "" && unit != unitName {
		r.losses.Add(path+".unit", "%q is dropped: one name of a unit is kept, unitName %q", unit, unitName)
	}
	if d.Type == thing.Int32 {
		d.Min = r.clamp(d.Min, path+".min", math.MinInt32, math.MaxInt32)
		d.Max = r.clamp(d.Max, path+".max", math.MinInt32, math.MaxInt32)
	}
}

func (r *reader) clamp(p *float64, path string, lo, hi float64) *float64 {
	if p == nil || *p >= lo && *p <= hi {
		return p
	}
	v := min(max(*p, lo), hi)
	r.losses.Add(path, "%s becomes %s: numbers without fraction have 32 bits here", decimal(*p), decimal(v))
	return &v
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// number reads a number, which TSL writes as a string; nil when it is absent.
func (r *reader) number(v codec.Value, path, name string) *float64 {
	e := v.Get(name)
	f, ok := e.Float()
	if s, isText := e.Str(); isText {
		if s == "" {
			return nil
		}
		var err error
		f, err = strconv.ParseFloat(s, 64)
		ok = err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	if !ok {
		if e.Exists() && e.Kind() != codec.Null {
			r.losses.Add(path+"."+name, "is dropped: it is no number")
		}
		return nil
	}
	return &f
}

// count reads a length or size of at most most, which is also what an absent one is.
func (r *reader) count(v codec.Value, path, name string, most int) int {
	p := r.number(v, path, name)
	switch {
	case p == nil:
		r.losses.Add(path+"."+name, "is absent and becomes %d", most)
	case *p < 1 || *p > float64(most):
		r.losses.Add(path+"."+name, "%s becomes %d: 1 to %d is possible here", decimal(*p), most, most)
	default:
		return int(*p)
	}
	return most
}

// labels reads {"0":"off","1":"on"}.
func (r *reader) labels(d *thing.DataType, specs codec.Value, path string) bool {
	ok := true
	specs.Each(func(key string, e codec.Value) bool {
		n, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			r.losses.Add(path+"."+strings.Clone(key), "the entry is left out: items are whole numbers here")
			ok = false
			return false
		}
		label, _ := e.Str()
		d.Labels = append(d.Labels, thing.Label{Value: n, Text: strings.Clone(label)})
		return true
	})
	slices.SortStableFunc(d.Labels, func(a, b thing.Label) int { return int(a.Value - b.Value) })
	if ok && d.Type == thing.Enum && (len(d.Labels) < 1 || len(d.Labels) > thing.MaxEnumItems) {
		r.losses.Add(path, "the entry is left out: an enum of %d items, 1 to %d are possible here", len(d.Labels), thing.MaxEnumItems)
		return false
	}
	return ok
}
