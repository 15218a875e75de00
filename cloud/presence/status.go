package presence

import (
	"time"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Journal is told of sub-devices that come and go with their gateway's connection; the door knows only that. It must not block.
type Journal interface {
	// Carried is told of one that came over its gateway, or why it went.
	Carried(sub, gateway ident.Device, online bool, why string, at time.Time)
}

// status is one event device/status: a message that the hub makes itself.
type status struct {
	session *Session
	msg     uplink.Message
	online  bool
	out     [][]byte // what the rules made of it
	why     string   // it went offline
}

// status makes the event and lets the rules and applications see it; nothing has happened yet. What they make of it goes into the unit of the
// change itself.
func (p *Presence) status(s *Session, online bool, at time.Time) *status {
	dev := s.Device.Identity
	body := message.NewStatus(dev, online).AppendJSON(make([]byte, 0, 128))
	st := &status{session: s, online: online, msg: uplink.Message{
		ID: p.IDs.Next(), Device: dev, DeviceID: s.Device.ID, Product: s.Product(), At: at, QoS: 1, Payload: body,
		Topic: topic.Topic{Kind: topic.DeviceStatus, Device: dev}, Name: topic.System(dev, topic.DeviceStatus)}}
	if p.Rules != nil {
		st.out = p.Rules.Match(&st.msg, st.msg.Name, st.msg.Root, nil)
	}
	if p.Audience != nil && p.Audience.Listening() {
		p.Audience.Match(&st.msg)
	}
	return st
}

// tell lets everybody else know of an event that is committed.
func (p *Presence) tell(st *status) {
	p.metrics.event(st.online)
	p.announce(st.msg.DeviceID)
	p.Log.Debug("device status", "product", st.msg.Device.Product, "device", st.msg.Device.SN, "online", st.online, "message_id", st.msg.ID)
	if st.session.Gateway != nil { // its connection may outlive the login: it hears of both changes
		if err := st.session.sendStatus(st.online); err != nil {
			p.Log.Debug("status not sent", "device", st.msg.Device, "err", err)
		}
		if p.Journal != nil {
			p.Journal.Carried(st.msg.Device, st.session.Gateway.Device.Identity, st.online, st.why, st.msg.At)
		}
	}
	if p.Feed != nil && p.Feed.Watched() {
		p.Feed.Publish(monitor.Event{Time: st.msg.At, Type: monitor.TypePresence, Product: st.msg.Device.Product,
			Device: st.msg.Device.SN, Topic: st.msg.Name, MessageID: st.msg.ID, Data: st.msg.Payload})
	}
}

// Greet sends a device that has just been attached its own status, if it is subscribed to it. It is not kept.
func (p *Presence) Greet(s *Session) error { return s.sendStatus(true) }

// sendStatus sends a session's status over its connection, if that is subscribed to it.
func (s *Session) sendStatus(online bool) error {
	dev := s.Device.Identity
	name := topic.System(dev, topic.DeviceStatus)
	if _, ok := s.Subscribed(name); !ok {
		return nil
	}
	form := codec.JSON
	if s.CBOR() {
		form = codec.CBOR
	}
	body, err := codec.Marshal(form, message.NewStatus(dev, online))
	if err != nil {
		return err
	}
	return s.Send(server.Message{Topic: name, Payload: body, QoS: 1, Volatile: true})
}
