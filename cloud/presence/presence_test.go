package presence

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// link is a connection that takes everything and keeps the tags.
type link struct {
	mu   sync.Mutex
	tags []uint64
}

func (l *link) Send(m server.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tags = append(l.tags, m.Tag)
	return nil
}
func (*link) Subscribed(string) (byte, bool) { return 1, true }

// outputs makes one outbox record of every message: its payload.
type outputs struct{}

func (outputs) Match(m *uplink.Message, _ string, _ func() (codec.Value, error), out [][]byte) [][]byte {
	return append(out, m.Payload)
}

type fixture struct {
	*Presence
	dev     *registry.Device
	product *registry.Product
}

func newFixture(t testing.TB, db *store.DB) *fixture {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	reg, err := registry.New(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bus.Open(t.Context(), bus.Config{}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	f := &fixture{Presence: New(Config{Node: "a"}, Deps{Store: db, Registry: reg, Bus: b, IDs: message.NewIDs(1, 0, time.Now), Rules: outputs{}, Log: log})}
	if f.product, err = reg.CreateProduct(t.Context(), registry.NewProduct{Name: "p"}); err != nil {
		t.Fatal(err)
	}
	if f.dev, err = reg.CreateDevice(t.Context(), registry.NewDevice{Product: f.product.SN}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) login() Login {
	return Login{Device: f.dev, Product: f.product, Perms: topic.Compile(f.dev.Identity, f.product.Topics, topic.Scope{}), KeepAlive: 60}
}

// events reads the outputs of device/status from the outbox.
func (f *fixture) events(t *testing.T) int {
	t.Helper()
	rows, err := f.Store.Outbox().Read(t.Context(), int(f.dev.ID%store.Shards), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range rows {
		n += len(r.Records)
	}
	return n
}

// TestLoginRace: of logins at the same moment each gets an epoch of its own, one Online is stored, and only the newest session
// may still write or end with an Offline.
func TestLoginRace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		const n = 6
		sessions := make([]*Session, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				var err error
				if sessions[i], _, err = f.Connect(t.Context(), f.login()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var newest *Session
		epochs := map[int64]bool{}
		for _, s := range sessions {
			epochs[s.Epoch] = true
			if newest == nil || s.Epoch > newest.Epoch {
				newest = s
			}
		}
		if len(epochs) != n || f.events(t) != 1 {
			t.Fatalf("%d epochs, %d events, want %d and 1", len(epochs), f.events(t), n)
		}
		for _, s := range sessions {
			err := db.Do(t.Context(), &store.Unit{Device: s.Device.ID, Epoch: s.Epoch, Ops: []store.Op{{Stmt: dropQueue, Args: []any{s.Device.ID}, Want: -1}}})
			if fenced := errors.Is(err, store.ErrFenced); fenced != (s != newest) {
				t.Errorf("epoch %d of %d: %v", s.Epoch, newest.Epoch, err)
			}
			if s != newest {
				f.Disconnect(s, server.CauseNetwork)
			}
		}
		if err := db.Do(t.Context(), &store.Unit{Device: f.dev.ID}); err != nil { // behind the leaves
			t.Fatal(err)
		}
		if got := f.events(t); got != 1 {
			t.Errorf("%d events after old sessions ended, want none more", got-1)
		}
		f.Disconnect(newest, server.CauseNetwork)
		if err := db.Do(t.Context(), &store.Unit{Device: f.dev.ID}); err != nil {
			t.Fatal(err)
		}
		if got := f.events(t); got != 2 {
			t.Errorf("%d events, want Online and Offline", got)
		}
	})
}

// TestOfflineIsRepeated: an Offline that the store could not take is written when it can.
func TestOfflineIsRepeated(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	defer func() { cancel(); <-done }()
	s, _, err := f.Connect(t.Context(), f.login())
	if err != nil {
		t.Fatal(err)
	}
	g := &gone{device: f.dev.Identity, id: f.dev.ID, epoch: s.Epoch, session: s, at: time.Now()}
	f.left(g, f.status(s, false, g.at), store.ErrUnavailable)
	deadline := time.Now().Add(time.Minute)
	for f.events(t) != 2 {
		if time.Now().After(deadline) {
			t.Fatal("no Offline was stored")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestReplay: what is queued while the replay is on its way comes behind it, once.
func TestReplay(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	l := f.login()
	l.Persistent = true
	s, _, err := f.Connect(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	var wire link
	f.Attach(s, &wire)
	for _, tag := range []uint64{3, 4} { // 3 is also among the rows that the replay reads
		if err := s.Queued(server.Message{Tag: tag}); err != nil {
			t.Fatal(err)
		}
	}
	s.Replay([]server.Message{{Tag: 1}, {Tag: 2}, {Tag: 3}})
	if err := s.Queued(server.Message{Tag: 5}); err != nil {
		t.Fatal(err)
	}
	for i, tag := range wire.tags {
		if tag != uint64(i+1) {
			t.Fatalf("sent %v", wire.tags)
		}
	}
	if len(wire.tags) != 5 {
		t.Errorf("sent %v", wire.tags)
	}
	f.Disconnect(s, server.CauseNetwork)
	if err := s.Queued(server.Message{Tag: 6}); !errors.Is(err, server.ErrOffline) {
		t.Errorf("after the end: %v", err)
	}
	if _, ok := f.Find(f.dev.Identity); ok {
		t.Error("an ended session is still found")
	}
}

func TestKeptFilters(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	l := f.login()
	l.Persistent = true
	s, kept, err := f.Connect(t.Context(), l)
	if err != nil || kept.Present {
		t.Fatalf("first login: %+v, %v", kept, err)
	}
	if err := f.SaveFilters(t.Context(), s, []downlink.Filter{{Filter: "/a", QoS: 1}}); err != nil {
		t.Fatal(err)
	}
	_, kept, err = f.Connect(t.Context(), l)
	if err != nil || !kept.Present || len(kept.Filters) != 1 {
		t.Fatalf("second login: %+v, %v", kept, err)
	}
	if err := f.SaveFilters(t.Context(), s, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an old session changed the filters: %v", err)
	}
	if _, _, err := f.Connect(t.Context(), f.login()); err != nil { // clean
		t.Fatal(err)
	}
	if _, kept, err = f.Connect(t.Context(), l); err != nil || kept.Present {
		t.Errorf("after a clean session: %+v, %v", kept, err)
	}
}
