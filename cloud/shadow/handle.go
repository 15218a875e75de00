package shadow

import (
	"context"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
)

var _ uplink.Handler = (*Shadows)(nil)

// Handle takes a device's message on shadow/upstream or shadow/get.
func (s *Shadows) Handle(ctx context.Context, m *uplink.Message) error {
	p, err := s.Registry.Product(ctx, m.Device.Product)
	if err != nil && !errors.Is(err, registry.ErrProductNotFound) {
		return fmt.Errorf("shadow: %w", err)
	}
	if err != nil || !p.Shadow {
		return s.refuseDisabled(m)
	}
	// A turn is given back by After. Nothing may fail between the last return
	// of an error and the return of nil, or the turn would never end.
	if err := s.turns.take(ctx, m.DeviceID); err != nil {
		return err
	}
	if err := s.handle(ctx, m, options(p)); err != nil {
		s.turns.give(m.DeviceID)
		return err
	}
	return nil
}

func (s *Shadows) handle(ctx context.Context, m *uplink.Message, o shadowdoc.Options) error {
	d, err := s.load(ctx, m.DeviceID)
	if err != nil {
		return err
	}
	if m.Topic.Kind == topic.ShadowGet {
		if err := m.Reply(topic.ShadowGetReply, "", d.AppendGet(nil, m.Limit(topic.ShadowGetReply))); err != nil {
			return err
		}
		s.turns.give(m.DeviceID)
		return nil
	}
	return s.update(d, m, o)
}

func (s *Shadows) update(d *shadowdoc.Document, m *uplink.Message, o shadowdoc.Options) error {
	// What cannot be read is answered like any other malformed request: the
	// zero Value is no request.
	root, err := m.Root()
	if err != nil {
		root = codec.Value{}
	}
	out := shadowdoc.Device(d, root, m.At, o)
	if err := m.Reply(topic.ShadowDownstream, "", out.AppendReply(nil, m.Limit(topic.ShadowDownstream))); err != nil {
		return err
	}
	id, next := m.DeviceID, out.Next
	if next == nil {
		s.turns.give(id)
		return nil
	}
	m.Stage(write(id, next, m.At))
	m.Emit(topic.ShadowDocument, next.AppendDocument(nil))
	m.After(func(err error) {
		s.ended(id, next, err)
		s.turns.give(id)
	})
	return nil
}

// ended keeps what was committed, and forgets what may be out of date.
func (s *Shadows) ended(deviceID int64, next *shadowdoc.Document, err error) {
	if err != nil {
		s.docs.Remove(deviceID)
		return
	}
	s.docs.Put(deviceID, next)
}

// options are what the product chose for its shadows.
func options(p *registry.Product) shadowdoc.Options {
	merge := p.Settings.ShadowMerge
	return shadowdoc.Options{Merge: merge != nil && *merge}
}

// refuseDisabled answers with RetCode 100027. There is no document then whose version could be told.
func (s *Shadows) refuseDisabled(m *uplink.Message) error {
	kind := topic.ShadowDownstream
	if m.Topic.Kind == topic.ShadowGet {
		kind = topic.ShadowGetReply
	}
	return m.Reply(kind, "", shadowdoc.New().AppendReply(nil, message.CodeShadowDisabled, m.At))
}
