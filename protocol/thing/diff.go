package thing

import (
	"math"
	"strconv"
)

// Kind names what an entry of a definition is.
type Kind string

// The kinds of entry.
const (
	KindProperty Kind = "property"
	KindEvent    Kind = "event"
	KindCommand  Kind = "command"
)

// Op says what happened to an entry.
type Op string

// What can happen to an entry.
const (
	Added   Op = "added"
	Removed Op = "removed"
	Changed Op = "changed"
)

// Change is what became of one entry between two definitions.
//
// A change is breaking when a message or a request that fitted the old definition may be refused by the new one, or means
// something else there: what is gone, a type or a unit that is another, a range that is narrower. What is only more (an
// entry, a parameter, an item, a wider range) and what people read (names, descriptions, labels) breaks nobody.
type Change struct {
	Kind       Kind
	Identifier string
	Op         Op
	Breaking   bool
	Fields     []FieldChange // of a Changed entry
}

// FieldChange is one field of an entry that is another now. Old or New is empty where the field is absent.
type FieldChange struct {
	Path     string // below the entry, with identifiers for members: DataType.Spec.Max, Output.code
	Old, New string
	Breaking bool
}

// Diff lists what has to change in from to make it to: properties, events, commands, each first in the order of from,
// then what is new in the order of to. An order that is another is no change.
func Diff(from, to *Template) []Change {
	var list []Change
	list = compare(list, KindProperty, from.Property, to.Property,
		func(p *Property) string { return p.Identifier }, (*comparison).property)
	list = compare(list, KindEvent, from.Event, to.Event,
		func(e *Event) string { return e.Identifier }, (*comparison).event)
	return compare(list, KindCommand, from.Command, to.Command,
		func(c *Command) string { return c.Identifier }, (*comparison).command)
}

// Breaking tells whether one of the changes is.
func Breaking(changes []Change) bool {
	for i := range changes {
		if changes[i].Breaking {
			return true
		}
	}
	return false
}

// compare appends what became of the entries of one kind.
func compare[E any](list []Change, kind Kind, from, to []E, id func(*E) string, fields func(*comparison, *E, *E)) []Change {
	after := make(map[string]*E, len(to))
	for i := range to {
		after[id(&to[i])] = &to[i]
	}
	for i := range from {
		name := id(&from[i])
		e, ok := after[name]
		if !ok {
			list = append(list, Change{Kind: kind, Identifier: name, Op: Removed, Breaking: true})
			continue
		}
		delete(after, name)
		var c comparison
		if fields(&c, &from[i], e); len(c.fields) > 0 {
			list = append(list, Change{Kind: kind, Identifier: name, Op: Changed, Breaking: c.breaking, Fields: c.fields})
		}
	}
	for i := range to {
		if name := id(&to[i]); after[name] != nil {
			list = append(list, Change{Kind: kind, Identifier: name, Op: Added})
		}
	}
	return list
}

// comparison gathers the fields of one entry.
type comparison struct {
	fields   []FieldChange
	breaking bool
}

func (c *comparison) text(path, from, to string, breaking bool) {
	if from == to {
		return
	}
	c.fields = append(c.fields, FieldChange{Path: path, Old: from, New: to, Breaking: breaking})
	c.breaking = c.breaking || breaking
}

func (c *comparison) head(name, description, id [2]string, idField string) {
	c.text("Name", name[0], name[1], false)
	c.text("Description", description[0], description[1], false)
	c.text(idField, id[0], id[1], false)
}

func (c *comparison) property(from, to *Property) {
	c.head([2]string{from.Name, to.Name}, [2]string{from.Description, to.Description}, [2]string{from.PropertyID, to.PropertyID}, "PropertyID")
	c.text("AccessMode", from.AccessMode, to.AccessMode, to.AccessMode == AccessRead)
	c.dataType("DataType", &from.DataType, &to.DataType)
}

func (c *comparison) event(from, to *Event) {
	c.head([2]string{from.Name, to.Name}, [2]string{from.Description, to.Description}, [2]string{from.EventID, to.EventID}, "EventID")
	c.text("Type", from.Type, to.Type, false)
	c.parameters("Output", from.Output, to.Output)
}

func (c *comparison) command(from, to *Command) {
	c.head([2]string{from.Name, to.Name}, [2]string{from.Description, to.Description}, [2]string{from.CommandID, to.CommandID}, "CommandID")
	c.parameters("Input", from.Input, to.Input)
	c.parameters("Output", from.Output, to.Output)
}

func (c *comparison) parameters(path string, from, to []Parameter) {
	after := make(map[string]*Parameter, len(to))
	for i := range to {
		after[to[i].Identifier] = &to[i]
	}
	for i := range from {
		p, at := &from[i], path+"."+from[i].Identifier
		now, ok := after[p.Identifier]
		if !ok {
			c.text(at, string(p.DataType.Type), "", true)
			continue
		}
		delete(after, p.Identifier)
		c.text(at+".Name", p.Name, now.Name, false)
		c.dataType(at+".DataType", &p.DataType, &now.DataType)
	}
	for i := range to {
		if p := &to[i]; after[p.Identifier] != nil {
			c.text(path+"."+p.Identifier, "", string(p.DataType.Type), false)
		}
	}
}

func (c *comparison) dataType(path string, from, to *DataType) {
	if from.Type != to.Type {
		c.text(path+".Type", string(from.Type), string(to.Type), !widens(from.Type, to.Type))
		if !numeric(from.Type) || !numeric(to.Type) {
			return // nothing else of the two can be compared
		}
	}
	path += ".Spec"
	switch to.Type {
	case Int32, Float32, Float64:
		c.numbers(path, from, to)
	case Bool, Enum:
		c.labels(path, from, to)
	case String:
		c.count(path+".Length", orLongest(from.Length), orLongest(to.Length))
	case Array:
		c.count(path+".Size", from.Size, to.Size)
		if from.Item != nil && to.Item != nil {
			c.dataType(path+".Item", from.Item, to.Item)
		}
	case Struct:
		c.parameters(path, from.Members, to.Members)
	}
}

func numeric(t Type) bool { return t == Int32 || t == Float32 || t == Float64 }

// widens tells whether every value of a type is one of the other.
func widens(from, to Type) bool {
	return from == Int32 && (to == Float32 || to == Float64) || from == Float32 && to == Float64
}

func (c *comparison) numbers(path string, from, to *DataType) {
	least, most := orElse(from.Min, -math.MaxFloat64), orElse(from.Max, math.MaxFloat64)
	shifted := to.Type == Int32 && coarser(from, to)
	c.text(path+".Min", number(from.Min), number(to.Min), shifted || orElse(to.Min, -math.MaxFloat64) > least)
	c.text(path+".Max", number(from.Max), number(to.Max), orElse(to.Max, math.MaxFloat64) < most)
	c.text(path+".Step", number(from.Step), number(to.Step), shifted)
	c.text(path+".UnitName", from.UnitName, to.UnitName, from.UnitName != "")
}

// coarser tells whether a value on a step of from may be on none of to. Steps count from Min.
func coarser(from, to *DataType) bool {
	before, now := int64(orElse(from.Step, 0)), int64(orElse(to.Step, 0))
	moved := int64(orElse(from.Min, 0)) - int64(orElse(to.Min, 0))
	return now > 1 && (before == 0 || before%now != 0 || moved%now != 0)
}

func (c *comparison) labels(path string, from, to *DataType) {
	after := make(map[int64]string, len(to.Labels))
	for _, l := range to.Labels {
		after[l.Value] = l.Text
	}
	before := make(map[int64]bool, len(from.Labels))
	for _, l := range from.Labels {
		before[l.Value] = true
		now, ok := after[l.Value]
		if ok {
			now = labelled(now)
		}
		c.text(path+"."+strconv.FormatInt(l.Value, 10), labelled(l.Text), now, !ok && to.Type == Enum)
	}
	for _, l := range to.Labels {
		if !before[l.Value] {
			c.text(path+"."+strconv.FormatInt(l.Value, 10), "", labelled(l.Text), false)
		}
	}
}

// labelled tells an item without a label from one that is absent.
func labelled(text string) string {
	if text == "" {
		return "(no label)"
	}
	return text
}

func (c *comparison) count(path string, from, to int) {
	c.text(path, strconv.Itoa(from), strconv.Itoa(to), to < from)
}

func orLongest(n int) int {
	if n == 0 {
		return MaxLength
	}
	return n
}

// number is a bound as text, "" for none.
func number(p *float64) string {
	if p == nil {
		return ""
	}
	return decimal(*p)
}
