package device

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Properties are values by identifier of the thing model. A value is a number, a
// string, a bool (sent as 0 or 1), a slice, a map or a struct with json tags; in
// PostProperties it may be a Sample.
type Properties map[string]any

// Sample is a value with the time at which it was measured. Without one the hub
// takes the time of arrival.
type Sample struct {
	Value any
	Time  time.Time
}

// Reported is a value as the hub holds it.
type Reported struct {
	Value any
	Time  time.Time
}

// Desired is a value that an application wants. Version counts its changes.
type Desired struct {
	Value   any
	Version int64
}

// PostProperties reports values and returns when the hub has checked them
// against the thing model and stored them; one bad value makes it refuse all.
func (d *Device) PostProperties(ctx context.Context, p Properties) error {
	body := message.PropertyPost{RequestID: d.requestID(), Property: make(map[string]message.Value, len(p))}
	for id, v := range p {
		var w message.Value
		if s, ok := v.(Sample); ok {
			v, w.Time = s.Value, s.Time.UnixMilli()
		}
		var err error
		if w.Value, err = raw(v); err != nil {
			return fmt.Errorf("property %s: %w", id, err)
		}
		body.Property[id] = w
	}
	return d.request(ctx, topic.PropertyPost, topic.PropertyPostReply, body.RequestID, body, nil)
}

// OnPropertySet calls handle when the cloud sets properties. A nil error tells
// the hub that all of them are in force; report them with PostProperties
// afterwards. Register it before Run.
func (d *Device) OnPropertySet(handle func(ctx context.Context, set Properties) error) error {
	d.mu.Lock()
	d.onSet = handle
	d.mu.Unlock()
	return d.listen(context.Background(), topic.PropertySet, d.propertySet)
}

func (d *Device) propertySet(ctx context.Context, payload []byte) {
	var set struct {
		message.Request
		Property Properties `json:"Property"`
	}
	if err := codec.Unmarshal(payload, &set); err != nil {
		d.log.Warn("a property set can't be decoded", "err", err)
		return
	}
	d.mu.Lock()
	handle := d.onSet
	d.mu.Unlock()
	reply := func(code message.Code) {
		body := message.PropertySetReply{RequestID: set.RequestID, RetCode: code}
		if err := d.publishBody(ctx, topic.PropertySetReply, body); err != nil {
			d.log.Warn("a property set could not be answered", "err", err)
		}
	}
	if !d.work.start(func() {
		err := handle(ctx, set.Property)
		if err != nil {
			d.log.Warn("a property set was refused by its handler", "err", err)
		}
		reply(codeOf(err))
	}) {
		d.log.Warn("too many handlers run: a property set is refused")
		reply(message.CodeInternal)
	}
}

// LastReported asks the hub for the values that it holds, for instance after a
// restart of a device without memory.
func (d *Device) LastReported(ctx context.Context) (map[string]Reported, error) {
	id := d.requestID()
	var reply struct {
		Property map[string]struct {
			Value any   `json:"Value"`
			Time  int64 `json:"Time"`
		} `json:"Property"`
	}
	if err := d.request(ctx, topic.PropertyRestore, topic.PropertyRestoreReply, id, message.Request{RequestID: id}, &reply); err != nil {
		return nil, err
	}
	vals := make(map[string]Reported, len(reply.Property))
	for id, v := range reply.Property {
		vals[id] = Reported{v.Value, time.UnixMilli(v.Time)}
	}
	return vals, nil
}

// DesiredProperties asks for the values that applications want; of all
// properties when none is named.
func (d *Device) DesiredProperties(ctx context.Context, identifiers ...string) (map[string]Desired, error) {
	body := message.DesiredGet{RequestID: d.requestID(), Require: identifiers}
	var reply struct {
		Desired map[string]struct {
			Value   any   `json:"Value"`
			Version int64 `json:"Version"`
		} `json:"Desired"`
	}
	if err := d.request(ctx, topic.DesiredGet, topic.DesiredGetReply, body.RequestID, body, &reply); err != nil {
		return nil, err
	}
	vals := make(map[string]Desired, len(reply.Desired))
	for id, v := range reply.Desired {
		vals[id] = Desired(v)
	}
	return vals, nil
}

// ClearDesired tells the hub that desired values were applied. Each goes only if
// its Version is still the same; with a newer one the hub refuses.
func (d *Device) ClearDesired(ctx context.Context, applied map[string]Desired) error {
	body := message.DesiredDelete{RequestID: d.requestID(), Delete: make(map[string]message.DesiredVersion, len(applied))}
	for id, v := range applied {
		body.Delete[id] = message.DesiredVersion{Version: v.Version}
	}
	return d.request(ctx, topic.DesiredDelete, topic.DesiredDeleteReply, body.RequestID, body, nil)
}

// PostEvent reports an event of the thing model with its output parameters (a
// map or a struct, nil for none), at the time now.
func (d *Device) PostEvent(ctx context.Context, identifier string, output any) error {
	body := message.EventPost{
		RequestID: d.requestID(), Identifier: identifier, Output: emptyObject, Time: time.Now().UnixMilli(),
	}
	if output != nil {
		var err error
		if body.Output, err = raw(output); err != nil {
			return fmt.Errorf("event %s: %w", identifier, err)
		}
	}
	return d.request(ctx, topic.EventPost, topic.EventPostReply, body.RequestID, body, nil)
}

var emptyObject = json.RawMessage("{}")

// raw encodes a value for a message that is then encoded in either format.
func raw(v any) (json.RawMessage, error) { return codec.Marshal(codec.JSON, plain(v)) }

// plain puts values into wire form: bools as 0 and 1, also inside maps.
func plain(v any) any {
	switch v := v.(type) {
	case bool:
		if v {
			return 1
		}
		return 0
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = plain(e)
		}
		return m
	case Properties:
		return plain(map[string]any(v))
	case []any:
		s := make([]any, len(v))
		for i, e := range v {
			s[i] = plain(e)
		}
		return s
	}
	return v
}
