package uplink_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/edge-agent/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestStreams: messages go into the stream of their topic or the one that is named; what waits of a more important stream goes up first; and a
// sub-device that has left is logged out when the last of its streams is sent.
func TestStreams(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	hub := devicetest.New(t)
	gw := hub.AddDevice(devicetest.Device{Kind: devicetest.Gateway})
	sub := hub.AddDevice(devicetest.Device{Kind: devicetest.Subdevice, Topics: []topic.Template{
		{Path: "upload", Perm: topic.Pub}, {Path: "bulk", Perm: topic.Pub}, {Path: "alarm/fire", Perm: topic.Pub}}})
	buf, err := buffer.Open(buffer.Config{Dir: filepath.Join(t.TempDir(), "b"), Streams: []buffer.StreamConfig{
		{Name: "messages", Priority: 5, Durability: buffer.Sync}, {Name: "bulk", Durability: buffer.Sync}, {Name: "alarms", Priority: 9, Durability: buffer.Sync},
	}}, log)
	if err != nil {
		t.Fatal(err)
	}
	up, err := uplink.New(uplink.Config{
		Link:       link.Config{Server: hub.URL(), Device: gw, Secret: hub.Secret(gw), KeepTrying: true, BackoffMin: 10 * time.Millisecond, BackoffMax: 20 * time.Millisecond},
		Subdevices: []ident.Device{sub},
		Streams:    []uplink.Stream{{Buffer: buf.Stream("bulk"), Topics: []string{"/+/+/bulk"}}, {Buffer: buf.Stream("alarms"), Topics: []string{"/+/+/alarm/#"}}},
	}, buf.Stream("messages"), log)
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Serve(nowhere{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = buf.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait(); buf.Close() })

	up.Attached(sub)
	done := make(chan error, 1)
	put := func(stream, path, payload string) {
		t.Helper()
		up.ForwardTo(stream, sub, topic.Name(sub, path), []byte(payload), 1, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		put("", "bulk", fmt.Sprint("bulk", i))
		put("", "upload", fmt.Sprint("message", i))
		put("", "alarm/fire", fmt.Sprint("alarm", i))
		put("alarms", "upload", fmt.Sprint("chosen", i))
		put("no such stream", "upload", fmt.Sprint("lost its way ", i))
	}
	for name, want := range map[string]int64{"bulk": 5, "messages": 10, "alarms": 10} {
		if got := buf.Stream(name).Stats().Records; got != want {
			t.Errorf("%s holds %d records, want %d", name, got, want)
		}
	}
	up.Detached(sub) // the logout is in messages; bulk comes behind it
	wg.Go(func() { _ = up.Run(ctx) })
	soon, over := context.WithTimeout(t.Context(), time.Minute)
	defer over()
	if _, err := hub.WaitMessage(soon, func(m devicetest.Message) bool { return string(m.Payload) == "bulk4" }); err != nil {
		t.Fatal(err)
	}
	if err := hub.WaitOnline(soon, sub, false); err != nil {
		t.Fatalf("it has left, and is not logged out: %v", err)
	}
	var order []string
	for _, m := range hub.Messages() {
		if m.Topic.Device == sub {
			order = append(order, string(m.Payload))
		}
	}
	if len(order) != 25 || order[0] != "alarm0" || order[9] != "chosen4" || order[10] != "message0" || order[20] != "bulk0" {
		t.Errorf("they came as %q", order)
	}
}
