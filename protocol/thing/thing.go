// Package thing is the thing model: the definition of what a product's devices report and understand, and the check of
// every value against it.
//
// A Template is the definition as people write, import and export it. Compile turns a valid one into a Model, which
// judges values in fractions of a microsecond, allocates only for a refusal, never changes, and may be shared by
// goroutines. The package promises that a Model accepts exactly the wire forms of the device protocol (a bool as 0, 1, true or
// false; integers where a float is asked for; dates as milliseconds) and that the text of a Violation can be sent to a
// device as it is. It leaves envelopes (RequestID, Value, Time), storage and latest values to its callers.
package thing

import "github.com/hawser-iot/hawser/protocol/codec"

// Limits of a definition, from section 2 of the device protocol.
const (
	MaxEntries     = 100  // properties, and likewise events and commands, of a product
	MaxParameters  = 20   // parameters of one Input, Output or struct
	MaxEnumItems   = 25   // items of an enum
	MaxLength      = 2048 // bytes of a string value
	MaxSize        = 128  // elements of an array value
	MaxNesting     = 4    // data types within data types, the outermost included
	MaxIdentifier  = 32   // bytes of an identifier
	maxDefinition  = 4 << 20
	maxFieldsInDef = 400_000
)

// Template is the definition of a product's thing model.
// Its lists are written as arrays even when they are empty.
type Template struct {
	Property []Property
	Event    []Event
	Command  []Command
}

// Property is a value that a device reports and, with AccessMode rw, that the cloud may set.
type Property struct {
	Identifier  string
	Name        string
	Description string
	PropertyID  string
	AccessMode  string // AccessRead or AccessReadWrite
	DataType    DataType
}

// Event is something that a device announces, with parameters.
type Event struct {
	Identifier  string
	Name        string
	Description string
	EventID     string
	Type        string // EventNotify, EventWarning or EventError
	Output      []Parameter
}

// Command is a call that the cloud makes and a device answers.
type Command struct {
	Identifier  string
	Name        string
	Description string
	CommandID   string
	Input       []Parameter
	Output      []Parameter
}

// Parameter is a named value of an event, a command or a struct.
type Parameter struct {
	Identifier string
	Name       string
	DataType   DataType
}

// Access modes of a property.
const (
	AccessRead      = "r"
	AccessReadWrite = "rw"
)

// Types of an event.
const (
	EventNotify  = "notify"
	EventWarning = "warning"
	EventError   = "error"
)

// Type names a data type.
type Type string

// The data types of a thing model.
const (
	Int32   Type = "int32"
	Float32 Type = "float32"
	Float64 Type = "float64"
	Bool    Type = "bool"
	Enum    Type = "enum"
	String  Type = "string"
	Date    Type = "date" // milliseconds since 1970-01-01 UTC
	Array   Type = "array"
	Struct  Type = "struct"
)

// DataType is a type with its Spec. Only the fields that belong to Type are read and written.
type DataType struct {
	Type Type

	// int32, float32, float64. An absent bound is that of the type. Step counts from Min (from 0 without one) and
	// is enforced on int32 only: devices print floats with a fixed number of digits and never hit a step exactly.
	Min, Max, Step *float64
	UnitName       string

	// bool: the labels of 0 and 1, optional. enum: its items, at least one, ascending by value.
	Labels []Label

	// string: the longest value in bytes; 0 stands for MaxLength.
	Length int

	// array: the type of the elements and the greatest number of them.
	Item *DataType
	Size int

	// struct: its members.
	Members []Parameter
}

// Label is a value of a bool or an enum and what people call it.
type Label struct {
	Value int64
	Text  string
}

// ParseTemplate reads a definition in JSON or CBOR, with or without the {"Template":…} wrapper, and validates it.
// Unknown fields are ignored. An error is a *DefinitionError, or several joined, each with the path of the fault; or
// that of the codec, when b is neither JSON nor CBOR.
func ParseTemplate(b []byte) (*Template, error) {
	doc, err := codec.Decode(b, codec.Limits{Size: maxDefinition, Depth: 32, Count: maxFieldsInDef})
	if err != nil {
		return nil, err
	}
	defer doc.Release()
	root := doc.Root()
	if w := root.Get("Template"); w.Kind() != codec.Missing {
		root = w
	}
	var r reader
	t := r.template(root)
	if err := r.faults.err(); err != nil {
		return nil, err
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t, nil
}

// UnmarshalJSON reads a definition as ParseTemplate does.
func (t *Template) UnmarshalJSON(b []byte) error {
	p, err := ParseTemplate(b)
	if err != nil {
		return err
	}
	*t = *p
	return nil
}
