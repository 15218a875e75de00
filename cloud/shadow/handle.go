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

var (
	_ uplink.Handler = (*Shadows)(nil)
	_ uplink.Excuser = (*Shadows)(nil)
)

// Handle takes a device's message on shadow/upstream or shadow/get.
func (s *Shadows) Handle(ctx context.Context, m *uplink.Message) error {
	p, err := s.Registry.Product(ctx, m.Device.Product)
	if err != nil && !errors.Is(err, registry.ErrProductNotFound) {
		return fmt.Errorf("shadow: %w", err)
	}
	if err != nil || !p.Shadow {
		return s.refuseDisabled(ctx, m)
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
	m.Note(out.Code, "")
	if err := m.Reply(topic.ShadowDownstream, "", out.AppendReply(make([]byte, 0, replyRoom), m.Limit(topic.ShadowDownstream))); err != nil {
		return err
	}
	id, next := m.DeviceID, out.Next
	if next == nil {
		s.turns.give(id)
		return nil
	}
	m.Stage(s.ops(id, d, next, m.At, By{Actor: ActorDevice})...)
	m.Emit(topic.ShadowDocument, next.AppendDocument(make([]byte, 0, next.Room())))
	m.After(func(err error) {
		s.ended(id, next, err)
		s.turns.give(id)
	})
	return nil
}

// replyRoom holds a reply without Delta.
const replyRoom = 112

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

// refuseDisabled answers with RetCode 100027 and the version of what is kept from before.
func (s *Shadows) refuseDisabled(ctx context.Context, m *uplink.Message) error {
	d, err := s.load(ctx, m.DeviceID)
	if err != nil {
		return err
	}
	m.Note(message.CodeShadowDisabled, "")
	return m.Reply(answerTo(m), "", d.AppendReply(nil, message.CodeShadowDisabled, m.At))
}

// Excuse implements uplink.Excuser: the hub itself failed, RetCode 130. The version is the last one that is known here.
func (s *Shadows) Excuse(m *uplink.Message, code message.Code) error {
	d, ok := s.docs.Get(m.DeviceID)
	if !ok {
		d = shadowdoc.New()
	}
	return m.Reply(answerTo(m), "", d.AppendReply(nil, code, m.At))
}

// answerTo is where a request is answered.
func answerTo(m *uplink.Message) topic.Kind {
	if m.Topic.Kind == topic.ShadowGet {
		return topic.ShadowGetReply
	}
	return topic.ShadowDownstream
}
