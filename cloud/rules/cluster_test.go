package rules

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// hubOn is one of several hubs on one PostgreSQL; all write to the same targets.
func hubOn(t *testing.T, dsn string, n uint16, first *rig) *rig {
	t.Helper()
	db := storetest.Open(t, store.Config{DSN: dsn})
	r := &rig{t: t, db: db, clock: time.Now, name: fmt.Sprintf("n%d", n), ids: message.NewIDs(n, 0, time.Now)}
	if first == nil {
		r.targets = map[string]*target{"a": {}, "b": {}, "many": {batch: 10}}
		r.fill()
	} else {
		r.targets, r.product, r.devices = first.targets, first.product, first.devices
		var err error
		if r.reg, err = registry.New(t.Context(), db, r.log()); err != nil {
			t.Fatal(err)
		}
	}
	r.open()
	return r
}

// shards are how many this node delivers.
func (r *rig) shards() int { return int(r.rules.keeper.held.Load()) }

// living says all the time that a node lives, until die is called.
func (r *rig) living(node string) (die func()) {
	r.t.Helper()
	beat := func() {
		if err := r.db.Outbox().Beat(context.Background(), node); err != nil {
			r.t.Error(err)
		}
	}
	beat()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(beatEvery / 4)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				beat()
			}
		}
	}()
	die = sync.OnceFunc(func() { close(stop); <-stopped })
	r.t.Cleanup(die)
	return die
}

// TestNodesShareShards has nodes come and go: the shards are shared out, nothing is delivered twice or out of order as long as
// they go in an orderly way, and rules are the same everywhere.
func TestNodesShareShards(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	a := hubOn(t, dsn, 1, nil)
	b := hubOn(t, dsn, 2, a)
	rule := a.create("r", `SELECT i FROM /+/+/upload`, "a")
	a.run()
	a.eventually("one node has all", func() bool { return a.shards() == store.Shards })
	b.eventually("the rule is known", func() bool {
		got, err := b.rules.Get(t.Context(), rule.ID)
		return err == nil && got.Name == "r"
	})
	a.number(0, 100)
	b.number(100, 200) // a delivers what b commits
	a.eventually("all are there", func() bool { return len(a.targets["a"].records()) == 200 })
	b.run()
	a.eventually("half each", func() bool { return a.shards() == store.Shards/2 && b.shards() == store.Shards/2 })
	a.number(200, 300)
	b.number(300, 400)
	a.eventually("all are there", func() bool { return len(a.targets["a"].records()) == 400 })
	a.stop()
	b.eventually("the other has all", func() bool { return b.shards() == store.Shards })
	b.number(400, 500)
	b.eventually("all are there", func() bool { return len(a.targets["a"].records()) == 500 })
	checkNumbers(t, a.targets["a"].records(), 0, 500, false)
}

// TestDeadNodeIsReplaced: a node that says no longer that it lives loses its shards within 10 s, what it still wants to write is not
// written, and what it had not saved comes again with the same keys.
func TestDeadNodeIsReplaced(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	a := hubOn(t, dsn, 1, nil)
	b := hubOn(t, dsn, 2, a)
	a.create("r", `SELECT i FROM /+/+/upload`, "a")
	if err := b.rules.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	var hung atomicGate
	a.targets["a"].failing(func([]Record) error { hung.wait(); return nil })
	a.run()
	a.number(0, 40)
	a.eventually("it delivers to each device", func() bool { return hung.waiting.Load() == int64(len(a.devices)) }) // and to none beyond the gate later on
	// It is as good as dead: its store is gone, nothing that it does from here on is stored.
	if err := a.db.Close(); err != nil {
		t.Fatal(err)
	}
	a.targets["a"].failing(nil)
	begun := time.Now()
	b.run()
	b.eventually("the other has all", func() bool { return b.shards() == store.Shards })
	if took := time.Since(begun); took > harness.Promised(10*time.Second) {
		t.Errorf("it took %v", took)
	}
	b.eventually("all are there", func() bool { return len(a.targets["a"].records()) == 40 })
	if a.shards() == store.Shards && a.rules.now().UnixNano() < a.rules.keeper.trusted.Load() {
		t.Error("the dead one still trusts its leases")
	}
	hung.open()
	keys := map[string]bool{}
	for _, rec := range a.targets["a"].records() {
		keys[rec.Key()] = true
	}
	if len(keys) != 40 {
		t.Errorf("%d keys, want 40: what comes again has the key that it had", len(keys))
	}
	a.abandon()
}

// TestOwnStandstillIsNobodysDeath: a node that did not look for a while, as the store or it itself stood still, takes nobody for dead because of
// that; who is silent afterwards is.
func TestOwnStandstillIsNobodysDeath(t *testing.T) {
	a := hubOn(t, storetest.PostgresDSN(t), 1, nil)
	k, now := a.rules.keeper, time.Now()
	a.rules.now = func() time.Time { return now }
	if err := a.rules.outbox.Beat(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	look := func(after time.Duration, want int) {
		t.Helper()
		now = now.Add(after)
		if got, err := k.share(t.Context()); err != nil || got != want {
			t.Fatalf("%v later: a share of %d, %v, want %d", after, got, err, want)
		}
	}
	const half = store.Shards / 2
	look(0, half)
	look(beatEvery, half)
	look(time.Minute, half)
	for left := deadAfter - 3*beatEvery; left > beatEvery; left -= beatEvery {
		look(beatEvery, half)
	}
	look(beatEvery, store.Shards)
}

// TestNodeComesBackToMoreThanItsShare: a process that was killed held all shards; the one of its name that follows takes its share of
// them, and the other node the rest, though it sees that a node of that name lives.
func TestNodeComesBackToMoreThanItsShare(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	a := hubOn(t, dsn, 1, nil)
	b := hubOn(t, dsn, 2, a)
	leases, err := a.rules.outbox.Leases(t.Context(), consumer)
	if err != nil {
		t.Fatal(err)
	}
	for i := range leases {
		if _, err := a.rules.outbox.Claim(t.Context(), consumer, i, a.rules.keeper.node, leases[i]); err != nil {
			t.Fatal(err)
		}
	}
	rest := a.living(b.rules.keeper.node) // so that a knows of b from its first turn on
	a.run()
	a.eventually("one node has its half", func() bool { return a.shards() == store.Shards/2 })
	rest()
	b.run()
	b.eventually("half each", func() bool { return a.shards() == store.Shards/2 && b.shards() == store.Shards/2 })
}

// TestStolenLease: who has lost a lease writes nothing about it any more.
func TestStolenLease(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	a := hubOn(t, dsn, 1, nil)
	rule := a.create("r", `SELECT i FROM /+/+/upload`, "a")
	a.targets["a"].failing(func([]Record) error { return ErrUnavailable })
	a.run()
	a.number(0, 100)
	a.eventually("it lags", func() bool {
		s, err := a.rules.Stats(t.Context(), rule.ID)
		return err == nil && s.Actions[0].Late == 100
	})
	o := a.db.Outbox()
	die := a.living("thief")
	for shard := range store.Shards {
		a.eventually("the shard is stolen", func() bool { // its owner may move it at the same moment
			leases, err := o.Leases(t.Context(), consumer)
			if err != nil {
				t.Fatal(err)
			}
			_, err = o.Claim(t.Context(), consumer, shard, "thief", leases[shard])
			return err == nil
		})
	}
	a.eventually("it has noticed", func() bool { return a.shards() == 0 })
	if s, err := a.rules.Stats(t.Context(), rule.ID); err != nil || s.Actions[0].Matched != 0 {
		t.Errorf("stats %+v, %v: what waits is another's", s, err)
	}
	die()
	a.eventually("it takes over again when the thief is dead", func() bool { return a.shards() == store.Shards })
	a.targets["a"].failing(nil)
	a.eventually("all are there", func() bool { return len(a.targets["a"].records()) == 100 })
	checkNumbers(t, a.targets["a"].records(), 0, 100, false)
}

// TestRulesOfOtherNodes: what is changed on one node holds on the others, and two that change the same rule do not undo each other.
func TestRulesOfOtherNodes(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	a := hubOn(t, dsn, 1, nil)
	b := hubOn(t, dsn, 2, a)
	b.run()
	// No word over the bus: b looks by itself when a record has an action that it does not know.
	rule := a.create("r", `SELECT i FROM /+/+/upload`, "a")
	a.number(0, 20)
	b.eventually("b delivers for a rule that it was not told of", func() bool { return len(a.targets["a"].records()) == 20 })
	name, sql := "renamed", `SELECT i, 1 AS one FROM /+/+/upload`
	if _, err := a.rules.Update(t.Context(), rule.ID, Change{Name: &name}); err != nil {
		t.Fatal(err)
	}
	got, err := b.rules.Update(t.Context(), rule.ID, Change{SQL: &sql})
	if err != nil || got.Name != name || got.Revision != 3 {
		t.Errorf("after changes on both nodes: %+v, %v", got, err)
	}
	if list := a.rules.List(t.Context(), "", 0, 0); len(list) != 1 || list[0].SQL != sql {
		t.Errorf("the other lists %+v", list)
	}
	if err := a.rules.Delete(t.Context(), rule.ID); err != nil {
		t.Fatal(err)
	}
	b.eventually("it is gone everywhere", func() bool { return b.rules.set.Load().rule(rule.ID) == nil })
	if err := b.rules.Delete(t.Context(), rule.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("Delete again: %v", err)
	}
}

// atomicGate holds up who comes until it is opened.
type atomicGate struct {
	waiting atomic.Int64
	once    sync.Once
	c       chan struct{}
	opened  sync.Once
}

func (g *atomicGate) init() { g.once.Do(func() { g.c = make(chan struct{}) }) }

func (g *atomicGate) wait() {
	g.init()
	g.waiting.Add(1)
	<-g.c
}

func (g *atomicGate) open() {
	g.init()
	g.opened.Do(func() { close(g.c) })
}
