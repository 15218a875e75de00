package wot

import (
	"strconv"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// Export writes t as a Thing Model with a title, which must not be empty.
func Export(t *thing.Template, title string) ([]byte, thing.Losses) {
	w := &writer{}
	w.b = append(w.b, `{"@context":["`+contextTD+`",{"hawser":"`+contextOwn+`"}],"@type":"`+typeModel+`","title":`...)
	w.b = codec.AppendString(w.b, title)
	w.b = append(w.b, `,"properties":{`...)
	for i := range t.Property {
		w.property(i, &t.Property[i])
	}
	w.b = append(w.b, `},"events":{`...)
	for i := range t.Event {
		e := &t.Event[i]
		w.open(i, e.Identifier, e.Name, e.Description, e.EventID)
		w.field(ownSeverity, e.Type)
		w.parameters("data", e.Output)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, `},"actions":{`...)
	for i := range t.Command {
		c := &t.Command[i]
		w.open(i, c.Identifier, c.Name, c.Description, c.CommandID)
		w.parameters("input", c.Input)
		w.parameters("output", c.Output)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, `}}`...)
	return w.b, w.losses
}

type writer struct {
	b      []byte
	losses thing.Losses
}

func (w *writer) key(name string) {
	w.b = append(codec.AppendString(append(w.b, ','), name), ':')
}

func (w *writer) field(name, value string) {
	w.key(name)
	w.b = codec.AppendString(w.b, value)
}

func (w *writer) number(name string, p *float64) {
	if p != nil {
		w.key(name)
		w.b = strconv.AppendFloat(w.b, *p, 'f', -1, 64)
	}
}

// member opens the n-th member of a map of objects; a title follows, so that what comes next can begin with a comma.
func (w *writer) member(n int, name, title string) {
	if n > 0 {
		w.b = append(w.b, ',')
	}
	w.b = append(codec.AppendString(w.b, name), `:{"title":`...)
	w.b = codec.AppendString(w.b, title)
}

func (w *writer) open(i int, identifier, name, description, id string) {
	w.member(i, identifier, name)
	if description != "" {
		w.field("description", description)
	}
	if id != "" {
		w.field(ownID, id)
	}
}

func (w *writer) property(i int, p *thing.Property) {
	w.open(i, p.Identifier, p.Name, p.Description, p.PropertyID)
	w.key("readOnly")
	w.b = strconv.AppendBool(w.b, p.AccessMode == thing.AccessRead)
	w.key("observable")
	w.b = append(w.b, `true,`...)
	w.schema(&p.DataType)
	w.b = append(w.b, '}')
}

// parameters writes an object; nothing for none.
func (w *writer) parameters(name string, ps []thing.Parameter) {
	if len(ps) == 0 {
		return
	}
	w.key(name)
	w.b = append(w.b, `{"type":"object"`...)
	w.members(ps)
	w.b = append(w.b, '}')
}

func (w *writer) members(ps []thing.Parameter) {
	w.b = append(w.b, `,"properties":{`...)
	for i := range ps {
		w.member(i, ps[i].Identifier, ps[i].Name)
		w.b = append(w.b, ',')
		w.schema(&ps[i].DataType)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, '}')
}

// schema writes the members of a data schema, without brackets.
func (w *writer) schema(d *thing.DataType) {
	w.b = append(w.b, `"type":`...)
	switch d.Type {
	case thing.Int32:
		w.b = append(w.b, `"integer"`...)
		w.numbers(d)
	case thing.Float32, thing.Float64:
		w.b = append(w.b, `"number"`...)
		w.field(ownType, string(d.Type))
		w.numbers(d)
	case thing.Bool:
		w.b = append(w.b, `"boolean"`...)
		w.labels(d)
	case thing.Enum:
		w.b = append(w.b, `"integer"`...)
		w.items(d)
	case thing.String:
		length := d.Length
		if length == 0 {
			length = thing.MaxLength
		}
		w.b = strconv.AppendInt(append(w.b, `"string","maxLength":`...), int64(length), 10)
	case thing.Date:
		w.b = append(w.b, `"integer"`...)
		w.field(ownType, string(d.Type))
		w.b = append(w.b, `,"minimum":0,"unit":"ms since 1970-01-01 UTC"`...)
	case thing.Array:
		w.b = strconv.AppendInt(append(w.b, `"array","maxItems":`...), int64(d.Size), 10)
		w.b = append(w.b, `,"items":{`...)
		w.schema(d.Item)
		w.b = append(w.b, '}')
	case thing.Struct:
		w.b = append(w.b, `"object"`...)
		w.members(d.Members)
	}
}

func (w *writer) numbers(d *thing.DataType) {
	w.number("minimum", d.Min)
	w.number("maximum", d.Max)
	if d.Step == nil || *d.Step > 0 {
		w.number("multipleOf", d.Step)
	}
	if d.UnitName != "" {
		w.field("unit", d.UnitName)
	}
}

func (w *writer) labels(d *thing.DataType) {
	if len(d.Labels) == 0 {
		return
	}
	w.key(ownLabels)
	w.b = append(w.b, '{')
	for i, l := range d.Labels {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = append(codec.AppendString(w.b, strconv.FormatInt(l.Value, 10)), ':')
		w.b = codec.AppendString(w.b, l.Text)
	}
	w.b = append(w.b, '}')
}

func (w *writer) items(d *thing.DataType) {
	w.b = append(w.b, `,"oneOf":[`...)
	for i, l := range d.Labels {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = strconv.AppendInt(append(w.b, `{"const":`...), l.Value, 10)
		w.field("title", l.Text)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}
