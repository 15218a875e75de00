package uplink_test

import (
	"context"
	"crypto/rand"
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
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// channelHub is a hub whose side of the agent channel the test plays, and an uplink with records of a gateway that wait for it.
type channelHub struct {
	*devicetest.Hub
	t   *testing.T
	gw  ident.Device
	ctx context.Context // of the whole test
	run func()          // starts the uplink
	buf *buffer.Stream
	up  *uplink.Uplink
}

func newChannelHub(t *testing.T, about func(*agentmsg.Hello), records [][]byte, change ...func(*uplink.Config)) *channelHub {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	h := &channelHub{Hub: devicetest.New(t), t: t}
	h.gw = h.AddDevice(devicetest.Device{Kind: devicetest.Gateway})
	h.Mute(h.gw, true)
	buf, err := buffer.Open(buffer.Config{Dir: filepath.Join(t.TempDir(), "b"), Streams: []buffer.StreamConfig{{Name: "messages", CommitEvery: 5 * time.Millisecond}}}, log)
	if err != nil {
		t.Fatal(err)
	}
	cfg := uplink.Config{Link: link.Config{Server: h.URL(), Device: h.gw, Secret: h.Secret(h.gw), KeepTrying: true}, About: about,
		ReplyTimeout: time.Minute, RetryBusy: 20 * time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	up, err := uplink.New(cfg, buf.Stream("messages"), log)
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
	var all sync.WaitGroup
	for _, r := range records {
		all.Add(1)
		up.Forward(h.gw, topic.Name(h.gw, "upload"), r, 1, func(err error) {
			if err != nil {
				t.Error(err)
			}
			all.Done()
		})
	}
	all.Wait()
	var done context.CancelFunc
	h.ctx, done = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(done)
	h.buf, h.up = buf.Stream("messages"), up
	h.run = func() { wg.Go(func() { _ = up.Run(ctx) }) }
	return h
}

// heard waits for the n-th message of a type that came up, from 0.
func heard[M agentmsg.Message](h *channelHub, n int) (m M, size int) {
	h.t.Helper()
	_, err := h.WaitMessage(h.ctx, func(in devicetest.Message) bool {
		if in.Topic.Kind != topic.AgentUp {
			return false
		}
		any, err := agentmsg.Parse(in.Payload)
		if err != nil {
			h.t.Error(err)
		}
		var ok bool
		if m, ok = any.(M); ok {
			size = len(in.Name) + len(in.Payload)
			n--
		}
		return ok && n < 0
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return m, size
}

func (h *channelHub) say(m agentmsg.Message) {
	h.t.Helper()
	b, err := agentmsg.Marshal(m)
	if err == nil {
		err = h.SendRaw(h.gw, topic.AgentDown, b)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestHubsBound: no packet is longer than the hub takes, which would cut the connection off for it again and again; and what a hello has of
// the routes is told once that is known.
func TestHubsBound(t *testing.T) {
	routes := make([]agentmsg.Route, agentmsg.MaxRoutes)
	for i := range routes {
		routes[i] = agentmsg.Route{Name: fmt.Sprint("route-", i), Matched: int64(i)}
	}
	about := func(h *agentmsg.Hello) { h.Routes = routes }
	for _, tt := range []struct{ most, size, routes int }{
		{2048, 300, 0},
		{64 << 10, 40_000, agentmsg.MaxRoutes}, // two are longer together
	} {
		t.Run(fmt.Sprint(tt.most), func(t *testing.T) {
			records := make([][]byte, 40)
			for i := range records {
				records[i] = make([]byte, tt.size)
				_, _ = rand.Read(records[i]) // it cannot be packed
			}
			h := newChannelHub(t, about, records)
			h.run()
			hello, size := heard[*agentmsg.Hello](h, 0)
			if !hello.Ask || len(hello.Routes) != 0 || size > 2048 {
				t.Errorf("the greeting has %d bytes and %d routes", size, len(hello.Routes))
			}
			h.say(&agentmsg.Ranges{Hub: "1", MaxBytes: tt.most})
			if news, size := heard[*agentmsg.Hello](h, 1); news.Ask || len(news.Routes) != tt.routes || size > tt.most {
				t.Errorf("the news have %d bytes and %d routes, want %d", size, len(news.Routes), tt.routes)
			}
			for count, n := 0, 0; count < len(records); n++ {
				b, size := heard[*agentmsg.Batch](h, n)
				if count += b.Count; size > tt.most {
					t.Errorf("a batch of %d records has %d bytes", b.Count, size)
				}
			}
		})
	}
}

// TestLateAnswer: a hub that answers a hello when messages go up one by one already is greeted anew on the same connection, and told what it has.
func TestLateAnswer(t *testing.T) {
	h := newChannelHub(t, nil, [][]byte{[]byte("one"), []byte("two")}, func(c *uplink.Config) { c.ReplyTimeout = time.Second })
	h.run()
	heard[*agentmsg.Hello](h, 0)
	for deadline := time.Now().Add(time.Minute); h.buf.Stats().Records > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("with a hub that does not answer nothing goes up")
		}
	}
	h.say(&agentmsg.Ranges{Hub: "1", MaxBytes: 64 << 10})
	hello, _ := heard[*agentmsg.Hello](h, 1)
	if s := hello.Streams[0]; !hello.Ask || s.Next != 3 || fmt.Sprint(s.Settled) != "[[1 2]]" {
		t.Errorf("the second greeting is %+v", hello)
	}
	h.say(&agentmsg.Ranges{Hub: "1", MaxBytes: 64 << 10})
	for hellos := 2; ; hellos++ { // on a busy machine that answer, too, may be late
		done := make(chan error, 1)
		h.up.Forward(h.gw, topic.Name(h.gw, "upload"), []byte("another"), 1, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		n, batch := hellos, false
		_, err := h.WaitMessage(h.ctx, func(in devicetest.Message) bool {
			if in.Topic.Kind != topic.AgentUp {
				return false
			}
			switch m, _ := agentmsg.Parse(in.Payload); m := m.(type) {
			case *agentmsg.Batch:
				batch = m.First >= 3
			case *agentmsg.Hello:
				n--
			}
			return batch || n < 0
		})
		if err != nil {
			t.Fatalf("the channel is not used: %v", err)
		}
		if batch {
			return
		}
		h.say(&agentmsg.Ranges{Hub: "1", MaxBytes: 64 << 10})
	}
}

// TestBusy: what the hub has no room for is brought again on the same connection, until it has; the rest has been taken.
func TestBusy(t *testing.T) {
	h := newChannelHub(t, nil, [][]byte{[]byte("one"), []byte("two"), []byte("three")})
	h.run()
	hello, _ := heard[*agentmsg.Hello](h, 0)
	place := hello.Streams[0].Place
	h.say(&agentmsg.Ranges{Hub: "1", MaxBytes: 64 << 10})
	for n, count := range []int{3, 1, 1} {
		b, _ := heard[*agentmsg.Batch](h, n)
		if b.Count != count || n > 0 && b.First != 2 {
			t.Fatalf("batch %d has %d records from %d", n, b.Count, b.First)
		}
		if n < 2 {
			h.say(&agentmsg.Refused{Place: place, Numbers: agentmsg.Set{{2, 2}}, Reason: "busy"})
		}
	}
	for deadline := time.Now().Add(time.Minute); h.buf.Stats().Records > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting: %+v", h.buf.Stats())
		}
	}
}
