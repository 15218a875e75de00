package actionapi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
)

// Shadows is what the API needs of the shadows.
type Shadows interface {
	Get(ctx context.Context, dev ident.Device) (*shadowdoc.Document, error)
	Desire(ctx context.Context, dev ident.Device, w shadow.Wish) (*shadowdoc.Document, error)
}

var _ Shadows = (*shadow.Shadows)(nil)

// stamped is an answer that is only a time, as a text.
type stamped struct{ Timestamp string }

func (f *face) stamp() stamped { return stamped{strconv.FormatInt(f.now().Unix(), 10)} }

func (f *face) enableShadow(ctx context.Context, c *call) (any, error) {
	return f.setShadow(ctx, c, true)
}

func (f *face) disableShadow(ctx context.Context, c *call) (any, error) {
	return f.setShadow(ctx, c, false)
}

func (f *face) setShadow(ctx context.Context, c *call, on bool) (any, error) {
	_, err := f.updateProduct(ctx, c, registry.ProductUpdate{Shadow: &on})
	return f.stamp(), err
}

// document is a shadow as answers have it.
type document struct {
	Payload struct {
		State, Metadata struct{ Reported, Desired json.RawMessage }
	}
	Version   int32
	Timestamp any // a number from Get, a text from Update
}

func documentOf(dev ident.Device, d *shadowdoc.Document) (out document, err error) {
	out.Version = d.Version
	if err := json.Unmarshal(d.AppendDocument(nil), &out.Payload); err != nil {
		return out, fmt.Errorf("actionapi: shadow of %s: %w", dev, err)
	}
	for _, part := range []*json.RawMessage{&out.Payload.State.Reported, &out.Payload.State.Desired, &out.Payload.Metadata.Reported, &out.Payload.Metadata.Desired} {
		if len(*part) == 0 || string(*part) == "null" {
			*part = json.RawMessage("{}")
		}
	}
	return out, nil
}

func (f *face) getShadow(ctx context.Context, c *call) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	doc, err := f.Shadows.Get(ctx, d.Identity)
	if err != nil {
		return nil, err
	}
	out, err := documentOf(d.Identity, doc)
	out.Timestamp = doc.Timestamp
	return out, err
}

// updateShadow changes what is desired if ShadowVersion is still the document's; -1 asks for no version.
func (f *face) updateShadow(ctx context.Context, c *call) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	desired, err := c.needDecoded("Desired")
	if err != nil {
		return nil, err
	}
	if !c.has("ShadowVersion") && c.has("Version") { // as the other API's own example has it
		c.values["ShadowVersion"] = c.values["Version"]
	}
	if _, err := c.need("ShadowVersion"); err != nil {
		return nil, err
	}
	version, err := c.number("ShadowVersion", -1, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	w := shadow.Wish{Desired: desired, By: shadow.By{Actor: shadow.ActorKey, Name: account.From(ctx).ID}}
	if version >= 0 {
		w.IfVersion = new(int32(version))
	}
	doc, err := f.Shadows.Desire(ctx, d.Identity, w)
	if err != nil {
		return nil, err
	}
	out, err := documentOf(d.Identity, doc)
	out.Timestamp = strconv.FormatInt(doc.Timestamp, 10)
	return out, err
}
