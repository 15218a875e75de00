package thing

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// DefinitionError is one fault of a definition.
type DefinitionError struct {
	Path       string // where, for example Property[2].DataType.Spec.Min
	Identifier string // of what, members and parameters after a dot (alarm.code); "" when it has none yet
	Reason     string // what is wrong and what would be right, with the bound
}

func (e *DefinitionError) Error() string {
	if e.Identifier == "" {
		return e.Path + ": " + e.Reason
	}
	return e.Path + " (" + e.Identifier + "): " + e.Reason
}

// maxFaults bounds how many faults of one definition are reported at once.
const maxFaults = 20

// faults gathers the faults of a definition, so that its author sees them together.
type faults struct {
	list []error
	of   string // the identifier that is being looked at
}

func (f *faults) add(path, format string, args ...any) {
	if !f.full() {
		f.list = append(f.list, &DefinitionError{Path: path, Identifier: f.of, Reason: fmt.Sprintf(format, args...)})
	}
}

func (f *faults) full() bool { return len(f.list) >= maxFaults }

// within runs check with identifier as what faults are of, below what they are of now. One that is none is not named.
func (f *faults) within(identifier string, check func()) {
	outer := f.of
	if ValidIdentifier(identifier) {
		if f.of != "" {
			identifier = f.of + "." + identifier
		}
		f.of = identifier
	}
	check()
	f.of = outer
}

func (f *faults) err() error {
	if len(f.list) == 1 {
		return f.list[0]
	}
	return errors.Join(f.list...)
}

// Validate checks a definition against the language and its limits. The error is a *DefinitionError, or up to
// twenty of them joined.
func (t *Template) Validate() error {
	var f faults
	entries(&f, "Property", len(t.Property), func(i int) string { return t.Property[i].Identifier })
	entries(&f, "Event", len(t.Event), func(i int) string { return t.Event[i].Identifier })
	entries(&f, "Command", len(t.Command), func(i int) string { return t.Command[i].Identifier })
	for i := range t.Property {
		p := &t.Property[i]
		f.within(p.Identifier, func() { p.validate(&f, at("Property", i)) })
	}
	for i := range t.Event {
		e := &t.Event[i]
		f.within(e.Identifier, func() { e.validate(&f, at("Event", i)) })
	}
	for i := range t.Command {
		c := &t.Command[i]
		f.within(c.Identifier, func() {
			parameters(&f, at("Command", i)+".Input", c.Input, 1)
			parameters(&f, at("Command", i)+".Output", c.Output, 1)
		})
	}
	return f.err()
}

func (p *Property) validate(f *faults, path string) {
	if p.AccessMode != AccessRead && p.AccessMode != AccessReadWrite {
		f.add(path+".AccessMode", "must be r or rw, not %q", p.AccessMode)
	}
	p.DataType.validate(f, path+".DataType", 1)
}

func (e *Event) validate(f *faults, path string) {
	switch e.Type {
	case EventNotify, EventWarning, EventError:
	default:
		f.add(path+".Type", "must be notify, warning or error, not %q", e.Type)
	}
	parameters(f, path+".Output", e.Output, 1)
}

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// entries checks the number and the identifiers of a list.
func entries(f *faults, path string, n int, id func(int) string) {
	if n > MaxEntries {
		f.add(path, "has %d entries, at most %d are allowed", n, MaxEntries)
		return
	}
	identifiers(f, path, n, id)
}

func identifiers(f *faults, path string, n int, id func(int) string) {
	seen := make(map[string]int, n)
	for i := range n {
		name := id(i)
		if !ValidIdentifier(name) {
			f.add(at(path, i)+".Identifier", "%q is not an identifier: a letter or _, then letters, digits or _, at most %d", name, MaxIdentifier)
			continue
		}
		if j, ok := seen[name]; ok {
			f.add(at(path, i)+".Identifier", "%q is already the identifier of %s", name, at(path, j))
			continue
		}
		seen[name] = i
	}
}

// ValidIdentifier tells whether s is an identifier: [A-Za-z_][A-Za-z0-9_]{0,31}.
func ValidIdentifier(s string) bool {
	if len(s) == 0 || len(s) > MaxIdentifier {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func parameters(f *faults, path string, ps []Parameter, depth int) {
	if len(ps) > MaxParameters {
		f.add(path, "has %d parameters, at most %d are allowed", len(ps), MaxParameters)
		return
	}
	identifiers(f, path, len(ps), func(i int) string { return ps[i].Identifier })
	for i := range ps {
		f.within(ps[i].Identifier, func() { ps[i].DataType.validate(f, at(path, i)+".DataType", depth) })
	}
}

func (d *DataType) validate(f *faults, path string, depth int) {
	if depth > MaxNesting {
		f.add(path, "is nested deeper than %d levels", MaxNesting)
		return
	}
	spec := path + ".Spec"
	switch d.Type {
	case Int32:
		d.validateRange(f, spec, math.MinInt32, math.MaxInt32, true)
	case Float32:
		d.validateRange(f, spec, -math.MaxFloat32, math.MaxFloat32, false)
	case Float64:
		d.validateRange(f, spec, -math.MaxFloat64, math.MaxFloat64, false)
	case Bool:
		d.validateLabels(f, spec, 0, 2, 0, 1)
	case Enum:
		d.validateLabels(f, spec, 1, MaxEnumItems, math.MinInt32, math.MaxInt32)
	case String:
		if d.Length < 0 || d.Length > MaxLength {
			f.add(spec+".Length", "must be 1 to %d, not %d", MaxLength, d.Length)
		}
	case Date:
	case Array:
		if d.Size < 1 || d.Size > MaxSize {
			f.add(spec+".Size", "must be 1 to %d, not %d", MaxSize, d.Size)
		}
		if d.Item == nil {
			f.add(spec+".Item", "is missing: an array needs the type of its elements")
			return
		}
		d.Item.validate(f, spec+".Item", depth+1)
	case Struct:
		if len(d.Members) == 0 {
			f.add(spec, "is empty: a struct needs members")
		}
		parameters(f, spec, d.Members, depth+1)
	default:
		f.add(path+".Type", "%q is not a type: use int32, float32, float64, bool, enum, string, date, array or struct", d.Type)
	}
}

// validateRange checks Min, Max and Step against the type's own range lo..hi.
func (d *DataType) validateRange(f *faults, path string, lo, hi float64, whole bool) {
	bound := func(name string, p *float64) float64 {
		v := *p
		if whole && v != math.Trunc(v) {
			f.add(path+"."+name, "must be a whole number for %s, not %s", d.Type, decimal(v))
		}
		if !(v >= lo && v <= hi) { // the negation refuses NaN too
			f.add(path+"."+name, "%s is outside the range of %s, %s to %s", decimal(v), d.Type, decimal(lo), decimal(hi))
		}
		return v
	}
	least, most := lo, hi
	if d.Min != nil {
		least = bound("Min", d.Min)
	}
	if d.Max != nil {
		most = bound("Max", d.Max)
	}
	if least > most {
		f.add(path+".Min", "%s is over Max, which is %s", decimal(least), decimal(most))
	}
	if d.Step != nil {
		if step := bound("Step", d.Step); step < 0 {
			f.add(path+".Step", "must not be negative, not %s", decimal(step))
		}
	}
}

// validateLabels checks the number of labels and that their values are distinct and within least..most.
func (d *DataType) validateLabels(f *faults, path string, few, many int, least, most int64) {
	if len(d.Labels) < few || len(d.Labels) > many {
		f.add(path, "has %d items, %s takes %d to %d", len(d.Labels), d.Type, few, many)
		return
	}
	seen := make(map[int64]bool, len(d.Labels))
	for _, l := range d.Labels {
		where := path + "." + strconv.FormatInt(l.Value, 10)
		if l.Value < least || l.Value > most {
			f.add(where, "is not a value of %s: use whole numbers of %d to %d", d.Type, least, most)
		}
		if seen[l.Value] {
			f.add(where, "is listed twice")
		}
		seen[l.Value] = true
	}
}

// decimal writes a number without an exponent, which small JSON readers do not know.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
