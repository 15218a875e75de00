package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestRequest: an application's request is answered by the device's next message on the reply topic, also when the device is
// connected to another node; one at a time waits on a topic, and nobody waits for ever.
func TestRequest(t *testing.T) {
	db := storetest.SQLite(t)
	b, err := bus.Open(t.Context(), bus.Config{Name: "both"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	near := brokertest.New(t, brokertest.Config{Store: db, Bus: b})
	far := brokertest.New(t, brokertest.Config{Store: db, Bus: b, Node: "b", Number: 2})
	d := near.New(t)
	c := near.MustDial(t, brokertest.Of(d))
	set, upload := topic.Name(d.Identity, "set"), topic.Name(d.Identity, "upload")
	c.Subscribe(set)
	type result struct {
		answer []byte
		err    error
	}
	request := func(ctx context.Context, s *brokertest.Stack) chan result {
		end := make(chan result, 1)
		go func() {
			answer, err := s.Downlink.Request(ctx, downlink.Message{Device: d.Identity, Topic: set, Payload: []byte("ask"), QoS: 1}, upload)
			end <- result{answer, err}
		}()
		return end
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // more than all may take
	defer cancel()
	for name, s := range map[string]*brokertest.Stack{"this node": near, "another node": far} {
		c.Publish(upload, `"nobody asked"`)
		end := request(ctx, s)
		brokertest.Expect(t, c.Message(), set, "ask")
		if r := <-request(ctx, s); !errors.Is(r.err, downlink.ErrReplyTopic) {
			t.Errorf("%s: a second request: %q, %v", name, r.answer, r.err)
		}
		c.Publish(topic.Name(d.Identity, "upload/event"), `"another topic"`)
		c.Publish(upload, `"answer"`)
		if r := <-end; r.err != nil || string(r.answer) != `"answer"` {
			t.Errorf("%s: got %q, %v", name, r.answer, r.err)
		}
		late := newOverdue(t.Context())
		end = request(late, s)
		brokertest.Expect(t, c.Message(), set, "ask")
		late.end()
		if r := <-end; !errors.Is(r.err, downlink.ErrNoAnswer) {
			t.Errorf("%s: a request without an answer: %q, %v", name, r.answer, r.err)
		}
		c.Publish(upload, `"too late"`) // the device's node forgets the request
	}
	c.Disconnect()
	brokertest.Eventually(t, "offline", func() bool { _, there := near.Presence.Session(d.Identity); return !there })
	if r := <-request(ctx, near); !errors.Is(r.err, downlink.ErrOffline) {
		t.Errorf("a device that is away: %q, %v", r.answer, r.err)
	}
}

// overdue is a context whose time is over when the test says so: by then what was asked in it has surely been sent.
type overdue struct {
	context.Context
	over chan struct{}
}

func newOverdue(ctx context.Context) overdue { return overdue{ctx, make(chan struct{})} }

func (o overdue) end() { close(o.over) }

func (overdue) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }

func (o overdue) Done() <-chan struct{} { return o.over }

func (o overdue) Err() error {
	select {
	case <-o.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
