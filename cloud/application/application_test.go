package application_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// inbox is a connection that keeps what it is sent.
type inbox chan server.Message

func (i inbox) Send(m server.Message) error { i <- m; return nil }

// TestQueueIsBounded: of more than a session may have waiting the newest stay; one that does not come back is forgotten. On both
// engines, and each message is committed with its row.
func TestQueueIsBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := brokertest.New(t, brokertest.Config{Store: db, Applications: func(c *application.Config) { c.QueueMax = 3 }})
		app := &auth.App{KeyID: "k", Project: "default", Rights: auth.Rights{Read: true}}
		session, present, err := s.Applications.Connect(t.Context(), app, "ledger", true, false)
		if err != nil || present {
			t.Fatalf("Connect: %v, %v", present, err)
		}
		box := make(inbox, 100)
		if err := s.Applications.Attach(t.Context(), session, box); err != nil {
			t.Fatal(err)
		}
		if err := s.Applications.Subscribe(t.Context(), session, []downlink.Filter{{Filter: "/+/+/upload", QoS: 1}}); err != nil {
			t.Fatal(err)
		}
		s.Applications.Detach(session)
		d := s.New(t)
		dev := s.MustDial(t, brokertest.Of(d))
		for _, payload := range []string{`1`, `2`, `3`, `4`, `5`} {
			dev.Send(topic.Name(d.Identity, "upload"), payload)
			for dev.Next().Type != packet.PUBACK {
			}
		}
		if n, err := s.Applications.Trim(t.Context(), time.Now()); err != nil || n != 2 {
			t.Errorf("Trim = %d, %v, want 2", n, err)
		}
		if session, present, err = s.Applications.Connect(t.Context(), app, "ledger", true, false); err != nil || !present || len(session.Filters()) != 1 {
			t.Fatalf("Connect again: %v, %v", present, err)
		}
		if err := s.Applications.Attach(t.Context(), session, box); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`3`, `4`, `5`} {
			if m := <-box; string(m.Payload) != want || m.QoS != 1 || m.Tag == 0 {
				t.Errorf("got %s at QoS %d, tag %d, want %s", m.Payload, m.QoS, m.Tag, want)
			}
		}
		s.Applications.Detach(session)
		if n, err := s.Applications.Trim(t.Context(), time.Now().Add(73*time.Hour)); err != nil || n != 1 {
			t.Errorf("Trim three days later = %d, %v", n, err)
		}
		if s.Applications.Listening() {
			t.Error("a forgotten session still listens")
		}
	})
}

// BenchmarkMatch is what a message costs while a thousand applications listen to other products, and while one listens to it.
func BenchmarkMatch(b *testing.B) {
	s := brokertest.New(b, brokertest.Config{Store: storetest.SQLite(b)})
	d := s.New(b)
	product, err := s.Registry.Product(b.Context(), d.Identity.Product)
	if err != nil {
		b.Fatal(err)
	}
	listen := func(client, filter string) {
		session, _, err := s.Applications.Connect(b.Context(), &auth.App{KeyID: "k", Project: "default", Rights: auth.Rights{Read: true}}, client, false, true)
		if err == nil {
			err = s.Applications.Attach(b.Context(), session, make(inbox, 1))
		}
		if err == nil {
			err = s.Applications.Subscribe(b.Context(), session, []downlink.Filter{{Filter: filter, QoS: 1}})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for i := range 1000 {
		listen(fmt.Sprint("c", i), fmt.Sprintf("/other%d/+/upload", i))
	}
	m := &uplink.Message{Device: d.Identity, Product: product, Name: topic.Name(d.Identity, "upload"), QoS: 1}
	run := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Applications.Match(m)
			m.Reset()
		}
	}
	b.Run("none", run)
	listen("one", "/+/+/upload")
	b.Run("one", run)
}
