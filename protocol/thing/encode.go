package thing

import (
	"strconv"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// MarshalJSON writes the definition in its native form, as AppendJSON does.
func (t *Template) MarshalJSON() ([]byte, error) { return t.AppendJSON(nil), nil }

// AppendJSON appends the definition in compact JSON. ParseTemplate reads it back to an equal one.
func (t *Template) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"Property":[`...)
	for i := range t.Property {
		p := &t.Property[i]
		dst = appendHead(comma(dst, i), p.Identifier, p.Name, p.Description, "PropertyID", p.PropertyID)
		dst = appendField(dst, "AccessMode", p.AccessMode)
		dst = p.DataType.appendJSON(append(dst, `,"DataType":`...))
		dst = append(dst, '}')
	}
	dst = append(dst, `],"Event":[`...)
	for i := range t.Event {
		e := &t.Event[i]
		dst = appendHead(comma(dst, i), e.Identifier, e.Name, e.Description, "EventID", e.EventID)
		dst = appendField(dst, "Type", e.Type)
		dst = appendParameters(append(dst, `,"Output":`...), e.Output)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"Command":[`...)
	for i := range t.Command {
		c := &t.Command[i]
		dst = appendHead(comma(dst, i), c.Identifier, c.Name, c.Description, "CommandID", c.CommandID)
		dst = appendParameters(append(dst, `,"Input":`...), c.Input)
		dst = appendParameters(append(dst, `,"Output":`...), c.Output)
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}

// AppendWrapped appends the definition as {"Template":…}, the other form that is exported.
func (t *Template) AppendWrapped(dst []byte) []byte {
	dst = t.AppendJSON(append(dst, `{"Template":`...))
	return append(dst, '}')
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return dst
}

// appendHead opens an entry with what all of them have. A description and an id that are empty are left out: some
// readers take an empty string for a value.
func appendHead(dst []byte, identifier, name, description, idField, id string) []byte {
	dst = append(dst, `{"Identifier":`...)
	dst = codec.AppendString(dst, identifier)
	dst = appendField(dst, "Name", name)
	if description != "" {
		dst = appendField(dst, "Description", description)
	}
	if id != "" {
		dst = appendID(dst, idField, id)
	}
	return dst
}

// appendID appends an id as the number that it came as, when it is one.
func appendID(dst []byte, field, id string) []byte {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != id {
		return appendField(dst, field, id)
	}
	dst = append(append(append(dst, ',', '"'), field...), '"', ':')
	return append(dst, id...)
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return codec.AppendString(dst, value)
}

func appendParameters(dst []byte, ps []Parameter) []byte {
	dst = append(dst, '[')
	for i := range ps {
		dst = append(comma(dst, i), `{"Identifier":`...)
		dst = codec.AppendString(dst, ps[i].Identifier)
		dst = appendField(dst, "Name", ps[i].Name)
		dst = ps[i].DataType.appendJSON(append(dst, `,"DataType":`...))
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func (d *DataType) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"Type":`...)
	dst = codec.AppendString(dst, string(d.Type))
	dst = append(dst, `,"Spec":`...)
	switch d.Type {
	case Int32, Float32, Float64:
		dst = d.appendRange(dst)
	case Bool, Enum:
		dst = append(dst, '{')
		for i, l := range d.Labels {
			dst = append(comma(dst, i), '"')
			dst = strconv.AppendInt(dst, l.Value, 10)
			dst = append(dst, '"', ':')
			dst = codec.AppendString(dst, l.Text)
		}
		dst = append(dst, '}')
	case String:
		length := d.Length
		if length == 0 {
			length = MaxLength
		}
		dst = strconv.AppendInt(append(dst, `{"Length":`...), int64(length), 10)
		dst = append(dst, '}')
	case Array:
		dst = append(dst, `{"Item":`...)
		if d.Item != nil {
			dst = d.Item.appendJSON(dst)
		} else {
			dst = append(dst, `null`...)
		}
		dst = strconv.AppendInt(append(dst, `,"Size":`...), int64(d.Size), 10)
		dst = append(dst, '}')
	case Struct:
		dst = appendParameters(dst, d.Members)
	default:
		dst = append(dst, `{}`...)
	}
	return append(dst, '}')
}

func (d *DataType) appendRange(dst []byte) []byte {
	dst = append(dst, '{')
	n := 0
	for _, b := range [...]struct {
		name  string
		value *float64
	}{{"Min", d.Min}, {"Max", d.Max}, {"Step", d.Step}} {
		if b.value == nil {
			continue
		}
		dst = append(comma(dst, n), '"')
		dst = append(dst, b.name...)
		dst = append(dst, '"', ':')
		dst = strconv.AppendFloat(dst, *b.value, 'f', -1, 64)
		n++
	}
	if d.UnitName != "" {
		dst = append(comma(dst, n), `"UnitName":`...)
		dst = codec.AppendString(dst, d.UnitName)
	}
	return append(dst, '}')
}
