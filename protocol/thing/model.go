package thing

import (
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Model is a compiled Template: what a product's messages are checked against. It never changes.
type Model struct {
	properties map[string]property
	events     map[string]event
	commands   map[string]command
}

type property struct {
	shape    *shape
	writable bool
}

type event struct {
	output *members
	kind   string // EventNotify, EventWarning or EventError
}

type command struct{ input, output *members }

// Compile validates a template and makes its Model. The template may change afterwards; the Model does not follow.
func Compile(t *Template) (*Model, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	m := &Model{
		properties: make(map[string]property, len(t.Property)),
		events:     make(map[string]event, len(t.Event)),
		commands:   make(map[string]command, len(t.Command)),
	}
	for i := range t.Property {
		p := &t.Property[i]
		m.properties[p.Identifier] = property{shape: compileShape(&p.DataType), writable: p.AccessMode == AccessReadWrite}
	}
	for i := range t.Event {
		e := &t.Event[i]
		m.events[e.Identifier] = event{output: compileMembers(e.Output), kind: e.Type}
	}
	for i := range t.Command {
		c := &t.Command[i]
		m.commands[c.Identifier] = command{input: compileMembers(c.Input), output: compileMembers(c.Output)}
	}
	return m, nil
}

// CheckProperty tells whether v is a value of the property id. A refusal is a *Violation.
func (m *Model) CheckProperty(id string, v codec.Value) error {
	p, ok := m.properties[id]
	if !ok {
		return undefinedProperty(id)
	}
	return refused(p.shape.check(v), id)
}

// CheckWritable is CheckProperty for a value that the cloud sets: the property must have access mode rw.
func (m *Model) CheckWritable(id string, v codec.Value) error {
	p, ok := m.properties[id]
	if !ok {
		return undefinedProperty(id)
	}
	if !p.writable {
		return refused(&Violation{Code: message.CodeReadOnly, Bound: "is read-only"}, id)
	}
	return refused(p.shape.check(v), id)
}

// HasProperty tells whether the model defines the property id.
func (m *Model) HasProperty(id string) bool { _, ok := m.properties[id]; return ok }

// IsNumber tells whether the values of the property id are numbers: bools and enums are, as they are sent.
func (m *Model) IsNumber(id string) bool {
	p, ok := m.properties[id]
	if !ok {
		return false
	}
	switch p.shape.kind {
	case Int32, Float32, Float64, Bool, Enum, Date:
		return true
	}
	return false
}

// HasCommand tells whether the model defines the command id.
func (m *Model) HasCommand(id string) bool { _, ok := m.commands[id]; return ok }

// CheckEvent tells whether output holds parameters of the event id; it may hold a part of them, or be absent.
func (m *Model) CheckEvent(id string, output codec.Value) error {
	e, ok := m.events[id]
	if !ok {
		return refused(&Violation{Code: message.CodeNoSuchEvent, Bound: "is not a defined event"}, id)
	}
	return refused(e.output.check(output), "Output")
}

// EventType is the type of the event id, "" for one that is not defined.
func (m *Model) EventType(id string) string { return m.events[id].kind }

// CheckInput tells whether input holds parameters of the command id; it may hold a part of them, or be absent.
func (m *Model) CheckInput(id string, input codec.Value) error {
	c, ok := m.commands[id]
	if !ok {
		return undefinedCommand(id)
	}
	return refused(c.input.check(input), "Input")
}

// CheckOutput tells whether output holds results of the command id; it may hold a part of them, or be absent.
func (m *Model) CheckOutput(id string, output codec.Value) error {
	c, ok := m.commands[id]
	if !ok {
		return undefinedCommand(id)
	}
	return refused(c.output.check(output), "Output")
}

// AppendProperty appends v, a value that CheckProperty accepts, in the form that is sent: a bool as 0 or 1, numbers
// without exponents, members of structs in ascending order. It appends null for a property that is not defined.
func (m *Model) AppendProperty(dst []byte, id string, v codec.Value) []byte {
	p, ok := m.properties[id]
	if !ok {
		return append(dst, "null"...)
	}
	return p.shape.appendJSON(dst, v)
}

// AppendInput appends the parameters of a command that CheckInput accepts in the form that is sent; {} when absent.
func (m *Model) AppendInput(dst []byte, id string, input codec.Value) []byte {
	c, ok := m.commands[id]
	if !ok {
		return append(dst, "{}"...)
	}
	return c.input.appendJSON(dst, input)
}

func undefinedProperty(id string) error {
	return refused(&Violation{Code: message.CodePropertyUndefined, Bound: "is not a defined property"}, id)
}

func undefinedCommand(id string) error {
	return refused(&Violation{Code: message.CodeNoSuchCommand, Bound: "is not a defined command"}, id)
}

// refused turns a *Violation of a part, nil for none, into the error of the whole.
func refused(v *Violation, name string) error {
	if v == nil {
		return nil
	}
	return v.under(name)
}
