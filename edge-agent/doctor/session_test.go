package doctor

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestLoginLeavesWhatWaits: what the hub keeps for an agent that is down is there when it comes back, though the doctor has logged in meanwhile.
func TestLoginLeavesWhatWaits(t *testing.T) {
	hub := devicetest.New(t)
	id := hub.AddDevice(devicetest.Device{})
	cfg := link.Config{Server: hub.URL(), Device: id, Secret: hub.Secret(id), Persistent: true, BackoffMin: time.Hour, BackoffMax: time.Hour}
	agent := func(take func(text string)) (stop func()) {
		l, err := link.New(cfg, slog.New(slog.DiscardHandler))
		must(t, err)
		must(t, l.Subscribe(t.Context(), topic.Name(id, "set"), 1, func(_ context.Context, m link.Message) { take(string(m.Payload)) }))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		must(t, l.WaitConnected(ctx))
		return func() {
			cancel()
			must(t, <-ended)
		}
	}
	// It goes down with messages in hand that it has not acknowledged.
	came, down := make(chan struct{}, 8), make(chan struct{})
	stop := agent(func(string) { came <- struct{}{}; <-down })
	for _, text := range []string{"one", "two"} {
		must(t, hub.Publish(id, "set", []byte(text)))
	}
	<-came
	hub.Drop(id)
	close(down)
	stop()

	c := DefaultConfig()
	c.Link = cfg
	if f := find(c.network(t.Context()), "login"); f.State != OK {
		t.Fatalf("%+v", f)
	}
	got := make(chan string, 8)
	defer agent(func(text string) { got <- text })()
	for _, want := range []string{"one", "two"} {
		select {
		case text := <-got:
			if text != want {
				t.Errorf("%s came, want %s", text, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s did not come", want)
		}
	}
}
