package gateway_test

import (
	"context"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// raw is an application's client.
type raw struct {
	t   *testing.T
	c   mqtt.Client
	got chan string
}

func dialRaw(addr, user, password string) (mqtt.Client, error) {
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("any").SetUsername(user).SetPassword(password).SetAutoReconnect(false)
	c := mqtt.NewClient(o)
	t := c.Connect()
	t.Wait()
	return c, t.Error()
}

// dialClient logs in as a sub-device.
func dialClient(addr string, d ident.Device, password string) (mqtt.Client, error) {
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(d.ClientID()).SetUsername(d.Product + "|" + d.SN + "|1").SetPassword(password).SetAutoReconnect(false)
	c := mqtt.NewClient(o)
	t := c.Connect()
	t.Wait()
	return c, t.Error()
}

// serve runs a gateway until the end of the test.
func serve(t *testing.T, g *gateway.Gateway) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func newRaw(t *testing.T, addr, user, password string) *raw {
	t.Helper()
	c, err := dialRaw(addr, user, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return &raw{t, c, make(chan string, 100)}
}

func (r *raw) subscribe(filter string) bool {
	tok := r.c.Subscribe(filter, 1, func(_ mqtt.Client, m mqtt.Message) { r.got <- m.Topic() + " " + string(m.Payload()) })
	tok.WaitTimeout(time.Minute)
	return tok.Error() == nil && tok.(*mqtt.SubscribeToken).Result()[filter] < 0x80
}

func (r *raw) publish(name, payload string) {
	r.t.Helper()
	if tok := r.c.Publish(name, 1, false, payload); !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		r.t.Fatalf("publish %s: %v", name, tok.Error())
	}
}

func (r *raw) read() string {
	r.t.Helper()
	return next(r.t, r.got)
}
