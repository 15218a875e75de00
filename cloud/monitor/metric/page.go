package metric

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// page is a row that is being written.
type page struct {
	*chunk
	dirty bool
}

func (p *page) addPoint(slot int, v *point) {
	p.dirty = true
	p.mark(slot)
	for n := range names {
		if !n.Info().Gauge || v.set&(1<<n) != 0 {
			p.add(slot, n, v.n[n])
		}
	}
}

type pageKey struct {
	scope string
	start int64
}

// pages are the rows of the present hour, and what could not be written of those before.
type pages map[pageKey]*page

func (ps pages) page(scope string, start int64) *page {
	k := pageKey{scope, start}
	p := ps[k]
	if p == nil {
		p = &page{chunk: newChunk(60)}
		ps[k] = p
	}
	return p
}

// maxLate bounds the rows that wait for a store that does not take them.
const maxLate = 200_000

// forget lets go of what is written of earlier hours than start, and of all earlier ones when they are too many.
func (ps pages) forget(start int64) {
	late := len(ps) > maxLate
	for k, p := range ps {
		if k.start != start && (late || !p.dirty) {
			delete(ps, k)
		}
	}
}

// readPages reads the rows of an hour that node writes.
func (h *History) readPages(ctx context.Context, start int64, node string) (_ pages, err error) {
	rows, err := h.Store.Query(ctx, `SELECT scope, data FROM metric_chunk WHERE step = 60 AND start = ? AND node = ?`, start, node)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	ps := make(pages)
	for rows.Next() {
		var scope string
		var data []byte
		if err := rows.Scan(&scope, &data); err != nil {
			return nil, err
		}
		c, err := decodeChunk(data)
		if err != nil || c.slots != 60 {
			h.Log.Warn("row of the metrics cannot be read, it is begun anew", "scope", scope, "start", start, "node", node)
			continue
		}
		ps[pageKey{scope, start}] = &page{chunk: c}
	}
	return ps, nil
}

var writePage = store.NewStmt(`INSERT INTO metric_chunk (scope, step, start, node, data) VALUES (?, 60, ?, ?, ?)
	ON CONFLICT (scope, step, start, node) DO UPDATE SET data = excluded.data`)

// HourOp writes an hour of a scope as node would have counted it, minute by minute: for those who bring figures with them.
func HourOp(scope string, hour time.Time, node string, minute func(slot int) map[Name]int64) store.Op {
	c := newChunk(60)
	for slot := range 60 {
		for name, v := range minute(slot) {
			c.add(slot, name, v)
		}
	}
	return store.Op{Stmt: writePage, Want: -1, Args: []any{scope, hour.Unix(), node, c.encode()}}
}

// pagesAtOnce is how many rows go into one unit.
const pagesAtOnce = 200

// savePages writes the rows that have changed.
func (h *History) savePages(ctx context.Context, ps pages, node string) error {
	var keys []pageKey
	for k, p := range ps {
		if p.dirty {
			keys = append(keys, k)
		}
	}
	for part := range slices.Chunk(keys, pagesAtOnce) {
		u := &store.Unit{}
		for _, k := range part {
			u.Ops = append(u.Ops, store.Op{Stmt: writePage, Want: -1, Args: []any{k.scope, k.start, node, ps[k].encode()}})
		}
		if err := h.Store.Do(ctx, u); err != nil {
			return fmt.Errorf("metric: write points: %w", err)
		}
		for _, k := range part {
			ps[k].dirty = false
		}
	}
	return nil
}
