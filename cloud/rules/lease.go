package rules

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// How nodes that share a store share out the shards of its outbox. A node says each beatEvery that it lives; one that has not said so for
// deadAfter, by the clock of whoever looks, is dead, and the others take its shards: within 10 s of its death. Time in which a node itself
// stood still, or the store did, is no silence of the others. A node that cannot say that it lives stops to deliver after trustFor, which is
// sooner.
const (
	beatEvery = time.Second
	deadAfter = 6 * time.Second
	trustFor  = 4 * time.Second
)

// keeper holds this node's leases on shards. All but trusted belongs to the goroutine of keep.
type keeper struct {
	rules   *Rules
	node    string
	alone   bool                 // nobody else can write to the store
	nodes   map[string]sign      // signs of life
	looked  time.Time            // when they were last looked for
	leaving [store.Shards]*yield // shards that are being given back
	wg      sync.WaitGroup

	held    atomic.Int32 // how many shards this node delivers; of any goroutine
	trusted atomic.Int64 // when the leases must no longer be relied on, as r.now().UnixNano; of any goroutine
}

// sign is the last sign of life of a node.
type sign struct {
	beat int64
	seen time.Time
}

// yield is a shard that is being given back.
type yield struct{ done atomic.Bool }

func newKeeper(r *Rules) *keeper {
	return &keeper{rules: r, node: r.Deps.Node, alone: r.Deps.Store.Dialect() == store.SQLite, nodes: make(map[string]sign)}
}

// trust waits until this node may rely on its leases.
func (k *keeper) trust(ctx context.Context) error {
	for !k.alone {
		if k.rules.now().UnixNano() < k.trusted.Load() {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		sleep(ctx, beatEvery/4)
	}
	return ctx.Err()
}

// keep takes this node's share of the shards, gives back what is more than that, and notices what it has lost, until ctx ends.
// It returns when all is given back.
func (k *keeper) keep(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		if err := k.turn(ctx); err != nil && ctx.Err() == nil {
			k.rules.Deps.Log.Warn("shares of the outbox not looked after, trying again", "err", err)
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		k.wg.Wait()
		k.leave()
		return
	}
}

func (k *keeper) turn(ctx context.Context) error {
	r := k.rules
	begun := r.now()
	if err := r.outbox.Beat(ctx, k.node); err != nil {
		return err
	}
	k.trusted.Store(begun.Add(trustFor).UnixNano())
	share, err := k.share(ctx)
	if err != nil {
		return err
	}
	leases, err := r.outbox.Leases(ctx, consumer)
	if err != nil {
		return err
	}
	held := 0
	for i, s := range r.shards {
		switch epoch := s.held(); {
		case epoch != 0 && (leases[i].Node != k.node || leases[i].Epoch != epoch):
			r.Deps.Log.Warn("another node delivers this shard of the outbox now", "shard", i, "node", leases[i].Node)
			s.end()
		case epoch != 0:
			held++
		}
	}
	for i, s := range slices.Backward(r.shards[:]) {
		if y := k.leaving[i]; y != nil && y.done.Load() {
			k.leaving[i] = nil
		}
		if held > share && s.held() != 0 {
			held--
			k.giveBack(ctx, i)
		}
	}
	return k.claim(ctx, leases, share-held)
}

// share looks which nodes live and returns how many shards are this one's.
func (k *keeper) share(ctx context.Context) (int, error) {
	if k.alone {
		return store.Shards, nil
	}
	beats, err := k.rules.outbox.Beats(ctx)
	if err != nil {
		return 0, err
	}
	now := k.rules.now()
	k.excuse(now)
	live := []string{k.node}
	for node, beat := range beats {
		if node == k.node {
			continue
		}
		if s, known := k.nodes[node]; !known || s.beat != beat {
			k.nodes[node] = sign{beat, now}
		}
		if k.lives(node, now) {
			live = append(live, node)
			continue
		}
		if err := k.rules.outbox.Leave(ctx, node, beat); err != nil {
			return 0, err
		}
	}
	for node := range k.nodes {
		if _, ok := beats[node]; !ok {
			delete(k.nodes, node)
		}
	}
	slices.Sort(live)
	share := store.Shards / len(live)
	if slices.Index(live, k.node) < store.Shards%len(live) {
		share++
	}
	return share, nil
}

// excuse takes the time in which this node should have looked and did not for no silence of the others: they may not have been able to say
// anything either, and had no chance to be heard.
func (k *keeper) excuse(now time.Time) {
	if missed := now.Sub(k.looked) - 2*beatEvery; missed > 0 && !k.looked.IsZero() {
		for node, s := range k.nodes {
			k.nodes[node] = sign{s.beat, s.seen.Add(missed)}
		}
	}
	k.looked = now
}

// lives tells whether another node has given a sign of life lately.
func (k *keeper) lives(node string, now time.Time) bool {
	s, ok := k.nodes[node]
	return ok && now.Sub(s.seen) < deadAfter
}

// claim takes up to most shards that nobody holds who lives. A lease of this node's own name is that of a process before this one.
func (k *keeper) claim(ctx context.Context, leases [store.Shards]store.Lease, most int) error {
	r := k.rules
	now := r.now()
	for i, s := range r.shards {
		l := leases[i]
		if s.held() != 0 || k.leaving[i] != nil || !k.alone && l.Node != k.node && k.lives(l.Node, now) {
			continue
		}
		if most <= 0 {
			if err := k.disown(ctx, i, l); err != nil {
				return err
			}
			continue
		}
		lease, err := r.outbox.Claim(ctx, consumer, i, k.node, l)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		most--
		if err := s.begin(ctx, lease.Epoch); err != nil {
			return err
		}
	}
	return nil
}

// disown gives back a lease that a process of this node's name before this one held, and that is more than this one's share: the others
// take this node's for being in use, as it lives.
func (k *keeper) disown(ctx context.Context, shard int, l store.Lease) error {
	if l.Node != k.node {
		return nil
	}
	if err := k.rules.outbox.Yield(ctx, consumer, shard, l); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil
}

// giveBack ends the delivery of a shard and lets another node have it.
func (k *keeper) giveBack(ctx context.Context, shard int) {
	if k.leaving[shard] != nil {
		return
	}
	y := &yield{}
	k.leaving[shard] = y
	k.wg.Go(func() {
		k.rules.shards[shard].yield(context.WithoutCancel(ctx))
		y.done.Store(true)
	})
}

// leave gives back all that this node holds; the context of the deliveries has ended.
func (k *keeper) leave() {
	for _, s := range k.rules.shards {
		k.wg.Go(func() { s.yield(context.Background()) })
	}
	k.wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := k.rules.outbox.Leave(ctx, k.node, 0); err != nil {
		k.rules.Deps.Log.Warn("other nodes are not told that this one delivers no longer, they see it in some seconds", "err", err)
	}
}
