package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing/listingtest"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// target is a kind of connector whose target is in the test's hands.
type target struct {
	opened, closed atomic.Int64
}

type targetConfig struct {
	Host, Password string
}

type targetConn struct {
	*target
	targetConfig
	gone atomic.Bool
}

func (t *target) kind() rules.ConnectorKind {
	return rules.ConnectorKind{Secrets: []string{"Password"}, Address: []string{"Host"}, Open: func(config json.RawMessage, _ rules.Outbound) (rules.Connection, error) {
		c := &targetConn{target: t}
		if err := json.Unmarshal(config, &c.targetConfig); err != nil {
			return nil, err
		}
		if c.Host == "" {
			return nil, errors.New("Host is missing")
		}
		t.opened.Add(1)
		return c, nil
	}}
}

func (c *targetConn) Ping(context.Context) error {
	if c.Password != "hush" {
		return fmt.Errorf("%w: wrong password", rules.ErrUnavailable)
	}
	return nil
}

func (c *targetConn) Close() error {
	c.gone.Store(true)
	c.closed.Add(1)
	return nil
}

// bench is connectors over a store.
type bench struct {
	*Connectors
	t      *testing.T
	target *target
	users  []string
	told   []int64
}

func newBench(t *testing.T, db *store.DB, node uint16) *bench {
	t.Helper()
	b := &bench{t: t, target: &target{}}
	cfg := DefaultConfig()
	cfg.MaxPerProject = 3
	var err error
	b.Connectors, err = New(t.Context(), cfg, Deps{Store: db, IDs: message.NewIDs(node, 0, time.Now), Kinds: map[string]rules.ConnectorKind{"test": b.target.kind()},
		Users:   func(context.Context, *store.Tx, int64) ([]string, error) { return b.users, nil },
		Changed: func(id int64) { b.told = append(b.told, id) }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() }) // never fails
	return b
}

func (b *bench) create(name, config string) *Connector {
	b.t.Helper()
	c, err := b.Create(b.t.Context(), NewConnector{Name: name, Kind: "test", Config: json.RawMessage(config)})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) handle(c *Connector) rules.Handle {
	b.t.Helper()
	h, err := b.Handle("default", "test", fmt.Sprint(c.ID))
	if err != nil {
		b.t.Fatal(err)
	}
	return h
}

// host is where a delivery goes.
func host(t *testing.T, h rules.Handle) (at string) {
	t.Helper()
	err := h.Use(func(c rules.Connection) error {
		at = c.(*targetConn).Host + "/" + c.(*targetConn).Password
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func text(s string) *string { return &s }

func TestSecrets(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db, 1)
		c := b.create("plant", `{"Host":"a","Password":"hush"}`)
		h := b.handle(c)
		if string(c.Config) != `{"Host":"a"}` || !slices.Equal(c.Secrets, []string{"Password"}) {
			t.Errorf("shown: %s, %v", c.Config, c.Secrets)
		}
		for _, step := range []struct {
			config, at string
			secrets    int
		}{
			{`{"Host": "a","x":1}`, "a/hush", 1},                  // left out, it is kept
			{`{"Host":"b","Password":"other"}`, "b/other", 1},     // given, it is another
			{`{"Host":"b","Password":null}`, "b/", 0},             // null takes it away
			{`{"Host":"b","Password":"hush"}`, "b/hush", 1},       // and back
			{`{"Host":"c","Password":"hush","x":1}`, "c/hush", 1}, // beside others
		} {
			got, err := b.Update(t.Context(), c.ID, Change{Config: json.RawMessage(step.config)})
			if err != nil || len(got.Secrets) != step.secrets || strings.Contains(string(got.Config), "Password") {
				t.Errorf("%s: %+v, %v", step.config, got, err)
			}
			if at := host(t, h); at != step.at {
				t.Errorf("%s: delivered to %s, want %s", step.config, at, step.at)
			}
			if read, err := b.Get(t.Context(), c.ID); err != nil || string(read.Config) != string(got.Config) || len(read.Secrets) != step.secrets {
				t.Errorf("%s: read as %+v, %v", step.config, read, err)
			}
		}
		// It stays with the server that it was given for.
		for _, moved := range []string{`{"Host":"evil"}`, `{}`} {
			var invalid *ErrInvalid
			if _, err := b.Update(t.Context(), c.ID, Change{Config: json.RawMessage(moved)}); !errors.As(err, &invalid) || invalid.Field != "config.Password" {
				t.Errorf("%s: %v", moved, err)
			}
			if _, err := b.TestStored(t.Context(), c.ID, json.RawMessage(moved)); !errors.As(err, &invalid) {
				t.Errorf("test of %s: %v", moved, err)
			}
		}
		var raw []byte
		if err := db.QueryRow(t.Context(), `SELECT config FROM connector`).Scan(&raw); err != nil || strings.Contains(string(raw), "hush") {
			t.Errorf("stored as %q, %v", raw, err)
		}
		if name, config := h.Info(); name != "plant" || strings.Contains(string(config), "hush") {
			t.Errorf("told of it: %s, %s", name, config)
		}
	})
}

func TestLimits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db, 1)
		ctx := t.Context()
		for _, bad := range []NewConnector{
			{Name: "", Kind: "test", Config: json.RawMessage(`{"Host":"a"}`)},
			{Name: strings.Repeat("x", 129), Kind: "test", Config: json.RawMessage(`{"Host":"a"}`)},
			{Name: "a", Kind: "none", Config: json.RawMessage(`{"Host":"a"}`)},
			{Name: "a", Kind: "test", Config: json.RawMessage(`{}`)},
			{Name: "a", Kind: "test", Config: json.RawMessage(`[]`)},
			{Name: "a", Kind: "test", Config: json.RawMessage(`{"Host":7}`)},
			{Name: "a", Kind: "test", Config: json.RawMessage(`{"Host":"` + strings.Repeat("x", maxConfig) + `"}`)},
			{Name: "a", Kind: "test", Description: strings.Repeat("x", 1025), Config: json.RawMessage(`{"Host":"a"}`)},
		} {
			var invalid *ErrInvalid
			if _, err := b.Create(ctx, bad); !errors.As(err, &invalid) {
				t.Errorf("%.60v: %v", bad, err)
			}
		}
		first := b.create("a", `{"Host":"a"}`)
		if _, err := b.Create(ctx, NewConnector{Name: "a", Kind: "test", Config: json.RawMessage(`{"Host":"a"}`)}); !errors.Is(err, ErrExists) {
			t.Errorf("the same name: %v", err)
		}
		b.create("b", `{"Host":"a"}`)
		last := b.create("c", `{"Host":"a"}`)
		if _, err := b.Create(ctx, NewConnector{Name: "d", Kind: "test", Config: json.RawMessage(`{"Host":"a"}`)}); !errors.Is(err, ErrTooMany) {
			t.Errorf("one more: %v", err)
		}
		if _, err := b.Update(ctx, last.ID, Change{Name: text("b")}); !errors.Is(err, ErrExists) {
			t.Errorf("renamed to another's name: %v", err)
		}
		stale := first.Revision - 1
		if _, err := b.Update(ctx, first.ID, Change{Name: text("x"), IfRevision: &stale}); !errors.Is(err, ErrRevision) {
			t.Errorf("a revision that has passed: %v", err)
		}
		if _, err := b.Update(ctx, 7, Change{Name: text("x")}); !errors.Is(err, ErrNotFound) {
			t.Errorf("none: %v", err)
		}
		list, err := b.List(ctx, "default", first.ID, 1)
		if err != nil || len(list) != 1 || list[0].Name != "b" {
			t.Errorf("second page: %v, %v", list, err)
		}
		found, page, err := b.Search(ctx, "default", listing.Query{Filter: "kind:test used:no", Sort: "-name", Limit: 2, Count: true})
		if err != nil || len(found) != 2 || found[0].Name != "c" || page.Total != 3 || page.Next == "" {
			t.Errorf("found: %v, %+v, %v", found, page, err)
		}
		listingtest.Run(t, db, &listed, `c.project = ?`, "default")
		if list, err := b.List(ctx, "farm", 0, 10); err != nil || len(list) != 0 {
			t.Errorf("another project's: %v, %v", list, err)
		}
		if opened, closed := b.target.opened.Load(), b.target.closed.Load(); opened != closed {
			t.Errorf("checking has opened %d and closed %d", opened, closed)
		}
	})
}

func TestDelete(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db, 1)
		c := b.create("a", `{"Host":"a"}`)
		h := b.handle(c)
		host(t, h)
		b.users = []string{"hot", "cold"}
		if err := b.Delete(t.Context(), c.ID); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "hot, cold") {
			t.Errorf("used: %v", err)
		}
		b.users = nil
		if err := b.Delete(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		if err := h.Use(func(rules.Connection) error { t.Error("used though it is gone"); return nil }); !errors.Is(err, rules.ErrUnavailable) {
			t.Errorf("gone: %v", err)
		}
		if err := b.Delete(t.Context(), c.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("again: %v", err)
		}
		err := db.Update(t.Context(), func(tx *store.Tx) error { return b.Hold(t.Context(), tx, c.ID) })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("held: %v", err)
		}
	})
}

func TestHandle(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), 1)
	c := b.create("a", `{"Host":"a"}`)
	id := fmt.Sprint(c.ID)
	for _, bad := range [][3]string{{"farm", "test", id}, {"default", "other", id}, {"default", "test", "7"}, {"default", "test", "x"}, {"default", "test", ""}} {
		if _, err := b.Handle(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%v was found", bad)
		}
	}
}

// Whoever is in a connection when it is replaced goes on in it; it is closed when the last has left.
func TestReplaced(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), 1)
	c := b.create("a", `{"Host":"a","Password":"hush"}`)
	before := b.target.closed.Load()
	h := b.handle(c)
	var wg sync.WaitGroup
	in, leave := make(chan *targetConn, 2), make(chan struct{})
	for range 2 {
		wg.Go(func() {
			_ = h.Use(func(conn rules.Connection) error {
				in <- conn.(*targetConn)
				<-leave
				return nil
			})
		})
	}
	one, two := <-in, <-in
	if one != two {
		t.Error("two deliveries have two connections")
	}
	if _, err := b.Update(t.Context(), c.ID, Change{Config: json.RawMessage(`{"Host":"b","Password":"hush"}`)}); err != nil {
		t.Fatal(err)
	}
	if at := host(t, h); at != "b/hush" {
		t.Errorf("the next goes to %s", at)
	}
	if one.gone.Load() {
		t.Error("closed while two are in it")
	}
	leave <- struct{}{}
	if one.gone.Load() {
		t.Error("closed while one is in it")
	}
	leave <- struct{}{}
	wg.Wait()
	closed := func() int64 { return b.target.closed.Load() - before } // one is by the check of the change
	harness.Eventually(t, time.Minute, "the one that was replaced is closed", func() bool { return one.gone.Load() && closed() >= 2 })
	if got := closed(); got != 2 {
		t.Errorf("%d were closed", got)
	}
}

func TestStatus(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), 1)
	c := b.create("a", `{"Host":"a"}`)
	h := b.handle(c)
	after := func(err error) Status {
		_ = h.Use(func(rules.Connection) error { return err })
		return b.Status(c.ID)
	}
	if s := b.Status(c.ID); s.State != Unused {
		t.Errorf("at first: %+v", s)
	}
	if s := after(nil); s.State != Connected || s.LastError != "" {
		t.Errorf("after a success: %+v", s)
	}
	s := after(fmt.Errorf("%w: refused", rules.ErrUnavailable))
	if s.State != Disconnected || !strings.Contains(s.LastError, "refused") || s.LastErrorAt.IsZero() {
		t.Errorf("after an outage: %+v", s)
	}
	if again := after(fmt.Errorf("%w: refused", rules.ErrUnavailable)); again.Since != s.Since {
		t.Errorf("disconnected since %v, then %v", s.Since, again.Since)
	}
	// What the target refuses shows that it is there.
	if s := after(rules.ErrPermanent); s.State != Connected || s.LastError == "" {
		t.Errorf("after a refusal: %+v", s)
	}
}

// A change that is made on one node is followed by another that is told, and by one that only looks.
func TestOtherNodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		here, there := newBench(t, db, 1), newBench(t, db, 2)
		c := here.create("a", `{"Host":"a"}`)
		h := there.handle(c) // it has not been told: it looks
		if at := host(t, h); at != "a/" {
			t.Errorf("delivered to %s", at)
		}
		change := func(host string) {
			if _, err := here.Update(t.Context(), c.ID, Change{Config: json.RawMessage(`{"Host":"` + host + `"}`)}); err != nil {
				t.Fatal(err)
			}
		}
		change("b")
		if !slices.Equal(here.told, []int64{c.ID, c.ID}) {
			t.Errorf("told: %v", here.told)
		}
		if err := there.Apply(t.Context(), c.ID); err != nil || host(t, h) != "b/" {
			t.Errorf("told of it: %v, delivers to %s", err, host(t, h))
		}
		change("c")
		if err := there.refresh(t.Context()); err != nil || host(t, h) != "c/" {
			t.Errorf("looked: %v, delivers to %s", err, host(t, h))
		}
		if err := here.Delete(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		if err := there.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := h.Use(func(rules.Connection) error { return nil }); !errors.Is(err, rules.ErrUnavailable) {
			t.Errorf("deleted on the other node: %v", err)
		}
	})
}

func TestTest(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), 1)
	c := b.create("a", `{"Host":"a","Password":"wrong"}`)
	for _, tt := range []struct {
		config string
		ok     bool
	}{{`{"Host":"a","Password":"hush"}`, true}, {`{"Host":"a"}`, false}} {
		if got, err := b.Test(t.Context(), "test", json.RawMessage(tt.config)); err != nil || got.OK != tt.ok || (got.Err == nil) != tt.ok {
			t.Errorf("%s: %+v, %v", tt.config, got, err)
		}
	}
	if got, err := b.TestStored(t.Context(), c.ID, nil); err != nil || got.OK {
		t.Errorf("stored: %+v, %v", got, err)
	}
	if got, err := b.TestStored(t.Context(), c.ID, json.RawMessage(`{"Host":"a","Password":"hush"}`)); err != nil || !got.OK {
		t.Errorf("stored, with another password: %+v, %v", got, err)
	}
	if _, err := b.Test(t.Context(), "test", json.RawMessage(`{}`)); err == nil {
		t.Error("a configuration that is none was tried")
	}
	if s := b.Status(c.ID); s.State != Unused {
		t.Errorf("a test counts as a delivery: %+v", s)
	}
	if opened, closed := b.target.opened.Load(), b.target.closed.Load(); opened != closed {
		t.Errorf("opened %d and closed %d", opened, closed)
	}
}

// One that this hub cannot open, or read, is listed, and what uses it waits.
func TestBroken(t *testing.T) {
	db := storetest.SQLite(t)
	b := newBench(t, db, 1)
	c := b.create("a", `{"Host":"a","Password":"hush"}`)
	h := b.handle(c)
	if err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE connector SET config = ?, revision = 7`, []byte("nonsense"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Use(func(rules.Connection) error { return nil }); !errors.Is(err, rules.ErrUnavailable) || errors.Is(err, rules.ErrPermanent) {
		t.Errorf("damaged: %v", err)
	}
	if s := b.Status(c.ID); s.State != Disconnected {
		t.Errorf("%+v", s)
	}
}
