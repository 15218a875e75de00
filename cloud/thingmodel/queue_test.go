package thingmodel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// inputs makes the device note the inputs that reach it.
func (r *rig) inputs() *[]string {
	var got []string
	r.caller.react = func(_ string, sent []byte) error {
		doc, err := codec.Decode(sent, codec.DefaultLimits())
		if err != nil {
			return err
		}
		defer doc.Release()
		got = append(got, string(doc.Root().Get("Input").AppendJSON(nil)))
		return nil
	}
	return &got
}

func (r *rig) record(requestID string) *Record {
	r.t.Helper()
	rec, err := r.things.Record(r.t.Context(), r.device.Identity, requestID)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

func (r *rig) queue(input string, wait time.Duration) string {
	r.t.Helper()
	res, err := r.things.Command(r.t.Context(), r.device.Identity, Command{Identifier: "down", Input: []byte(input), Queue: wait, By: "user:ann"})
	if err != nil || res.Status != StatusQueued {
		r.t.Fatalf("queue %s: %+v, %v", input, res, err)
	}
	return res.RequestID
}

func TestQueuedCommands(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		one := r.queue(`{"v":1}`, time.Hour)
		gone := r.queue(`{"v":2}`, time.Minute)
		three := r.queue(`{"v":3}`, time.Hour)
		taken := r.queue(`{"v":4}`, time.Hour)
		if rec := r.record(one); rec.Status != StatusQueued || rec.By != "user:ann" || !rec.Sent.IsZero() || rec.Expires.Sub(rec.Created) != time.Hour {
			t.Errorf("queued record %+v", rec)
		}
		if rec, err := r.things.CancelCommand(ctx, r.device.Identity, taken); err != nil || rec.Status != StatusCancelled || rec.Done.IsZero() {
			t.Errorf("cancel: %+v, %v", rec, err)
		}
		if _, err := r.things.CancelCommand(ctx, r.device.Identity, taken); !errors.Is(err, ErrNotQueued) {
			t.Errorf("cancel again: %v", err)
		}
		if _, err := r.things.CancelCommand(ctx, r.device.Identity, "77"); !errors.Is(err, ErrNoRecord) {
			t.Errorf("cancel nothing: %v", err)
		}
		got := r.inputs()
		r.things.look(ctx) // the device is not there
		if len(*got) > 0 {
			t.Fatalf("sent to a device that does not listen: %v", *got)
		}

		// A node that has just started finds them in the store; one whose time is over is not sent.
		r.caller.here = true
		r.things.waiting = waiting{}
		r.things.readWaiting(ctx, time.Time{})
		r.things.now = func() time.Time { return time.Now().Add(2 * time.Minute) }
		r.things.look(ctx)
		if want := []string{`{"v":1}`, `{"v":3}`}; !slices.Equal(*got, want) {
			t.Fatalf("sent %v, want %v", *got, want)
		}
		if rec := r.record(gone); rec.Status != StatusExpired || rec.Code != message.CodeNotOnline || rec.Done.IsZero() {
			t.Errorf("expired record %+v", rec)
		}
		r.things.look(ctx)
		if len(*got) != 2 || r.things.waiting.has(r.device.ID) {
			t.Errorf("sent again: %v", *got)
		}

		// One answers, the other only when its time is over: that is late.
		r.send(topic.CommandReply, one, `{"RequestID":"`+one+`","RetCode":0,"Identifier":"down","Output":{"now":1}}`)
		if rec := r.record(one); rec.Status != StatusSucceeded || rec.Late || string(rec.Output) != `{"now":1}` || rec.Sent.IsZero() {
			t.Errorf("answered record %+v", rec)
		}
		r.things.now = func() time.Time { return time.Now().Add(3 * time.Minute) }
		r.things.endDue(ctx)
		if rec := r.record(three); rec.Status != StatusFailed || rec.Code != message.CodeCommandTimeout || rec.Late {
			t.Errorf("record without an answer %+v", rec)
		}
		for _, code := range []string{"0", "5"} { // the second answer does not count
			r.send(topic.CommandReply, three, `{"RequestID":"`+three+`","RetCode":`+code+`,"Identifier":"down","Output":{"now":3}}`)
		}
		if rec := r.record(three); rec.Status != StatusSucceeded || !rec.Late || rec.Code != 0 {
			t.Errorf("late record %+v", rec)
		}
	})
}

func TestQueuedCommandsExpire(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		id := r.queue(`{"v":1}`, time.Minute)
		r.things.endDue(t.Context())
		if rec := r.record(id); rec.Status != StatusQueued {
			t.Errorf("before its time: %+v", rec)
		}
		r.things.now = func() time.Time { return time.Now().Add(61 * time.Second) }
		r.things.endDue(t.Context())
		if rec := r.record(id); rec.Status != StatusExpired || rec.Code != message.CodeNotOnline || !rec.Done.Equal(rec.Expires) {
			t.Errorf("after its time: %+v", rec)
		}
	})
}

// TestQueueAtSubscription: what waits goes out when the device subscribes, without a look at all that wait.
func TestQueueAtSubscription(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.queue(`{"v":1}`, time.Hour)
	got := r.inputs()
	r.things.Listening(r.device.ID)
	r.things.Listening(r.device.ID + 1) // for whom nothing waits
	if n := len(r.things.heard); n != 1 {
		t.Fatalf("%d devices are to be looked at", n)
	}
	r.things.hear(t.Context(), <-r.things.heard)
	if len(*got) > 0 {
		t.Errorf("sent to a device that listens to something else: %v", *got)
	}
	r.caller.here = true
	r.things.Listening(r.device.ID)
	r.things.hear(t.Context(), <-r.things.heard)
	if want := []string{`{"v":1}`}; !slices.Equal(*got, want) {
		t.Errorf("sent %v, want %v", *got, want)
	}
}

func TestQueueKeepsItsOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		r.queue(`{"v":1}`, time.Hour)
		r.queue(`{"v":2}`, time.Hour)
		got := r.inputs()
		r.caller.here = true
		note := r.caller.react
		r.caller.react = func(name string, sent []byte) error { // gone again after the first
			if len(*got) == 1 {
				return ErrOffline
			}
			return note(name, sent)
		}
		r.things.look(ctx)
		if want := []string{`{"v":1}`}; !slices.Equal(*got, want) {
			t.Fatalf("sent %v, want %v", *got, want)
		}
		r.queue(`{"v":3}`, time.Hour) // the device would take it, but not before the one that waits
		r.caller.react = note
		r.things.look(ctx)
		if want := []string{`{"v":1}`, `{"v":2}`, `{"v":3}`}; !slices.Equal(*got, want) {
			t.Errorf("sent %v, want %v", *got, want)
		}
		list, err := r.things.Commands(ctx, r.device.Identity, Query{State: StatusSent, Limit: 10})
		if err != nil || len(list) != 3 || string(list[0].Input) != `{"v":3}` {
			t.Errorf("sent records: %v, %v", list, err)
		}
		// Without a queue a device that is away is an error.
		r.caller.react = func(string, []byte) error { return ErrOffline }
		if _, err := r.things.Command(ctx, r.device.Identity, Command{Identifier: "down"}); !errors.Is(err, ErrOffline) {
			t.Errorf("not queued: %v", err)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		err := db.Update(ctx, func(tx *store.Tx) error {
			for i := range MaxQueued {
				if _, err := r.things.Queue(ctx, tx, r.device, Command{Identifier: "down", Queue: time.Hour}, "j1"); err != nil {
					return fmt.Errorf("%d: %w", i, err)
				}
			}
			_, err := r.things.Queue(ctx, tx, r.device, Command{Identifier: "down", Queue: time.Hour}, "j1")
			if !errors.Is(err, ErrQueueFull) {
				t.Errorf("one too many: %v", err)
			}
			_, err = r.things.Queue(ctx, tx, r.device, Command{Identifier: "up", Queue: time.Hour}, "j1")
			if CodeOf(err) != message.CodeNoSuchCommand {
				t.Errorf("no such command: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // as one that is not known to wait, and as one behind others
			if _, err := r.things.Command(ctx, r.device.Identity, Command{Identifier: "down", Queue: time.Hour}); !errors.Is(err, ErrQueueFull) {
				t.Errorf("one too many: %v", err)
			}
			r.things.readWaiting(ctx, time.Now().Add(-hearBack))
		}
		list, err := r.things.Commands(ctx, r.device.Identity, Query{Job: "j1", Limit: 1000})
		if err != nil || len(list) != MaxQueued {
			t.Errorf("%d records of the job, %v", len(list), err)
		}
		for _, bad := range []time.Duration{-1, MaxQueueTime + 1} {
			if _, err := r.things.Command(ctx, r.device.Identity, Command{Identifier: "down", Queue: bad}); err == nil {
				t.Errorf("queued for %v", bad)
			}
		}
	})
}

// Two nodes that see the device at the same moment do not send twice.
func TestQueueIsSentOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		for i := range 9 {
			r.queue(fmt.Sprintf(`{"v":%d}`, i), time.Hour)
		}
		got := r.inputs()
		other := New(r.things.Deps)
		rows, err := db.Query(ctx, `SELECT `+recordColumns+` FROM command_log ORDER BY id`)
		if err != nil {
			t.Fatal(err)
		}
		list, err := collect(rows, func(row scanner) (*Record, error) { return scanRecord(row) })
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range list { // both have read the row as queued
			rec.dev = r.device.Identity
			for _, node := range []*Things{r.things, other} {
				if there, err := node.sendQueued(ctx, rec); err != nil || !there {
					t.Fatalf("%v, %v", there, err)
				}
			}
		}
		if len(*got) != 9 {
			t.Errorf("sent %v", *got)
		}
	})
}

func TestRunSendsWhatWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		id := r.queue(`{"v":7}`, time.Hour)
		r.inputs()
		r.caller.mu.Lock()
		r.caller.here = true
		r.caller.mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- r.things.Run(ctx) }()
		deadline := time.Now().Add(time.Minute)
		for r.record(id).Status != StatusSent {
			if time.Now().After(deadline) {
				t.Fatal("not sent")
			}
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

func TestEventRecords(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		for i := range 3 {
			r.send(topic.EventPost, "", fmt.Sprintf(`{"RequestID":"1","Identifier":"alarm","Output":{"code":%d},"Time":1524448722000}`, i))
		}
		r.send(topic.EventPost, "", `{"RequestID":"1","Identifier":"alarm"}`)
		r.send(topic.EventPost, "", `{"RequestID":"1","Identifier":"alarm","Output":{"code":77}}`) // refused
		list, err := r.things.Events(ctx, r.device.Identity, Query{Limit: 10})
		if err != nil || len(list) != 4 {
			t.Fatalf("%d events, %v", len(list), err)
		}
		e := list[1]
		if e.Identifier != "alarm" || e.Type != "warning" || string(e.Output) != `{"code":2}` || e.At.UnixMilli() != 1524448722000 || time.Since(e.Received) > time.Hour {
			t.Errorf("event %+v", e)
		}
		if all, err := r.things.Events(ctx, ident.Device{Product: r.device.Identity.Product}, Query{Limit: 3}); err != nil || len(all) != 3 || all[0].ID != list[0].ID ||
			all[0].Device != r.device.Identity.SN {
			t.Errorf("of the product: %+v, %v", all, err)
		}
		if _, err := r.things.Events(ctx, ident.Device{Product: "0123456789abcdef"}, Query{Limit: 3}); !errors.Is(err, registry.ErrProductNotFound) {
			t.Errorf("of no product: %v", err)
		}
		if list[0].Output != nil || !list[0].At.Equal(list[0].Received) {
			t.Errorf("event without parameters and time %+v", list[0])
		}
		next, err := r.things.Events(ctx, r.device.Identity, Query{Before: list[1].ID, Limit: 1})
		if err != nil || len(next) != 1 || string(next[0].Output) != `{"code":1}` {
			t.Errorf("next page %+v, %v", next, err)
		}
		for _, q := range []Query{{State: "error"}, {Identifier: "boom"}, {From: time.Now().Add(time.Hour)}, {To: time.Now().Add(-time.Hour)}} {
			q.Limit = 10
			if list, err := r.things.Events(ctx, r.device.Identity, q); err != nil || len(list) != 0 {
				t.Errorf("%+v: %d events, %v", q, len(list), err)
			}
		}
		if list, err := r.things.Events(ctx, r.device.Identity, Query{State: "warning", Identifier: "alarm", From: time.Now().Add(-time.Hour),
			To: time.Now().Add(time.Hour), Limit: 10}); err != nil || len(list) != 4 {
			t.Errorf("all conditions: %d events, %v", len(list), err)
		}
		if _, err := r.things.Events(ctx, r.device.Identity, Query{State: "odd"}); err == nil || !strings.Contains(err.Error(), "type") {
			t.Errorf("odd type: %v", err)
		}
	})
}
