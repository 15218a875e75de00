package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

func open(t testing.TB, url string) *bus.Bus {
	t.Helper()
	b, err := bus.Open(context.Background(), bus.Config{URL: url, Name: "n1"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// remote starts a NATS server with a TCP port.
func remote(t testing.TB) *server.Server {
	t.Helper()
	return remoteAt(t, -1)
}

func remoteAt(t testing.TB, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("NATS server is not ready")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// each runs test with two nodes on one remote server, and with one node alone on the embedded one, which then plays both.
func each(t *testing.T, test func(t *testing.T, a, b *bus.Bus)) {
	t.Run("embedded", func(t *testing.T) {
		b := open(t, "")
		test(t, b, b)
	})
	t.Run("remote", func(t *testing.T) {
		s := remote(t)
		test(t, open(t, s.ClientURL()), open(t, s.ClientURL()))
	})
}

// deadline is the context of a request that must end long before it.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestPublishInOrder(t *testing.T) {
	each(t, func(t *testing.T, a, b *bus.Bus) {
		const n = 5000
		got := make(chan string, n)
		stop, err := b.Subscribe("node.*.down", func(subject string, data []byte) []byte {
			got <- subject + " " + string(data)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if err := a.Publish("node.7.down", []byte(strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range n {
			want := "node.7.down " + strconv.Itoa(i)
			select {
			case g := <-got:
				if g != want {
					t.Fatalf("got %q, want %q", g, want)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%q did not come", want)
			}
		}
		stop()
		if err := a.Publish("node.7.down", []byte("late")); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Request(deadline(t), "node.7.down", nil); !errors.Is(err, bus.ErrNoResponders) {
			t.Errorf("request after unsubscribe: got %v, want ErrNoResponders", err)
		}
		if len(got) != 0 {
			t.Errorf("handler ran after unsubscribe: %q", <-got)
		}
	})
}

func TestRequest(t *testing.T) {
	each(t, func(t *testing.T, a, b *bus.Bus) {
		_, err := b.Subscribe("echo", func(_ string, data []byte) []byte { return append([]byte("re: "), data...) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Subscribe("silent", func(string, []byte) []byte { return nil }); err != nil {
			t.Fatal(err)
		}
		got, err := a.Request(deadline(t), "echo", []byte("hi"))
		if err != nil || !bytes.Equal(got, []byte("re: hi")) {
			t.Errorf("got %q, %v, want %q", got, err, "re: hi")
		}
		if _, err := a.Request(deadline(t), "nobody", nil); !errors.Is(err, bus.ErrNoResponders) {
			t.Errorf("got %v, want ErrNoResponders", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := a.Request(ctx, "silent", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want DeadlineExceeded", err)
		}
	})
}

func TestRefusals(t *testing.T) {
	b := open(t, "")
	if err := b.Publish("big", make([]byte, 2<<20)); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("2 MiB: got %v, want ErrTooLarge", err)
	}
	if _, err := bus.Open(t.Context(), bus.Config{URL: "nats://u:secret@127.0.0.1:1"}, slog.New(slog.DiscardHandler)); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("dead port: got %v, want ErrUnavailable", err)
	} else if bytes.Contains([]byte(err.Error()), []byte("secret")) {
		t.Errorf("the error tells the password: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish("x", nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after close: got %v, want ErrClosed", err)
	}
}

// TestReconnect takes the remote server away and brings it back: publishing fails meanwhile, and subscriptions return.
func TestReconnect(t *testing.T) {
	s := remote(t)
	b := open(t, s.ClientURL())
	var got atomic.Int64
	if _, err := b.Subscribe("x", func(string, []byte) []byte { got.Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	port := s.Addr().String()
	s.Shutdown()
	s.WaitForShutdown()
	eventually(t, "publish fails while the server is away", func() bool { return errors.Is(b.Publish("x", nil), bus.ErrUnavailable) })
	_, p, _ := bytes.Cut([]byte(port), []byte("127.0.0.1:"))
	n, err := strconv.Atoi(string(p))
	if err != nil {
		t.Fatal(err)
	}
	got.Store(0)
	remoteAt(t, n)
	eventually(t, "a message after the server is back", func() bool { _ = b.Publish("x", nil); return got.Load() > 0 })
	if b.Stats().Reconnects == 0 {
		t.Error("the reconnect was not counted")
	}
}

// TestSlowHandler fills a subscription's queue: the rest is dropped, counted, and the bus goes on.
func TestSlowHandler(t *testing.T) {
	b := open(t, "")
	gate := make(chan struct{})
	var got atomic.Int64
	if _, err := b.Subscribe("slow", func(string, []byte) []byte { <-gate; got.Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	for range bus.PendingMax + 1000 {
		if err := b.Publish("slow", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "drops are counted", func() bool { return b.Stats().Dropped > 0 })
	close(gate)
	eventually(t, "what was queued is handled", func() bool { return got.Load() >= bus.PendingMax })
}

func BenchmarkPublish(b *testing.B) {
	c := open(b, "")
	if _, err := c.Subscribe("bench", func(string, []byte) []byte { return nil }); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	data := make([]byte, 200)
	window := 0
	for b.Loop() {
		if err := c.Publish("bench", data); err != nil {
			b.Fatal(err)
		}
		if window++; window%1000 == 0 {
			if _, err := c.Request(context.Background(), "nobody", nil); !errors.Is(err, bus.ErrNoResponders) {
				b.Fatal(err)
			}
		}
	}
}
