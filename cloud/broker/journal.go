package broker

import (
	"errors"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Journal keeps what devices and applications do at the door, and why they were refused. It must not block.
type Journal interface{ Behaved(Behaviour) }

// What they do.
const (
	ActionLogin     = "login"
	ActionRegister  = "register" // a dynamic registration
	ActionLogout    = "logout"
	ActionSubscribe = "subscribe"
	ActionPublish   = "publish" // only when it was refused: what was taken is the path's
)

// Behaviour is something that a device or an application did.
type Behaviour struct {
	At          time.Time
	Device      ident.Device // who it says it is: of a refused login that may be anybody
	Application string       // of one that was let in: its key's id and its client id with a colon between them
	Project     string       // of the application's key; "" is all of them
	Action      string
	Result      uplink.Result
	Reason      string // why not, or how
	Detail      string // address and protocol of a login
	Topic       string
	Payload     []byte // of a publish; must not be kept
	QoS         byte
	Took        time.Duration
}

// of is who did it.
func of(s *presence.Session) Behaviour { return Behaviour{Device: s.Device.Identity} }

func ofApp(s *application.Session) Behaviour {
	return Behaviour{Application: s.Name(), Project: s.App.Project}
}

func (b *Broker) behaved(h Behaviour) {
	if b.Journal == nil {
		return
	}
	if h.At.IsZero() {
		h.At = time.Now()
	}
	b.Journal.Behaved(h)
}

// login notes how a CONNECT of h's device or application ended; h has its time and what it was for.
func (b *Broker) login(c *server.Connect, h Behaviour, err error) {
	if b.Journal == nil {
		return
	}
	h.Result, h.Took = uplink.OK, time.Since(h.At)
	h.Detail = strings.Join([]string{c.Remote, c.Transport, protocol(c.Version)}, " ")
	if err != nil {
		h.Result, h.Reason = uplink.Refused, err.Error()
		if r, ok := errors.AsType[*server.Refusal](err); ok {
			h.Reason = r.Reason
			if r.Code == packet.ServerUnavailable {
				h.Result = uplink.Failed
			}
		} else {
			h.Result = uplink.Failed
		}
		if h.Device == (ident.Device{}) {
			h.Detail += " client id " + c.ClientID
		}
	}
	b.behaved(h)
}

// logout notes how a connection ended.
func (b *Broker) logout(h Behaviour, why server.Cause) {
	h.Action, h.Result, h.Reason = ActionLogout, uplink.OK, why.String()
	switch why {
	case server.CauseDisconnect, server.CauseDisconnectWill, server.CauseTakenOver, server.CauseShutdown:
	case server.CauseMalformed, server.CauseProtocol, server.CauseTooLarge, server.CauseKicked, server.CauseDeleted, server.CauseQuota, server.CauseAuth:
		h.Result = uplink.Refused
	default:
		h.Result = uplink.Failed
	}
	b.behaved(h)
}

// notReached is why an application may not subscribe or publish.
const notReached = "the key does not reach this topic"

// refusedApp notes a publish of an application that went nowhere.
func (b *Broker) refusedApp(s *application.Session, p *server.Publish, err error) {
	if b.Journal == nil {
		return
	}
	h := ofApp(s)
	h.Action, h.Result, h.Reason, h.Detail = ActionPublish, uplink.Refused, err.Error(), "publish"
	if errors.Is(err, application.ErrForbidden) {
		h.Reason = notReached
	}
	h.Topic, h.Payload, h.QoS = p.Topic, p.Payload, p.QoS
	b.behaved(h)
}

// subscribed notes which filters were granted to who, and which not, and why.
func (b *Broker) subscribed(who Behaviour, req []server.Subscription, codes []byte) {
	if b.Journal == nil {
		return
	}
	for i := range req {
		h := who
		h.Action, h.Result, h.Topic, h.QoS = ActionSubscribe, uplink.OK, req[i].Filter, req[i].QoS
		switch {
		case codes[i] < packet.SubackFailure:
		case codes[i] == byte(packet.QuotaExceeded):
			h.Result, h.Reason = uplink.Refused, "the device has as many subscriptions as it may"
		case h.Application != "":
			h.Result, h.Reason = uplink.Refused, notReached
		default:
			h.Result, h.Reason = uplink.Refused, "the device may not subscribe to this topic"
		}
		b.behaved(h)
	}
}
