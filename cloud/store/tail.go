package store

import (
	"cmp"
	"slices"
)

// tailRowCost is what a row costs in memory beside its blob.
const tailRowCost = 64

// tail is the end of the outbox in memory: per shard the newest rows, bounded by their bytes over all shards. It serves a
// read only when it knows that no row lies between the reader's position and the first row that it holds.
type tail struct {
	max     int
	gapless bool // seq rises by one within a shard (PostgreSQL); otherwise last tells which row came before
	size    int
	last    [Shards]int64     // the newest seq of the shard that this process knows of
	rows    [Shards][]tailRow // in order
	order   []int             // shards of rows in the order in which they were added, for eviction
}

type outBlob struct {
	seq  int64
	blob []byte
}

type tailRow struct {
	outBlob
	prev int64 // no row of the shard lies between prev and seq
}

func (t *tail) add(shard int, seq int64, blob []byte) {
	prev := t.last[shard]
	if t.gapless {
		prev = seq - 1
	}
	t.last[shard] = max(t.last[shard], seq)
	at := len(t.rows[shard])
	for at > 0 && t.rows[shard][at-1].seq > seq { // PostgreSQL: of two commits the later one was quicker to say so
		at--
	}
	t.rows[shard] = slices.Insert(t.rows[shard], at, tailRow{outBlob{seq, blob}, prev})
	t.order = append(t.order, shard)
	t.size += len(blob) + tailRowCost
	for t.size > t.max && len(t.order) > 0 {
		t.evict()
	}
}

// evict drops the oldest row.
func (t *tail) evict() {
	s := t.order[0]
	t.order = t.order[1:]
	t.size -= len(t.rows[s][0].blob) + tailRowCost
	t.rows[s][0] = tailRow{}
	t.rows[s] = t.rows[s][1:]
}

// read returns up to limit rows above after; false when they must be read from the database.
func (t *tail) read(shard int, after int64, limit int) ([]outBlob, bool) {
	if !t.gapless && after >= t.last[shard] {
		return nil, true
	}
	rows := t.rows[shard]
	first, _ := slices.BinarySearchFunc(rows, after+1, func(r tailRow, seq int64) int { return cmp.Compare(r.seq, seq) })
	if first == len(rows) || rows[first].prev > after {
		return nil, false
	}
	var out []outBlob
	for i := first; i < len(rows) && len(out) < limit; i++ {
		if i > first && rows[i].prev > rows[i-1].seq {
			break
		}
		out = append(out, rows[i].outBlob)
	}
	return out, true
}
