package rules

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules/jq"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// Devices is what queries can ask about the device of a message, as it is stored: without what the message itself changes.
type Devices interface {
	// Shadow returns the shadow document of a device, nil when it has none.
	Shadow(ctx context.Context, dev ident.Device) (json.RawMessage, error)
	// Property returns the latest value of a property, nil when there is none.
	Property(ctx context.Context, dev ident.Device, id string) (json.RawMessage, error)
}

// askTimeout bounds what a rule may wait for the store: the device's acknowledgement waits with it.
const askTimeout = 2 * time.Second

// queries are what rules add to the language.
func queries(d Devices) rulesql.Owner {
	o := rulesql.Owner{Filter: filter}
	if d == nil {
		return o
	}
	o.Shadow = func(e *rulesql.Env) (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		doc, err := d.Shadow(ctx, e.Device)
		if err != nil || doc == nil {
			return nil, err
		}
		return value(doc)
	}
	o.Property = func(e *rulesql.Env, id string) (any, bool, error) {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		v, err := d.Property(ctx, e.Device, id)
		if err != nil || v == nil {
			return nil, false, err
		}
		out, err := value(v)
		return out, err == nil, err
	}
	return o
}

// value decodes what is stored. The document is not released: how long the evaluation keeps values of it is not known here.
func value(b json.RawMessage) (codec.Value, error) {
	doc, err := codec.DecodeAs(codec.JSON, b, codec.Limits{Size: 4 << 20, Count: 1 << 18})
	if err != nil {
		return codec.Value{}, err
	}
	return doc.Root(), nil
}

// filter compiles a jq filter.
func filter(source string) (func(any) (any, bool, error), error) {
	f, err := jq.New(source, jq.DefaultLimits())
	if err != nil {
		return nil, err
	}
	return f.Run, nil
}
