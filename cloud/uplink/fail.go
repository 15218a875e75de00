package uplink

import (
	"errors"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// fail ends or goes on with a message whose handler returned err.
func (p *Path) fail(m *Message, err error) {
	if r, ok := refusalOf(err); ok {
		p.refuse(m, r)
		return
	}
	if errors.Is(err, store.ErrConflict) || isUnavailable(err) {
		p.settle(m, err)
		return
	}
	p.fault(m, err)
}

// refuse forgets what the message would have caused and sends only the answer, in its place among the device's answers.
func (p *Path) refuse(m *Message, r *Refusal) {
	m.refused = r
	replies := m.replies
	m.replies = nil
	m.Reset()
	m.replies = replies
	if len(m.replies) == 0 {
		p.excuse(m, r)
	}
	p.Log.Debug("message refused", "device", m.Device, "topic", m.Name, "message_id", m.ID, "code", int(r.Code), "reason", r.Reason)
	p.commit(m)
}

// fault ends a message that met a fault of ours: the device gets RetCode 130, the log the whole error.
func (p *Path) fault(m *Message, err error) {
	p.metrics.count(m.Topic.Kind, resultFault)
	p.Log.Error("message not handled", "device", m.Device, "topic", m.Name, "message_id", m.ID, "err", err)
	m.Reset()
	r := Refuse(message.CodeInternal, "")
	p.excuse(m, r)
	p.answer(m)
	p.end(m, r)
}

// unavailable ends a message that could not be stored now: no answer and no acknowledgement, the sender has to repeat it.
func (p *Path) unavailable(m *Message, err error) {
	p.metrics.count(m.Topic.Kind, resultUnavailable)
	p.Log.Debug("message not stored", "device", m.Device, "topic", m.Name, "message_id", m.ID, "err", err)
	if !errors.Is(err, ErrHeld) { // who brings a batch wants to know
		err = server.ErrUnavailable
	}
	p.end(m, err)
}

func isUnavailable(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, server.ErrUnavailable) || store.IsTemporary(err)
}

// commonReply is the topic on which a request of kind k is answered in the common form {"RequestID","RetCode","Message"};
// Invalid for kinds that have a form of their own or no answer.
func commonReply(k topic.Kind) topic.Kind {
	switch k {
	case topic.TemplateGet, topic.PropertyPost, topic.PropertyRestore, topic.DesiredGet, topic.DesiredDelete, topic.EventPost,
		topic.SubdevRegister, topic.TopoAdd, topic.TopoDelete, topic.TopoGet, topic.SubdevLogin, topic.SubdevLogout:
		return k.Reply()
	}
	return topic.Invalid
}

// excuse stages the common form of a refusal's answer for kinds that have one. Kinds with a form of their own (shadow,
// password) are answered by their handlers, which are asked here when the fault is the hub's.
func (p *Path) excuse(m *Message, r *Refusal) {
	kind := commonReply(m.Topic.Kind)
	if e, ok := p.handlers[m.Topic.Kind].(Excuser); ok && kind == topic.Invalid {
		if err := e.Excuse(m, r.Code); err != nil {
			p.Log.Error("refusal not encoded", "topic", m.Name, "err", err)
		}
	}
	if kind == topic.Invalid {
		return
	}
	id, _ := m.RequestID()
	b := message.AppendReply(make([]byte, 0, 96), id, r.Code, r.Reason)
	if err := m.Reply(kind, "", b); err != nil {
		p.Log.Error("refusal not encoded", "topic", m.Name, "err", err)
	}
}
