package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Application is a program on the gateway, or beside it, that works with messages: it logs in with the user name app|NAME, as an
// application does at the hub, and any client id.
type Application struct {
	Name   string
	Secret credential.Secret
	// Publish and Subscribe are topic filters. An application may always use what begins with local/; a topic of a sub-device, or of the
	// gateway itself, that it publishes to goes up as that one's message.
	Publish   []string
	Subscribe []string
}

type application struct{ Application }

// enrolApplication checks one of the configuration.
func (g *Gateway) enrolApplication(a Application) error {
	switch {
	case a.Name == "" || len(a.Name) > 64 || strings.ContainsAny(a.Name, "|/+#"):
		return fmt.Errorf("application %q: bad name", a.Name)
	case a.Secret == "":
		return fmt.Errorf("application %s: the secret is missing", a.Name)
	case g.apps[a.Name] != nil:
		return fmt.Errorf("application %s is listed twice", a.Name)
	}
	for _, f := range slices.Concat(a.Publish, a.Subscribe) {
		if err := topic.ValidFilter(f); err != nil {
			return fmt.Errorf("application %s: %q: %w", a.Name, f, err)
		}
	}
	g.apps[a.Name] = &application{a}
	return nil
}

// connectApplication judges a login with the user name app|name.
func (o *owner) connectApplication(c *server.Connect, name string) (server.Welcome, error) {
	a := o.apps[name]
	if a == nil || !a.Secret.Equal(string(c.Password)) {
		return server.Welcome{}, refuse(packet.BadCredentials, "not an application of this gateway, or wrong secret")
	}
	return server.Welcome{Identity: "app|" + name + "|" + c.ClientID, Data: a, Routed: true}, nil
}

// maySubscribe: a filter that is granted, or lies within one that is.
func (a *application) maySubscribe(filter string) bool {
	if _, rest, shared, ok := packet.Share(filter); shared && ok {
		filter = rest
	}
	return within(filter, LocalPrefix+"#") || slices.ContainsFunc(a.Subscribe, func(granted string) bool { return within(filter, granted) })
}

// within tells whether every topic of filter is one of granted.
func within(filter, granted string) bool {
	f, g := strings.Split(filter, "/"), strings.Split(granted, "/")
	for i, level := range g {
		if level == "#" {
			return true
		}
		if i >= len(f) || f[i] == "#" || f[i] != level && (level != "+" || strings.HasPrefix(f[i], "$") && i == 0) {
			return false
		}
	}
	return len(f) == len(g)
}

func (o *owner) subscribeApplication(a *application, req []server.Subscription) []byte {
	codes := make([]byte, len(req))
	for i, r := range req {
		if codes[i] = min(r.QoS, 1); !a.maySubscribe(r.Filter) {
			codes[i] = byte(packet.Unauthorized)
			o.log.Warn("application may not subscribe", "application", a.Name, "topic", r.Filter)
		}
	}
	return codes
}

func (o *owner) publishApplication(a *application, p *server.Publish) {
	g := (*Gateway)(o)
	if strings.HasPrefix(p.Topic, LocalPrefix) {
		o.up.Local(p.Topic, p.Payload, p.QoS, func(err error) {
			if err == nil {
				g.Publish(p.Topic, p.Payload, p.QoS)
			}
			p.Done(err)
		})
		return
	}
	granted := slices.ContainsFunc(a.Publish, func(f string) bool { return topic.Match(f, p.Topic) })
	m, err := g.speaker(p.Topic)
	if granted && err == nil {
		g.forward(m, p.Topic, p.Payload, min(p.QoS, 1), p.Done) // as a sub-device's
		return
	}
	if err == nil {
		err = fmt.Errorf("gateway: the application may not publish to it")
	}
	o.log.Warn("application's message dropped", "application", a.Name, "topic", p.Topic, "err", err)
	p.Done(&server.Rejection{Code: packet.Unauthorized, Reason: err.Error()})
}

// speaker is whose topic name is, a sub-device that is served or the gateway itself.
func (g *Gateway) speaker(name string) (*member, error) {
	d, ok := topic.DeviceOf(name)
	if !ok {
		return nil, topic.ErrForm
	}
	m, _ := g.find(d)
	switch {
	case m == nil && d == g.cfg.Own && d.SN != "":
		m = &member{device: d}
	case m == nil:
		return nil, fmt.Errorf("gateway: %s is not behind this gateway", d)
	}
	return m, m.mayPublish(name)
}
