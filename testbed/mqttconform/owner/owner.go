// Package owner makes a plain MQTT broker of the engine in protocol/mqtt/server: messages go to all who subscribed. Everybody may
// do everything, but for topics below "denied/" and a user whose password is wrong. Nothing outlives the process.
//
// It is what the conformance suite judges the engine with; a real owner has permissions, a store, and a reason to exist.
package owner

import (
	"context"
	"log/slog"
	"strings"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Broker is the owner; Server is the engine that it owns.
type Broker struct {
	Server *server.Server
	server.RetainedStore
	user, password string
}

var (
	_ server.Owner    = (*Broker)(nil)
	_ server.Retainer = (*Broker)(nil)
)

// New returns a broker where a client that says who it is must be user with password.
func New(cfg server.Config, user, password string, log *slog.Logger) *Broker {
	b := &Broker{user: user, password: password}
	b.Server = server.New(cfg, b, log)
	return b
}

// Connect implements server.Owner.
func (b *Broker) Connect(_ context.Context, c *server.Connect) (server.Welcome, error) {
	if c.UserName != "" && (c.UserName != b.user || string(c.Password) != b.password) {
		return server.Welcome{}, &server.Refusal{Code: packet.NotAuthorized, Reason: "wrong user or password"}
	}
	return server.Welcome{Routed: true, QueueOffline: true}, nil
}

// Attached implements server.Owner.
func (b *Broker) Attached(*server.Session) {}

// Subscribe implements server.Owner.
func (b *Broker) Subscribe(_ *server.Session, req []server.Subscription) ([]byte, error) {
	codes := make([]byte, len(req))
	for i, r := range req {
		codes[i] = r.QoS
		if denied(r.Filter) {
			codes[i] = byte(packet.Unauthorized)
		}
	}
	return codes, nil
}

// Unsubscribe implements server.Owner.
func (b *Broker) Unsubscribe(*server.Session, []string) error { return nil }

var errDenied = &server.Rejection{Code: packet.Unauthorized, Reason: "topics below denied/ are for nobody"}

// Publish implements server.Owner: it passes the message on before it is acknowledged, so that the order is the publisher's.
func (b *Broker) Publish(_ *server.Session, p *server.Publish) {
	if denied(p.Topic) {
		p.Done(errDenied)
		return
	}
	m := p.Message()
	if p.Retain {
		if err := b.Keep(&m); err != nil {
			p.Done(&server.Rejection{Code: packet.QuotaExceeded, Reason: err.Error()})
			return
		}
	}
	b.Server.Route(m)
	p.Done(nil)
}

// Delivered implements server.Owner.
func (b *Broker) Delivered(*server.Session, uint64) {}

// Disconnect implements server.Owner.
func (b *Broker) Disconnect(*server.Session, server.Cause) {}

func denied(topic string) bool { return strings.HasPrefix(topic, "denied/") }
