package gateway

import (
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Port is where messages for a sub-device go that a driver has brought in. Deliver must not block; its error drops the message.
type Port interface {
	Deliver(name string, payload []byte, qos byte) error
}

// Errors of Attach and Submit.
var (
	// ErrStranger: the sub-device is not behind this gateway; list it in the configuration.
	ErrStranger = errors.New("gateway: not a sub-device of this gateway")
	// ErrBarred: the hub has disabled the sub-device or taken it away.
	ErrBarred = errors.New("gateway: the hub does not let the sub-device in")
	// ErrTaken: the sub-device is brought in already, by a driver or by its own connection.
	ErrTaken = errors.New("gateway: the sub-device is connected otherwise")
)

// Attach brings a sub-device in for which p speaks. It is online until Detach.
func (g *Gateway) Attach(d ident.Device, p Port) error {
	g.mu.Lock()
	m := g.members[d]
	switch {
	case m == nil:
		g.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrStranger, d)
	case m.barred():
		g.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrBarred, d)
	case m.port != nil || m.online:
		g.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrTaken, d)
	}
	m.port = p
	g.mu.Unlock()
	g.up.Attached(d)
	g.up.Wanted(d, []server.Subscription{{Filter: "/$system/" + d.Product + "/" + d.SN + "/#", QoS: 1}, {Filter: topic.Name(d, "#"), QoS: 1}})
	return nil
}

// Detach takes a sub-device out that p has brought in.
func (g *Gateway) Detach(d ident.Device, p Port) {
	g.mu.Lock()
	m := g.members[d]
	mine := m != nil && m.port == p
	if mine {
		m.port = nil
	}
	g.mu.Unlock()
	if mine {
		g.up.Wanted(d, nil)
		g.up.Detached(d)
	}
}

// Submit takes a message of a sub-device from a driver or over HTTP; done runs once, with nil when it is durable.
func (g *Gateway) Submit(name string, payload []byte, qos byte, done func(error)) {
	m, err := g.speaker(name)
	if err == nil && m.device == g.cfg.Own {
		err = fmt.Errorf("%w: %s", ErrStranger, m.device)
	}
	if err != nil {
		done(err)
		return
	}
	g.forward(m, name, payload, qos, done)
}
