package ingress

import (
	"context"
	"log/slog"
	"net/http"
	"testing"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestAnswer: a device that got a request over its session may answer over HTTP, at whichever node: the caller gets the answer, on
// whichever node it waits, whether the session still stands or not, and the topic is free for the next request.
func TestAnswer(t *testing.T) {
	db := storetest.SQLite(t)
	b, err := bus.Open(t.Context(), bus.Config{Name: "three"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	nodes := map[string]*fixture{}
	for i, name := range []string{"holder", "second", "third"} {
		nodes[name] = door(t, brokertest.New(t, brokertest.Config{Store: db, Bus: b, Node: name, Number: uint16(i + 1)}))
	}
	dev := nodes["holder"].New(t)
	set, upload := topic.Name(dev.Identity, "set"), topic.Name(dev.Identity, "upload")
	for _, tt := range []struct {
		caller, door string
		gone         bool
	}{
		{caller: "holder", door: "holder"}, {caller: "holder", door: "second"}, {caller: "second", door: "holder"},
		{caller: "second", door: "second"}, {caller: "second", door: "third"}, {caller: "second", door: "third", gone: true},
	} {
		t.Run(tt.caller+" asks, "+tt.door+" is answered", func(t *testing.T) {
			c := nodes["holder"].MustDial(t, brokertest.Of(dev))
			c.Subscribe(set)
			type result struct {
				answer []byte
				err    error
			}
			end := make(chan result, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), brokertest.Wait)
				defer cancel()
				m := downlink.Message{Device: dev.Identity, Topic: set, Payload: []byte("ask"), QoS: 1}
				answer, err := nodes[tt.caller].Downlink.Request(ctx, m, upload)
				end <- result{answer, err}
			}()
			brokertest.Expect(t, c.Message(), set, "ask")
			if tt.gone {
				c.Disconnect()
				brokertest.Eventually(t, "offline", func() bool { _, there := nodes["holder"].Presence.Session(dev.Identity); return !there })
			}
			f := nodes[tt.door]
			f.dev = dev
			body := f.authBody("")
			token := f.post(t, "/auth", http.Header{"Authorization": {credential.SignBody(dev.Secret, []byte(body))}}, body).Token
			for _, m := range []struct{ name, payload string }{{topic.Name(dev.Identity, "upload/event"), `"another topic"`}, {upload, `"answer"`}} {
				if a := f.post(t, "/topic"+m.name, http.Header{"Password": {token}}, m.payload); a.RetCode != 0 {
					t.Fatalf("%s: %s", m.name, a.raw)
				}
			}
			if r := <-end; r.err != nil || string(r.answer) != `"answer"` {
				t.Errorf("got %q, %v", r.answer, r.err)
			}
		})
	}
}
