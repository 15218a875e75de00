package hub

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// ruleDevices is the state of devices for rules, which are made before shadows and things.
type ruleDevices struct{ hub *Hub }

var _ rules.Devices = ruleDevices{}

// Shadow implements rules.Devices. It is the document as the device gets it, with State.Reported and State.Desired. A product without shadows has devices without one.
func (r ruleDevices) Shadow(ctx context.Context, dev ident.Device) (json.RawMessage, error) {
	doc, err := r.hub.shadows.Get(ctx, dev)
	if errors.Is(err, shadow.ErrDisabled) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return doc.AppendDocument(nil), nil
}

// Property implements rules.Devices.
func (r ruleDevices) Property(ctx context.Context, dev ident.Device, id string) (json.RawMessage, error) {
	list, err := r.hub.things.Latest(ctx, dev)
	if err != nil {
		return nil, err
	}
	for _, v := range list {
		if v.Identifier == id {
			return v.Value, nil
		}
	}
	return nil, nil
}
