package ota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// happened is what a test looks at of an event.
type happened struct{ TaskID, Module, Version, FromVersion, State, Stage, Class string }

// ears are rules that take every event.
type ears struct {
	mu   sync.Mutex // guards the field below
	list []string
}

func (h *ears) Match(m *uplink.Message, _ string, _ func() (codec.Value, error), out [][]byte) [][]byte {
	var e happened
	if err := json.Unmarshal(m.Payload, &e); err != nil {
		e.Stage = err.Error()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, fmt.Sprintf("%s %s: %s, %s %s", m.Device.SN, e.Version, e.State, e.Stage, e.Class))
	return append(out, m.Payload)
}

// take is what was heard since the last look, in the order of devices.
func (h *ears) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.list
	h.list = nil
	slices.Sort(list)
	return list
}

// TestCalledOffIsHeard: rules and watchers hear of every update that is cancelled or superseded, by whatever does it, whether its device was offered it or not.
func TestCalledOffIsHeard(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		rules, feed := &ears{}, monitor.New(monitor.DefaultConfig())
		f.Rules, f.Feed = rules, feed
		events, done := feed.Subscribe(monitor.Filter{Product: f.product, Types: []string{monitor.TypeOTA}})
		defer done()
		f.fleet("pump", 2)
		f.wire.away["pump-1"] = true
		two, three, four := f.firmwareOf("2.0", "b"), f.firmwareOf("3.0", "c"), f.firmwareOf("4.0", "d")
		want := func(what string, want ...string) {
			t.Helper()
			var ended []string
			for _, e := range rules.take() {
				if strings.Contains(e, "cancelled") {
					ended = append(ended, e)
				}
			}
			if !slices.Equal(ended, want) {
				t.Errorf("%s: got %q, want %q", what, ended, want)
			}
		}
		offer := func() {
			t.Helper()
			if err := f.push(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		f.task(two, "pump-0", "pump-1")
		offer()
		task := f.task(three, "pump-0", "pump-1")
		offer()
		want("another task", "pump-0 2.0: cancelled, superseded superseded", "pump-1 2.0: cancelled, superseded superseded")
		if _, err := f.CancelTask(t.Context(), f.product, task.ID); err != nil {
			t.Fatal(err)
		}
		want("a task that is cancelled", "pump-0 3.0: cancelled, cancelled ", "pump-1 3.0: cancelled, cancelled ")
		f.campaign(two, Spec{})
		f.turns(2)
		c := f.campaign(four, Spec{})
		f.turns(2)
		want("another campaign", "pump-0 2.0: cancelled, superseded superseded", "pump-1 2.0: cancelled, superseded superseded")
		if _, err := f.Abort(t.Context(), f.product, c.ID, 0); err != nil {
			t.Fatal(err)
		}
		f.turns(1)
		want("a campaign that is aborted", "pump-0 4.0: cancelled, cancelled ", "pump-1 4.0: cancelled, cancelled ")
		done()
		shown := 0
		for e := range events {
			var got happened
			if err := json.Unmarshal(e.Data, &got); err != nil {
				t.Fatal(err)
			}
			if got.State == "cancelled" {
				shown++
			}
		}
		if shown != 8 {
			t.Errorf("watchers saw %d, want 8", shown)
		}
		if kept := keptFor(t, db, "cancelled"); kept != 8 {
			t.Errorf("kept for targets: %d, want 8", kept)
		}
	})
}

// keptFor is how many events of a state wait for the rules' targets.
func keptFor(t *testing.T, db *store.DB, state string) (n int) {
	t.Helper()
	for shard := range store.Shards {
		rows, err := db.Outbox().Read(t.Context(), shard, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			for _, record := range row.Records {
				if strings.Contains(string(record), `"`+state+`"`) {
					n++
				}
			}
		}
	}
	return n
}

// dying is a way to devices on which the hub dies with the next message.
type dying struct {
	*wire
	die func()
}

func (d *dying) Send(context.Context, ident.Device, string, []byte, bool) error {
	d.die()
	return errors.New("the hub is dead")
}

// TestCalledOffIsKept: a hub that dies when the first of the devices is about to be told, or before the change is committed, has for the rules' targets what has happened and nothing else.
func TestCalledOffIsKept(t *testing.T) {
	engines := map[string]func(t *testing.T) store.Config{
		"sqlite":   func(t *testing.T) store.Config { return store.Config{Dir: t.TempDir()} },
		"postgres": func(t *testing.T) store.Config { return store.Config{DSN: harness.Postgres(t)} },
	}
	for name, config := range engines {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			db := storetest.Open(t, cfg)
			f := newFixture(t, db)
			f.Rules = &ears{}
			f.fleet("pump", 3)
			two, three := f.firmwareOf("2.0", "b"), f.firmwareOf("3.0", "c")
			task := f.task(two, "pump-0", "pump-1", "pump-2")
			if err := f.push(t.Context()); err != nil {
				t.Fatal(err)
			}
			nobody := store.NewStmt(`INSERT INTO no_such_table (x) VALUES (?)`)
			along, _ := store.Along(t.Context(), func() []store.Op { return []store.Op{nobody.Op(int64(1))} })
			if _, err := f.CancelTask(along, f.product, task.ID); err == nil {
				t.Fatal("a change that cannot be stored was made")
			}
			if n := keptFor(t, db, "cancelled"); n != 0 {
				t.Errorf("%d are kept of a change that was not made, want none", n)
			}
			f.Sender = &dying{f.wire, sync.OnceFunc(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})}
			if _, err := f.CreateTask(t.Context(), NewTask{Product: f.product, Firmware: three.ID, Targets: Targets{Devices: []string{"pump-0", "pump-1"}}}); err == nil {
				t.Error("a dead hub has answered")
			}
			again := storetest.Open(t, cfg)
			if n := keptFor(t, again, "cancelled"); n != 2 {
				t.Errorf("kept for targets: %d, want 2", n)
			}
		})
	}
}

// TestWentBack: a device that verifies and says that it runs less than before, which nobody has brought it, has gone back; rules hear of it, once.
func TestWentBack(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.device("gw-1")
	says := func(version string, sequence int) (events []happened) {
		t.Helper()
		f.emitted = nil
		f.say(d, 1, fmt.Sprintf(`{"Method":"report_version","Payload":{"Module":"default","Version":"%s","Manifest":true,"Sequence":%d}}`, version, sequence))
		for _, text := range f.emitted {
			var e happened
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
		return events
	}
	if got := slices.Concat(says("1.0", 0), says("2.0", 7), says("2.0", 7), says("3.0", 8)); got != nil {
		t.Errorf("on its way up: %+v", got)
	}
	want := []happened{{TaskID: "0", Module: "default", Version: "2.0", FromVersion: "3.0", State: "rolled_back", Stage: "rolled_back", Class: "went_back"}}
	if got := says("2.0", 7); !slices.Equal(got, want) {
		t.Errorf("back: %+v, want %+v", got, want)
	}
	if got := says("2.0", 7); got != nil {
		t.Errorf("once more: %+v", got)
	}
	task := f.task(f.firmwareOf("4.0", "x"), "gw-1")
	says("4.0", 9)
	f.want(task, d, Succeeded, "")
	want[0].TaskID, want[0].Version, want[0].FromVersion = fmt.Sprint(task.ID), "1.0", "4.0"
	if got := says("1.0", 0); !slices.Equal(got, want) {
		t.Errorf("to what was shipped: %+v, want %+v", got, want)
	}
}
