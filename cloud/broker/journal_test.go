package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker"
	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// noted is a journal that keeps what applications did, as: application of project, action result topic: reason; payload.
type noted struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (n *noted) Behaved(b broker.Behaviour) {
	if b.Device.SN != "" {
		return
	}
	detail := ""
	if b.Application == "" {
		detail = b.Detail[strings.Index(b.Detail, "MQTT"):]
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf("%s of %s, %s %s %s: %s; %s%s", b.Application, b.Project, b.Action, b.Result, b.Topic, b.Reason, b.Payload, detail))
}

// await waits until a line is there, and takes it away.
func (n *noted) await(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(time.Millisecond) {
		n.mu.Lock()
		at := slices.Index(n.lines, want)
		if at >= 0 {
			n.lines = slices.Delete(n.lines, at, at+1)
		}
		lines := slices.Clone(n.lines)
		n.mu.Unlock()
		if at >= 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %q", want, lines)
		}
	}
}

// TestApplicationsAreJournaled: what applications do at the door is told with who did it, and a wrong key with nobody.
func TestApplicationsAreJournaled(t *testing.T) {
	n := &noted{}
	k := newKeys()
	s := stack(t, brokertest.Config{Keys: k, Journal: n})
	p, q := s.Product(t, registry.NewProduct{}), s.Product(t, registry.NewProduct{})
	there, elsewhere := s.Device(t, p, "dev-000a"), s.Device(t, q, "dev-000b")
	k.only("one", p.SN)

	s.Dial(t, brokertest.Login{UserName: "app|one", ClientID: "x", Password: "sesame"})
	n.await(t, " of , login refused : wrong API key; MQTT 3.1.1 client id x")
	c := s.MustDial(t, by("one", "x", false))
	n.await(t, "one:x of default, login ok : ; ")
	c.Subscribe("/"+p.SN+"/+/upload", "/"+q.SN+"/+/upload")
	n.await(t, "one:x of default, subscribe ok /"+p.SN+"/+/upload: ; ")
	n.await(t, "one:x of default, subscribe refused /"+q.SN+"/+/upload: the key does not reach this topic; ")
	for _, d := range []*registry.Device{there, elsewhere} {
		c.Send(topic.Name(d.Identity, "set"), `{"n":1}`)
		for c.Next().Type != packet.PUBACK {
		}
	}
	n.await(t, "one:x of default, publish refused "+topic.Name(elsewhere.Identity, "set")+`: the key does not reach this topic; {"n":1}`)
	c.Send("no/topic", "2")
	n.await(t, "one:x of default, publish refused no/topic: "+parseError("no/topic")+"; 2")
	c.Disconnect()
	n.await(t, "one:x of default, logout ok : disconnect; ")
	if n.mu.Lock(); len(n.lines) != 0 {
		t.Errorf("and %q", n.lines)
	}
	n.mu.Unlock()
}

func parseError(name string) string {
	_, err := topic.Parse(name)
	return fmt.Sprint(err)
}

// taken is a journal of the topics that devices have acknowledged, with the device as the journal was told of it.
type taken chan string

func (c taken) Taken(dev ident.Device, topicName string, _ message.ID, _ time.Time) {
	c <- dev.String() + " " + topicName
}

func (taken) Lost(ident.Device, string, message.ID, string) {}

// TestApplicationMessagesAreTheirOwn: what is remembered of an application's message until the device acknowledges it is not the memory of
// the connection, which has other messages in it by then.
func TestApplicationMessagesAreTheirOwn(t *testing.T) {
	told := make(taken, 1)
	s := stack(t, brokertest.Config{Keys: newKeys(), Receipts: told})
	p := s.Product(t, registry.NewProduct{})
	d, away := s.Device(t, p, "dev-000a"), s.Device(t, p, "dev-000b")
	name := topic.Name(d.Identity, "set")
	waits := brokertest.Of(d)
	waits.NoAck = true
	dev, app := s.MustDial(t, waits), s.MustDial(t, by("all", "x", false))
	dev.Subscribe(name)
	app.Send(name, "1")
	got := dev.Message()
	for range 20 {
		app.Send(topic.Name(away.Identity, "xyz"), "2")
		for app.Next().Type != packet.PUBACK {
		}
	}
	dev.Ack(got.ID)
	if got, want := <-told, d.Identity.String()+" "+name; got != want {
		t.Errorf("the device has acknowledged %q, want %q", got, want)
	}
}
