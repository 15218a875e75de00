package devicetest

import (
	"errors"
	"time"

	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// answer does what a message on a system topic asks for.
func (h *Hub) answer(m Message) {
	h.mu.Lock()
	d := h.devices[m.From]
	mute := d == nil || d.mute
	h.mu.Unlock()
	if mute {
		return
	}
	switch m.Topic.Kind {
	case topic.PropertyPost:
		h.propertyPost(d, m)
	case topic.PropertyRestore:
		h.restore(d, m)
	case topic.EventPost, topic.DesiredDelete, topic.TopoDelete:
		h.acknowledge(m)
	case topic.DesiredGet:
		h.reply(m, message.DesiredGetReply{RequestID: idOf(m), Desired: map[string]message.Desired{}})
	case topic.ShadowUpstream:
		h.shadowRequest(d, m)
	case topic.ShadowGet:
		h.mu.Lock()
		doc := d.shadow
		h.mu.Unlock()
		h.post(m.From, topic.System(m.From, topic.ShadowGetReply), doc.AppendGet(nil, 0))
	case topic.Password:
		h.reply(m, message.NewPasswordReply(idOf(m), h.Secret(m.From).Reveal()))
	case topic.NTPRequest:
		h.ntp(m)
	case topic.TopoAdd, topic.TopoGet, topic.SubdevLogin, topic.SubdevLogout:
		h.topology(m)
	case topic.PropertySetReply, topic.CommandReply:
		h.returned(m)
	case topic.AgentUp:
		h.unsupported(m)
	case topic.OTAUpstream:
		h.firmware(m)
	case topic.UploadUpstream:
		h.upload(m)
	}
}

// reply sends body on the topic that answers m's.
func (h *Hub) reply(m Message, body any) {
	b, err := codec.Marshal(codec.Detect(m.Payload), body)
	if err != nil {
		h.log.Error("a reply can't be encoded", "topic", m.Name, "err", err)
		return
	}
	h.post(m.From, topic.System(m.From, m.Topic.Kind.Reply()), b)
}

func (h *Hub) acknowledge(m Message) {
	if m.Topic.Kind.Reply() != topic.Invalid {
		h.reply(m, message.NewReply(idOf(m), message.CodeOK))
	}
}

func idOf(m Message) message.RequestID {
	var r message.Request
	if err := codec.Unmarshal(m.Payload, &r); err != nil {
		return ""
	}
	return r.RequestID
}

// post sends what a device need not be there for.
func (h *Hub) post(to ident.Device, name string, payload []byte) {
	err := h.send(to, name, payload)
	if err != nil && !errors.Is(err, server.ErrNotSubscribed) && !errors.Is(err, server.ErrOffline) {
		h.log.Warn("a message could not be sent", "topic", name, "err", err)
	}
}

// send hands a message to the device, through its gateway if it has one.
func (h *Hub) send(to ident.Device, name string, payload []byte) error {
	h.mu.Lock()
	carrier, engine := to, h.engine
	if d := h.devices[to]; d != nil && d.Kind == Subdevice {
		carrier = d.gateway
	}
	h.mu.Unlock()
	s, ok := engine.Session(carrier.ClientID())
	if !ok {
		return server.ErrOffline
	}
	return s.Send(server.Message{Topic: name, Payload: payload, QoS: 1})
}

func (h *Hub) propertyPost(d *state, m Message) {
	var post message.PropertyPost
	if err := codec.Unmarshal(m.Payload, &post); err != nil {
		h.reply(m, message.NewReply(idOf(m), message.CodeBad))
		return
	}
	h.mu.Lock()
	for k, v := range post.Property {
		if v.Time == 0 {
			v.Time = time.Now().UnixMilli()
		}
		d.reported[k] = v
	}
	h.changedLocked()
	h.mu.Unlock()
	h.acknowledge(m)
}

func (h *Hub) restore(d *state, m Message) {
	r := message.RestoreReply{RequestID: idOf(m), Property: make(map[string]message.Value)}
	h.mu.Lock()
	for k, v := range d.reported {
		r.Property[k] = v
		r.LatestUpdateTime = max(r.LatestUpdateTime, v.Time)
	}
	h.mu.Unlock()
	h.reply(m, r)
}

func (h *Hub) shadowRequest(d *state, m Message) {
	doc, err := codec.Decode(m.Payload, codec.DefaultLimits())
	var req codec.Value
	if err == nil {
		req = doc.Root()
		defer doc.Release()
	}
	h.mu.Lock()
	out := shadowdoc.Device(d.shadow, req, time.Now(), shadowdoc.Options{})
	if out.Next != nil {
		d.shadow = out.Next
	}
	h.changedLocked()
	h.mu.Unlock()
	h.post(m.From, topic.System(m.From, topic.ShadowDownstream), out.AppendReply(nil, 0))
}

// unsupported says that this hub speaks no agent channel.
func (h *Hub) unsupported(m Message) {
	in, err := agentmsg.Parse(m.Payload)
	hello, ok := in.(*agentmsg.Hello)
	if err != nil || !ok {
		return
	}
	if b, err := agentmsg.Marshal(&agentmsg.Unsupported{Type: hello.T}); err == nil {
		h.post(m.From, topic.System(m.From, topic.AgentDown), b)
	}
}

func (h *Hub) ntp(m Message) {
	var req message.NTPRequest
	if err := codec.Unmarshal(m.Payload, &req); err != nil {
		return
	}
	now := time.Now().UnixMilli()
	h.reply(m, message.NTPResponse{DeviceSendTime: req.DeviceSendTime, ServerRecvTime: now, ServerSendTime: now})
}

// topology keeps which gateway carries whom.
func (h *Hub) topology(m Message) {
	var req message.SubdevRequest
	if err := codec.Unmarshal(m.Payload, &req); err != nil {
		h.reply(m, message.SubdevReply{RequestID: idOf(m), RetCode: message.CodeBad})
		return
	}
	r := message.SubdevReply{RequestID: req.RequestID}
	h.mu.Lock()
	switch m.Topic.Kind {
	case topic.TopoGet:
		r.Data = message.NoSubdevs()
		for _, d := range h.devices {
			if d.gateway == m.From {
				r.Data = append(r.Data, message.NewSubdev(d.ID))
			}
		}
	default:
		r.RetCode = h.topologyLocked(m, req.Params)
	}
	h.changedLocked()
	h.mu.Unlock()
	h.reply(m, r)
}

func (h *Hub) topologyLocked(m Message, params []message.Subdev) message.Code {
	for _, p := range params {
		d := h.devices[p.Device()]
		switch {
		case d == nil || d.Kind != Subdevice:
			return message.CodeNoSuchIdentity
		case m.Topic.Kind != topic.TopoAdd && d.gateway != m.From:
			return message.CodeNoPermission
		case d.disabled:
			return message.CodeDisabled
		}
	}
	for _, p := range params {
		d := h.devices[p.Device()]
		switch m.Topic.Kind {
		case topic.TopoAdd:
			d.gateway = m.From
		case topic.SubdevLogin:
			d.online = true
		case topic.SubdevLogout:
			d.online = false
		}
	}
	return message.CodeOK
}
