package shadow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// maxTries bounds how often a change is computed anew because others were quicker.
const maxTries = 16

// Desire changes what applications desire of a device: each member of the JSON object desired sets that key, null
// deletes it; on a product that merges shadows a nested object changes the keys that it has (RFC 7396). With ifRevision the change is made only if that is still the document's revision, else it is ErrRevision.
// The device is told of all its desired keys. It returns the document after the change, which is committed then.
func (s *Shadows) Desire(ctx context.Context, dev ident.Device, desired []byte, ifRevision *int64) (*shadowdoc.Document, error) {
	device, options, err := s.device(ctx, dev)
	if err != nil {
		return nil, err
	}
	body, err := codec.Decode(desired, codec.DefaultLimits())
	if err != nil {
		return nil, &ErrInvalid{"desired", err.Error()}
	}
	defer body.Release()
	// Of two wishes the later one is also told later.
	if err := s.wishes.take(ctx, device.ID); err != nil {
		return nil, err
	}
	defer s.wishes.give(device.ID)
	if k := body.Root().Kind(); k != codec.Object && k != codec.Null {
		return nil, &ErrInvalid{"desired", "is no object"}
	}
	doc, changed, err := s.change(ctx, device, func(d *shadowdoc.Document, now time.Time) (*shadowdoc.Document, error) {
		if ifRevision != nil && *ifRevision != d.Revision {
			return nil, ErrRevision
		}
		out := shadowdoc.Desire(d, body.Root(), now, options)
		return out.Next, refusal(out.Code)
	})
	if err != nil {
		return nil, err
	}
	if changed && doc.HasDesired() {
		s.tell(ctx, dev, doc)
	}
	return doc, nil
}

// Delete makes a device's shadow an empty one again, of version 0. The device is not told: it learns so from the answer
// to its next request.
func (s *Shadows) Delete(ctx context.Context, dev ident.Device) error {
	device, _, err := s.device(ctx, dev)
	if err != nil {
		return err
	}
	_, _, err = s.change(ctx, device, func(d *shadowdoc.Document, now time.Time) (*shadowdoc.Document, error) {
		empty := shadowdoc.New()
		empty.Revision, empty.Timestamp = d.Revision+1, now.Unix()
		return empty, nil
	})
	return err
}

// change commits what compute makes of the present document; nil leaves it as it is. compute may be called again when
// somebody else was quicker.
func (s *Shadows) change(ctx context.Context, device *registry.Device, compute func(*shadowdoc.Document, time.Time) (*shadowdoc.Document, error)) (doc *shadowdoc.Document, changed bool, err error) {
	for range maxTries {
		doc, changed, err = s.try(ctx, device, compute)
		if !errors.Is(err, store.ErrConflict) {
			return doc, changed, err
		}
	}
	return nil, false, ErrBusy
}

func (s *Shadows) try(ctx context.Context, device *registry.Device, compute func(*shadowdoc.Document, time.Time) (*shadowdoc.Document, error)) (doc *shadowdoc.Document, changed bool, err error) {
	if err := s.turns.take(ctx, device.ID); err != nil {
		return nil, false, err
	}
	d, err := s.read(ctx, device.ID)
	if err != nil {
		s.turns.give(device.ID)
		return nil, false, err
	}
	now := s.now()
	next, err := compute(d, now)
	if err != nil || next == nil {
		s.turns.give(device.ID)
		return d, false, err
	}
	end := make(chan error, 1)
	s.Store.Submit(&store.Unit{
		Device: device.ID,
		Ops:    []store.Op{write(device.ID, next, now)},
		Out:    s.outputs(device, next, now),
		Done: func(err error) {
			s.ended(device.ID, next, err)
			s.turns.give(device.ID)
			end <- err
		},
	})
	if err := <-end; err != nil {
		return nil, false, fmt.Errorf("shadow: change of %s: %w", device.Identity, err)
	}
	return next, true, nil
}

// outputs are what rules make of the document; they are committed with it.
func (s *Shadows) outputs(device *registry.Device, next *shadowdoc.Document, now time.Time) [][]byte {
	if s.Rules == nil {
		return nil
	}
	m := &uplink.Message{
		ID: s.IDs.Next(), Device: device.Identity, DeviceID: device.ID, At: now, Payload: next.AppendDocument(nil),
		Topic: topic.Topic{Kind: topic.ShadowDocument, Device: device.Identity}, Name: topic.System(device.Identity, topic.ShadowDocument),
	}
	return s.Rules.Match(m, m.Name, m.Root, nil)
}

func refusal(code message.Code) error {
	switch code {
	case message.CodeOK:
		return nil
	case message.CodeRange:
		return ErrTooLarge
	default:
		return &ErrInvalid{"desired", code.Text()}
	}
}

// tell sends the device what is desired of it. The change is committed: a device that cannot be told now finds it with
// shadow/get.
func (s *Shadows) tell(ctx context.Context, dev ident.Device, doc *shadowdoc.Document) {
	name := topic.System(dev, topic.ShadowDownstream)
	payloads, err := doc.Controls(uplink.PayloadLimit(s.Sender.Buffer(ctx, dev), name))
	if err == nil {
		err = s.Sender.Control(ctx, dev, name, payloads)
	}
	if err != nil {
		s.Log.Warn("device not told of its desired state", "product", dev.Product, "device", dev.SN, "err", err)
	}
}
