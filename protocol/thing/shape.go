package thing

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// shape is a compiled data type.
type shape struct {
	kind       Type
	imin, imax int64 // int32: range
	step       int64 // int32: 0 for none; counts from base
	base       int64
	fmin, fmax float64 // floats: range
	items      []int64 // enum: ascending
	most       int     // string: bytes; array: elements
	item       *shape
	members    *members
}

// members are the parameters of an event, a command or a struct.
type members struct {
	index  map[string]*shape
	names  []string // ascending: a name that is a prefix of another is sent first
	shapes []*shape
}

func compileMembers(ps []Parameter) *members {
	m := &members{index: make(map[string]*shape, len(ps))}
	for i := range ps {
		m.index[ps[i].Identifier] = compileShape(&ps[i].DataType)
		m.names = append(m.names, ps[i].Identifier)
	}
	slices.Sort(m.names)
	for _, name := range m.names {
		m.shapes = append(m.shapes, m.index[name])
	}
	return m
}

func compileShape(d *DataType) *shape {
	s := &shape{kind: d.Type}
	switch d.Type {
	case Int32:
		s.imin, s.imax = int64(orElse(d.Min, math.MinInt32)), int64(orElse(d.Max, math.MaxInt32))
		s.step, s.base = int64(orElse(d.Step, 0)), int64(orElse(d.Min, 0))
	case Float32:
		s.fmin, s.fmax = orElse(d.Min, -math.MaxFloat32), orElse(d.Max, math.MaxFloat32)
	case Float64:
		s.fmin, s.fmax = orElse(d.Min, -math.MaxFloat64), orElse(d.Max, math.MaxFloat64)
	case Enum:
		for _, l := range d.Labels {
			s.items = append(s.items, l.Value)
		}
		slices.Sort(s.items)
	case String:
		s.most = d.Length
		if s.most == 0 {
			s.most = MaxLength
		}
	case Array:
		s.most, s.item = d.Size, compileShape(d.Item)
	case Struct:
		s.members = compileMembers(d.Members)
	}
	return s
}

func orElse(p *float64, def float64) float64 {
	if p == nil {
		return def
	}
	return *p
}

// check returns nil for a value of the shape. The Identifier of a Violation is relative to it.
func (s *shape) check(v codec.Value) *Violation {
	switch s.kind {
	case Int32:
		return s.checkInt(v)
	case Float32, Float64:
		return s.checkFloat(v)
	case Bool:
		if _, ok := v.Bool(); ok {
			return nil
		}
		if n, ok := integer(v); ok && (n == 0 || n == 1) {
			return nil
		}
		return wrongType("must be 0 or 1")
	case Enum:
		n, ok := integer(v)
		if !ok {
			return wrongType("must be a whole number, an item of the enum")
		}
		if !slices.Contains(s.items, n) {
			return outOfRange("must be one of " + list(s.items))
		}
	case String:
		str, ok := v.Str()
		if !ok {
			return wrongType("must be a string")
		}
		if len(str) > s.most {
			return outOfRange("must be at most " + strconv.Itoa(s.most) + " bytes")
		}
	case Date:
		n, ok := integer(v)
		if !ok {
			return wrongType("must be a date in milliseconds")
		}
		if n < 0 {
			return outOfRange("must be at least 0 milliseconds")
		}
	case Array:
		return s.checkArray(v)
	case Struct:
		if v.Kind() != codec.Object {
			return wrongType("must be an object")
		}
		return s.members.check(v)
	}
	return nil
}

func (s *shape) checkInt(v codec.Value) *Violation {
	n, ok := integer(v)
	if !ok {
		return wrongType("must be an int32")
	}
	if n < s.imin {
		return outOfRange("must be at least " + strconv.FormatInt(s.imin, 10))
	}
	if n > s.imax {
		return outOfRange("must be at most " + strconv.FormatInt(s.imax, 10))
	}
	if s.step > 0 && (n-s.base)%s.step != 0 {
		return outOfRange("must be " + strconv.FormatInt(s.base, 10) + " plus a multiple of " + strconv.FormatInt(s.step, 10))
	}
	return nil
}

func (s *shape) checkFloat(v codec.Value) *Violation {
	f, ok := v.Float()
	if !ok || math.IsNaN(f) {
		return wrongType("must be a number")
	}
	if f < s.fmin {
		return outOfRange("must be at least " + decimal(s.fmin))
	}
	if f > s.fmax {
		return outOfRange("must be at most " + decimal(s.fmax))
	}
	return nil
}

func (s *shape) checkArray(v codec.Value) *Violation {
	if v.Kind() != codec.Array {
		return wrongType("must be an array")
	}
	if v.Len() > s.most {
		return outOfRange("must be at most " + strconv.Itoa(s.most) + " elements")
	}
	var bad *Violation
	v.Elems(func(i int, e codec.Value) bool {
		if bad = s.item.check(e); bad != nil {
			bad = bad.under(strconv.Itoa(i))
		}
		return bad == nil
	})
	return bad
}

// check tells whether every member of v is defined and right. Members may be absent, and so may v.
func (m *members) check(v codec.Value) *Violation {
	if absent(v) {
		return nil
	}
	if v.Kind() != codec.Object {
		return wrongType("must be an object")
	}
	var bad *Violation
	v.Each(func(name string, e codec.Value) bool {
		s, ok := m.index[name]
		if !ok {
			bad = (&Violation{Code: message.CodeNoSuchIdentifier, Bound: "is not defined"}).under(name)
			return false
		}
		if bad = s.check(e); bad != nil {
			bad = bad.under(name)
			return false
		}
		return true
	})
	return bad
}

// integer takes whole numbers however they are written: devices that print with %f send 20.000000.
func integer(v codec.Value) (int64, bool) {
	if n, ok := v.Int(); ok {
		return n, true
	}
	f, ok := v.Float()
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

func list(items []int64) string {
	var b strings.Builder
	for i, n := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.FormatInt(n, 10))
	}
	return b.String()
}
