package tsl

import (
	"strconv"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// schema names the notation.
const schema = "https://iotx-tsl.oss-ap-southeast-1.aliyuncs.com/schema.json"

// Export writes t, the thing model of a product, in TSL.
func Export(t *thing.Template, productSN string) ([]byte, thing.Losses) {
	w := &writer{}
	w.b = codec.AppendString(append(w.b, `{"schema":`...), schema)
	w.b = codec.AppendString(append(w.b, `,"profile":{"version":"1.0","productKey":`...), productSN)
	w.b = append(w.b, `},"properties":[`...)
	for i := range t.Property {
		w.property(i, &t.Property[i])
	}
	w.b = append(w.b, `],"events":[`...)
	w.posted(t)
	for i := range t.Event {
		w.event(i, &t.Event[i])
	}
	w.b = append(w.b, `],"services":[`...)
	w.derived(t)
	for i := range t.Command {
		w.service(i, &t.Command[i])
	}
	w.b = append(w.b, `]}`...)
	return w.b, w.losses
}

type writer struct {
	b      []byte
	losses thing.Losses
}

func (w *writer) comma(i int) {
	if i > 0 {
		w.b = append(w.b, ',')
	}
}

func (w *writer) field(name, value string) {
	w.b = append(append(append(w.b, ',', '"'), name...), '"', ':')
	w.b = codec.AppendString(w.b, value)
}

// head opens an entry. What people gave it for an id has no place in TSL.
func (w *writer) head(identifier, name, description, path, id string) {
	w.b = codec.AppendString(append(w.b, `{"identifier":`...), identifier)
	w.field("name", name)
	if description != "" {
		w.field("desc", description)
	}
	if id != "" {
		w.losses.Add(path, "%q is dropped: TSL has no ids beside identifiers", id)
	}
}

func (w *writer) property(i int, p *thing.Property) {
	w.comma(i)
	w.head(p.Identifier, p.Name, p.Description, at("Property", i)+".PropertyID", p.PropertyID)
	w.field("accessMode", p.AccessMode)
	w.b = append(w.b, `,"required":false,"dataType":`...)
	w.dataType(&p.DataType)
	w.b = append(w.b, '}')
}

func (w *writer) event(i int, e *thing.Event) {
	w.b = append(w.b, ',')
	w.head(e.Identifier, e.Name, e.Description, at("Event", i)+".EventID", e.EventID)
	severity, _ := translate(severities[:], 0, 1, e.Type)
	w.field("type", severity)
	w.b = append(w.b, `,"required":false`...)
	w.field("method", "thing.event."+e.Identifier+".post")
	w.parameters("outputData", e.Output)
	w.b = append(w.b, '}')
}

func (w *writer) service(i int, c *thing.Command) {
	w.b = append(w.b, ',')
	w.head(c.Identifier, c.Name, c.Description, at("Command", i)+".CommandID", c.CommandID)
	w.b = append(w.b, `,"required":false,"callType":"async"`...)
	w.field("method", "thing.service."+c.Identifier)
	w.parameters("inputData", c.Input)
	w.parameters("outputData", c.Output)
	w.b = append(w.b, '}')
}

// posted is the event by which properties are reported.
func (w *writer) posted(t *thing.Template) {
	w.b = append(w.b, `{"identifier":"post","name":"post","type":"info","required":true,"method":"`+methodPost+`"`...)
	w.parameters("outputData", parameters(t, false))
	w.b = append(w.b, '}')
}

// derived are the services by which properties are set and read.
func (w *writer) derived(t *thing.Template) {
	w.b = append(w.b, `{"identifier":"set","name":"set","required":true,"callType":"async","method":"`+methodSet+`"`...)
	w.parameters("inputData", parameters(t, true))
	w.b = append(w.b, `,"outputData":[]},{"identifier":"get","name":"get","required":true,"callType":"async","method":"`+methodGet+`","inputData":[`...)
	for i := range t.Property {
		w.comma(i)
		w.b = codec.AppendString(w.b, t.Property[i].Identifier)
	}
	w.b = append(w.b, ']')
	w.parameters("outputData", parameters(t, false))
	w.b = append(w.b, '}')
}

// parameters are the properties as parameters; with set only those that can be set.
func parameters(t *thing.Template, set bool) []thing.Parameter {
	var ps []thing.Parameter
	for i := range t.Property {
		p := &t.Property[i]
		if !set || p.AccessMode == thing.AccessReadWrite {
			ps = append(ps, thing.Parameter{Identifier: p.Identifier, Name: p.Name, DataType: p.DataType})
		}
	}
	return ps
}

func (w *writer) parameters(name string, ps []thing.Parameter) {
	w.b = append(append(append(w.b, ',', '"'), name...), `":`...)
	w.list(ps)
}

func (w *writer) list(ps []thing.Parameter) {
	w.b = append(w.b, '[')
	for i := range ps {
		w.comma(i)
		w.b = codec.AppendString(append(w.b, `{"identifier":`...), ps[i].Identifier)
		w.field("name", ps[i].Name)
		w.b = append(w.b, `,"dataType":`...)
		w.dataType(&ps[i].DataType)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

func (w *writer) dataType(d *thing.DataType) {
	name, _ := translate(types[:], 0, 1, string(d.Type))
	w.b = codec.AppendString(append(w.b, `{"type":`...), name)
	w.b = append(w.b, `,"specs":`...)
	switch d.Type {
	case thing.Struct:
		w.list(d.Members)
	case thing.Array:
		w.b = codec.AppendString(append(w.b, `{"size":`...), strconv.Itoa(d.Size))
		w.b = append(w.b, `,"item":`...)
		w.dataType(d.Item)
		w.b = append(w.b, '}')
	default:
		w.specs(d)
	}
	w.b = append(w.b, '}')
}

// specs writes an object whose values are all strings.
func (w *writer) specs(d *thing.DataType) {
	w.b = append(w.b, '{')
	n := 0
	add := func(name, value string) {
		w.comma(n)
		w.b = append(codec.AppendString(w.b, name), ':')
		w.b = codec.AppendString(w.b, value)
		n++
	}
	bound := func(name string, p *float64) {
		if p != nil {
			add(name, decimal(*p))
		}
	}
	switch d.Type {
	case thing.Int32, thing.Float32, thing.Float64:
		bound("min", d.Min)
		bound("max", d.Max)
		bound("step", d.Step)
		if d.UnitName != "" {
			add("unit", d.UnitName)
			add("unitName", d.UnitName)
		}
	case thing.Bool, thing.Enum:
		for _, l := range d.Labels {
			add(strconv.FormatInt(l.Value, 10), l.Text)
		}
	case thing.String:
		length := d.Length
		if length == 0 {
			length = thing.MaxLength
		}
		add("length", strconv.Itoa(length))
	}
	w.b = append(w.b, '}')
}
