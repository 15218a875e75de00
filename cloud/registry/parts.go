package registry

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// A count over long ways is made in parts of the range of ids, as many at once as the hub has processors: each device is in one of them,
// whatever changes meanwhile. Ids are moments of creation and come in heaps, so that where to cut is looked up in the fleet.

const (
	countParts = 8      // into which a long count is cut
	partsMin   = 20_000 // devices on a way that is worth it
	cutMin     = 50_000 // devices of a hub that has such ways
	cutEvery   = 10 * time.Minute
)

// cuts are where the range of ids is cut into parts of about the same number of devices.
type cuts struct {
	ids   []int64 // ascending
	total int     // devices when it was done
}

// recut looks up where to cut, when there are many devices and by an eighth more or fewer than the last time.
func (r *Registry) recut(ctx context.Context) error {
	total, err := number(ctx, r.db)
	if err != nil {
		return err
	}
	last := r.cuts.Load()
	if total < r.cutMin || last != nil && total < last.total*9/8 && total > last.total*7/8 {
		return nil
	}
	next, from := &cuts{total: total}, everything.from
	for range countParts - 1 {
		rows, err := r.db.Query(ctx, `SELECT id FROM device WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?`, from, total/countParts-1)
		if err != nil {
			return err
		}
		at, err := collect(rows, func(row scanner) (id int64, err error) { return id, row.Scan(&id) })
		if err != nil {
			return err
		}
		if len(at) == 0 { // devices have been deleted meanwhile
			break
		}
		from = at[0]
		next.ids = append(next.ids, from)
	}
	r.cuts.Store(next)
	return nil
}

// inParts adds up what the statements of build count, one for each part of within, when a way of that size is worth it.
func (s search) inParts(ctx context.Context, size int, within span, build func(span) *text) (Count, error) {
	if s.cuts == nil || size < s.partsMin {
		return s.counts(ctx, build(within))
	}
	var parts []span
	for i, from := 0, everything.from; i <= len(s.cuts.ids); i++ {
		to := everything.to
		if i < len(s.cuts.ids) {
			to = s.cuts.ids[i]
		}
		if p := within.and(span{from, to}); p.from < p.to {
			parts = append(parts, p)
		}
		from = to
	}
	found := make([]Count, len(parts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range parts {
		g.Go(func() (err error) {
			found[i], err = s.counts(ctx, build(p))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Count{}, fmt.Errorf("in parts: %w", err)
	}
	var sum Count
	for _, n := range found {
		sum.add(n)
	}
	return sum, nil
}

func (n *Count) add(o Count) {
	for s := range n.States {
		n.States[s] += o.States[s]
	}
	n.Total += o.Total
}
