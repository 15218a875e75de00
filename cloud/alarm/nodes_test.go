package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// pair are two nodes on one store that hear nothing of each other.
func pair(t *testing.T, db *store.DB) (a, b *rig) {
	a, b = newRig(t, db), newRig(t, db)
	b.IDs = message.NewIDs(2, 0, time.Now)
	return a, b
}

func (r *rig) channel(name string) string {
	r.t.Helper()
	c, err := r.CreateChannel(r.t.Context(), "farm", name, "test", json.RawMessage(`{"url":"https://ops.example"}`))
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprint(c.ID)
}

func (r *rig) exec(q string, args ...any) {
	r.t.Helper()
	err := r.Store.Update(r.t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(r.t.Context(), q, args...); return err })
	if err != nil {
		r.t.Fatal(err)
	}
}

// hot is a rule on t over 30 which tells a channel.
func (r *rig) hot(channel, debounce string) *Rule {
	r.t.Helper()
	return r.rule(fmt.Sprintf(`{"severity":"major","channels":[%q],"debounce":%s,"condition":{"kind":"property","productSN":"pump","property":"t","op":">","value":30}}`, channel, debounce))
}

func TestOneOfTwoNodesTells(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, b := pair(t, db)
		hot := a.hot(a.channel("ops"), `{"seconds":60}`)
		if err := b.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.post("pump-1", `{"t":31}`)
		a.clock, b.clock = a.clock.Add(time.Minute), b.clock.Add(time.Minute)
		both := func(f func(*rig) error) {
			t.Helper()
			var wg sync.WaitGroup
			for _, r := range []*rig{a, b} {
				wg.Go(func() {
					if err := f(r); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		both(func(r *rig) error { return r.mature(t.Context()) })
		b.want(hot, "pump-1 t is 31 (> 30)")
		a.clock, b.clock = a.clock.Add(time.Minute), b.clock.Add(time.Minute)
		both(func(r *rig) error {
			due, err := r.due(t.Context())
			for _, c := range due {
				err = errors.Join(err, r.sendDue(t.Context(), c.id))
			}
			return err
		})
		if n := len(a.got) + len(b.got); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// A node dies while it sends. The other sends the same, once the first cannot be at it any more; what has come meanwhile is another message.
func TestNodeDiesWhileItSends(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, b := pair(t, db)
		channel := a.channel("ops")
		a.hot(channel, `{}`)
		if err := b.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.post("pump-1", `{"t":31}`)
		a.clock, b.clock = a.clock.Add(time.Minute), b.clock.Add(time.Minute)
		due, err := a.due(t.Context())
		if err != nil || len(due) != 1 {
			t.Fatalf("due %v, %v", due, err)
		}
		h, err := a.take(t.Context(), due[0].id)
		if err != nil || h == nil {
			t.Fatalf("%v, %v", h, err)
		}
		b.post("pump-2", `{"t":31}`)
		// It is changed while it is sent, which lets no other node at it.
		if _, err := b.UpdateChannel(t.Context(), due[0].id, "ops", nil, nil); err != nil {
			t.Fatal(err)
		}
		if b.deliver(); len(b.got) != 0 {
			t.Fatalf("both nodes send: %+v", b.got)
		}
		b.clock = b.clock.Add(time.Minute)
		b.deliver()
		if len(b.got) != 1 || b.got[0].ID != h.message || len(b.got[0].Notices) != 1 || b.got[0].Notices[0].Device != "pump-1" {
			t.Fatalf("got %+v, want the message %d again", b.got, h.message)
		}
		// The first was only slow, and has its answer now.
		c, err := a.Channel(t.Context(), h.channel)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.sent(t.Context(), c, h, nil); err != nil {
			t.Fatal(err)
		}
		b.clock = b.clock.Add(time.Minute)
		b.deliver()
		if len(b.got) != 2 || len(b.got[1].Notices) != 1 || b.got[1].Notices[0].Device != "pump-2" {
			t.Fatalf("got %+v, want what came meanwhile", b.got)
		}
		b.clock = b.clock.Add(time.Hour)
		if b.deliver(); len(b.got) != 2 {
			t.Errorf("told again: %+v", b.got[2:])
		}
	})
}

// A notice that a slow transaction leaves behind a message, with a lower number than those in it, is told with the next.
func TestNoticeThatComesLate(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	channel := r.channel("ops")
	r.hot(channel, `{}`)
	r.post("pump-1", `{"t":31}`)
	r.clock = r.clock.Add(time.Minute)
	r.sending = func(context.Context, Message) error {
		r.exec(`INSERT INTO alarm_notice (id, channel, alarm, cleared, at) SELECT n.id - 1, n.channel, n.alarm, 1, n.at FROM alarm_notice n`)
		r.sending = nil
		return nil
	}
	r.deliver()
	r.clock = r.clock.Add(time.Minute)
	r.deliver()
	if len(r.got) != 2 || !r.got[1].Notices[0].Over {
		t.Errorf("got %+v", r.got)
	}
}

// A message whose end was not heard is the same when it is sent again; one that was refused has what came meanwhile too.
func TestMessageIsTheSameAgain(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	channel := r.channel("ops")
	r.hot(channel, `{}`)
	r.post("pump-1", `{"t":31}`)
	var ids []int64
	for i, failure := range []error{fmt.Errorf("post: %w", context.DeadlineExceeded), errors.New("no way"), errors.New("no way"), nil} {
		r.sending = func(_ context.Context, m Message) error { ids = append(ids, m.ID); return failure }
		r.clock = r.clock.Add(time.Hour)
		r.deliver()
		r.post(fmt.Sprint("pump-", i+2), `{"t":31}`)
	}
	if len(ids) != 4 || ids[0] != ids[1] || ids[1] == ids[2] {
		t.Errorf("messages %v", ids)
	}
	if len(r.got) != 1 || len(r.got[0].Notices) != 4 {
		t.Errorf("got %+v", r.got)
	}
}

// A channel that hangs holds up no other.
func TestSlowChannelIsApart(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	slow, quick := r.channel("slow"), r.channel("quick")
	r.rule(fmt.Sprintf(`{"severity":"minor","channels":[%q],"condition":{"kind":"property","productSN":"pump","property":"t","op":">","value":20}}`, slow))
	hot := r.hot(quick, `{}`)
	r.post("pump-1", `{"t":31}`)
	r.clock = r.clock.Add(time.Minute)
	hangs, told := make(chan struct{}), make(chan struct{}, 1)
	var once sync.Once
	r.sending = func(ctx context.Context, m Message) error {
		if m.Notices[0].Rule != hot.ID {
			once.Do(func() { close(hangs) })
			<-ctx.Done()
			return ctx.Err()
		}
		<-hangs // it is told while the other hangs
		told <- struct{}{}
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.send(ctx) }()
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Error("the channel that works was not told within a minute")
	}
	stop()
	<-ended
}

// A report that ends what the one before it began is judged, though that one is not settled yet.
func TestReportsOnEachOthersHeels(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	hot := r.hot(r.channel("ops"), `{}`)
	dev := ident.Device{Product: "pump", SN: "pump-1"}
	match := func(values ...int) {
		for _, v := range values {
			m := &uplink.Message{Device: dev, DeviceID: 1, At: r.clock, Topic: topic.Topic{Kind: topic.PropertyPost, Device: dev}, Payload: fmt.Appendf(nil, `{"Property":{"t":%d}}`, v)}
			r.Match(m)
			m.Ended(nil)
		}
		r.settleAll()
	}
	match(31, 20)
	r.want(hot)
	match(31)
	match(20, 32)
	r.want(hot, "pump-1 t is 32 (> 30)")
	refused := &uplink.Message{Device: dev, DeviceID: 1, At: r.clock, Topic: topic.Topic{Kind: topic.PropertyPost, Device: dev}, Payload: []byte(`{"Property":{"t":1}}`)}
	r.Match(refused)
	refused.Ended(errors.New("no room"))
	r.want(hot, "pump-1 t is 32 (> 30)")
	match(20)
	r.want(hot)
	if n := r.active.n.Load(); n != 0 {
		t.Errorf("%d are active at the end", n)
	}
}

// What another node has changed counts, also for a node that has not heard of it.
func TestNodeThatHasHeardNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, b := pair(t, db)
		old := a.hot(a.channel("ops"), `{"seconds":60}`)
		if err := b.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		// A rule that b does not know has something due.
		fresh := a.rule(`{"severity":"minor","debounce":{"seconds":60},"condition":{"kind":"property","productSN":"pump","property":"speed","op":"==","value":0}}`)
		a.post("pump-1", `{"speed":0,"t":31}`)
		b.clock = b.clock.Add(time.Minute)
		if err := b.mature(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.want(fresh, "pump-1 speed is 0 (== 0)")
		a.want(old, "pump-1 t is 31 (> 30)")
		// One that b thinks is there judges no more, and one that is another judges as it does now.
		if err := a.DeleteRule(t.Context(), fresh.ID); err != nil {
			t.Fatal(err)
		}
		d := old.Definition
		d.Condition.Value, d.Debounce = json.RawMessage(`50`), Debounce{}
		if _, err := a.UpdateRule(t.Context(), old.ID, old.Name, true, d, nil); err != nil {
			t.Fatal(err)
		}
		b.post("pump-2", `{"speed":0,"t":31}`)
		b.post("pump-2", `{"t":51}`)
		b.want(fresh)
		b.want(old, "pump-2 t is 51 (> 50)")
		// An alarm of a rule that is no more, and one of a device that is no more (none of these has a row), end.
		b.exec(`INSERT INTO alarm (id, rule, rule_name, project, product, subject, severity, text, value, opened_at, changed_at) VALUES (5, ?, 'r', 'farm', 'pump', 'pump/x', 1, '', '', 1, 1)`, fresh.ID)
		if err := b.recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.settleAll()
		b.want(fresh)
		b.want(old)
	})
}
