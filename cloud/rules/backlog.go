package rules

import (
	"context"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/store"
)

// backlog is what lies between the place of the lane that is furthest behind and that of the shard.
type backlog struct {
	waiting []waiting // of each lane that is behind
	bytes   int64     // all records
	marks   []mark
}

// readBacklog counts what waits for the lanes that are behind, up to the row limit, so that the books have it.
func (r *Rules) readBacklog(ctx context.Context, shard int, cursors []storedCursor, limit int64) (backlog, error) {
	log := backlog{waiting: make([]waiting, len(cursors))}
	seq := limit
	index := make(map[int64]int, len(cursors))
	for i, c := range cursors {
		index[c.action] = i
		seq = min(seq, c.at.Seq)
	}
	for seq < limit {
		rows, err := r.outbox.Read(ctx, shard, seq, readRows)
		if err != nil {
			return log, fmt.Errorf("rules: count what waits: %w", err)
		}
		if len(rows) == 0 {
			return log, nil
		}
		for i := range rows {
			if rows[i].Seq > limit {
				return log, nil
			}
			log.count(&rows[i], seq, cursors, index)
			seq = rows[i].Seq
		}
	}
	return log, nil
}

// count counts one row, which comes after the row before.
func (l *backlog) count(row *store.OutRow, before int64, cursors []storedCursor, index map[int64]int) {
	for i, raw := range row.Records {
		l.bytes += int64(len(raw))
		id, ok := actionOf(raw)
		n, behind := index[id]
		if !ok || !behind {
			continue
		}
		if at := cursors[n].at; before > at.Seq || before == at.Seq && int64(i) >= at.Idx {
			l.waiting[n].n++
			l.waiting[n].bytes += int64(len(raw))
		}
	}
	if n := len(l.marks); n == 0 || l.bytes-l.marks[n-1].bytes >= markEvery {
		l.marks = append(l.marks, mark{row.Seq, l.bytes})
	}
}

// knownCursors returns the places of the lanes that are behind in a shard. Those of actions that are gone are removed.
func (r *Rules) knownCursors(ctx context.Context, shard int) ([]storedCursor, error) {
	all, err := r.laneCursors(ctx)
	if err != nil {
		return nil, err
	}
	var list []storedCursor
	unknown := false
	for _, c := range all {
		if c.shard == shard {
			list = append(list, c)
			unknown = unknown || r.set.Load().action(c.action) == nil
		}
	}
	if !unknown {
		return list, nil
	}
	if err := r.Refresh(ctx); err != nil { // another node may have made the rule
		return nil, err
	}
	kept := list[:0]
	for _, c := range list {
		if r.set.Load().action(c.action) != nil {
			kept = append(kept, c)
			continue
		}
		if err := r.outbox.Forget(ctx, laneConsumer(c.action, c.shard)); err != nil {
			return nil, err
		}
	}
	return kept, nil
}
