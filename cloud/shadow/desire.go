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

// Wish is a change of what applications desire of a device.
type Wish struct {
	// Desired is a JSON object: each member sets that key, null deletes it; null itself deletes all.
	Desired []byte
	// Merge says whether a nested object changes only the keys that it has (RFC 7396); nil: as the product chose.
	Merge *bool
	// IfRevision, when not nil, must be the document's revision, else the answer is ErrRevision.
	IfRevision *int64
	// IfVersion, when not nil, must be the version that devices see, else the answer is ErrVersion.
	IfVersion *int32
	By        By
}

// Desire changes what applications desire of a device, and tells the device of all its desired keys. It returns the document after
// the change, which is committed then.
func (s *Shadows) Desire(ctx context.Context, dev ident.Device, w Wish) (*shadowdoc.Document, error) {
	device, options, err := s.device(ctx, dev)
	if err != nil {
		return nil, err
	}
	if w.Merge != nil {
		options.Merge = *w.Merge
	}
	body, err := codec.Decode(w.Desired, codec.DefaultLimits())
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
	limit := 0
	if buffer, known := s.buffer(ctx, device); known {
		limit = uplink.PayloadLimit(buffer, topic.System(dev, topic.ShadowDownstream))
	}
	doc, changed, err := s.change(ctx, device, w.By, func(d *shadowdoc.Document, now time.Time) (*shadowdoc.Document, error) {
		if w.IfRevision != nil && *w.IfRevision != d.Revision {
			return nil, ErrRevision
		}
		if w.IfVersion != nil && *w.IfVersion != d.Version {
			return nil, ErrVersion
		}
		out := shadowdoc.Desire(d, body.Root(), now, options)
		if out.Next == nil {
			return nil, refusal(out.Code)
		}
		if _, err := out.Next.Controls(limit); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTooLargeForDevice, err)
		}
		return out.Next, nil
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
// to its next request. With ifRevision it is done only if that is still the document's revision.
func (s *Shadows) Delete(ctx context.Context, dev ident.Device, ifRevision *int64, by By) error {
	device, _, err := s.device(ctx, dev)
	if err != nil {
		return err
	}
	_, _, err = s.change(ctx, device, by, func(d *shadowdoc.Document, now time.Time) (*shadowdoc.Document, error) {
		if ifRevision != nil && *ifRevision != d.Revision {
			return nil, ErrRevision
		}
		empty := shadowdoc.New()
		empty.Revision, empty.Timestamp = d.Revision+1, now.Unix()
		return empty, nil
	})
	return err
}

// change commits what compute makes of the present document; nil leaves it as it is. compute may be called again when
// somebody else was quicker.
func (s *Shadows) change(ctx context.Context, device *registry.Device, by By, compute func(*shadowdoc.Document, time.Time) (*shadowdoc.Document, error)) (doc *shadowdoc.Document, changed bool, err error) {
	for range maxTries {
		doc, changed, err = s.try(ctx, device, by, compute)
		if !errors.Is(err, store.ErrConflict) {
			return doc, changed, err
		}
	}
	return nil, false, ErrBusy
}

func (s *Shadows) try(ctx context.Context, device *registry.Device, by By, compute func(*shadowdoc.Document, time.Time) (*shadowdoc.Document, error)) (doc *shadowdoc.Document, changed bool, err error) {
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
	note, out, err := s.note(ctx, device, next, now)
	if err != nil {
		s.turns.give(device.ID)
		return nil, false, err
	}
	s.Store.SubmitFor(ctx, &store.Unit{
		Device: device.ID,
		Ops:    append(s.ops(device.ID, d, next, now, by), note.Staged()...),
		Out:    out,
		Done: func(err error) {
			s.ended(device.ID, next, err)
			note.Ended(err)
			s.turns.give(device.ID)
			end <- err
		},
	})
	if err := <-end; err != nil {
		return nil, false, fmt.Errorf("shadow: change of %s: %w", device.Identity, err)
	}
	return next, true, nil
}

// note is the document as a message for rules and applications; what they make of it is committed with the change.
func (s *Shadows) note(ctx context.Context, device *registry.Device, next *shadowdoc.Document, now time.Time) (m *uplink.Message, out [][]byte, err error) {
	m = &uplink.Message{}
	listening := s.Audience != nil && s.Audience.Listening()
	if s.Rules == nil && !listening {
		return m, nil, nil
	}
	*m = uplink.Message{
		ID: s.IDs.Next(), Device: device.Identity, DeviceID: device.ID, At: now, QoS: 1, Payload: next.AppendDocument(nil),
		Topic: topic.Topic{Kind: topic.ShadowDocument, Device: device.Identity}, Name: topic.System(device.Identity, topic.ShadowDocument),
	}
	if s.Rules != nil {
		out = s.Rules.Match(m, m.Name, m.Root, nil)
	}
	if listening {
		if m.Product, err = s.Registry.Product(ctx, device.Identity.Product); err != nil {
			return nil, nil, fmt.Errorf("shadow: product of %s: %w", device.Identity, err)
		}
		s.Audience.Match(m)
	}
	return m, out, nil
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
