package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Shards is the number of shards of the outbox; a device's records are in shard device mod Shards.
const Shards = 16

func shardOf(device int64) int { return int(uint64(device) % Shards) }

// OutRow is what one group commit put into one shard. Its records must not be changed: consumers share them.
type OutRow struct {
	Seq     int64 // rises within the shard
	Records [][]byte
}

// Outbox is the durable hand-over from the message path to the sinks. The path writes it through Unit.Out; a consumer
// reads a shard in order, remembers how far it got with SaveCursor, and rows that every registered consumer has passed are
// deleted by Trim. What is read but not yet saved is read again after a restart: at least once.
//
// Fresh rows are kept in memory (Config.OutboxMemory), so that a consumer that keeps up does not read the database.
type Outbox struct {
	db *DB

	mu   sync.Mutex
	tail tail                  // guarded by mu
	wake [Shards]chan struct{} // guarded by mu: closed when the shard gets a row, nil until somebody waits
	news chan struct{}         // guarded by mu: the same for all shards together
	// ended is when the database last had nothing beyond tail.last, guarded by mu.
	ended [Shards]time.Time
}

// otherNodes is how long a shard that was found to be at its end is taken to be there still, unless this process adds a
// row: where nodes share a database, each consumer would otherwise ask it after every row that it was woken for.
const otherNodes = 500 * time.Millisecond

func newOutbox(ctx context.Context, db *DB, memory int) (*Outbox, error) {
	heads, err := db.engine.heads(ctx)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return &Outbox{db: db, tail: tail{max: memory, last: heads, gapless: db.engine.dialect() == Postgres}}, nil
}

// publish takes the rows of a commit into memory and wakes their consumers. The blobs become the outbox's.
func (o *Outbox) publish(seqs [Shards]int64, blobs [Shards][]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s, seq := range seqs {
		if seq == 0 {
			continue
		}
		o.tail.add(s, seq, blobs[s])
		call(&o.wake[s])
		call(&o.news)
	}
}

// call wakes those who wait on a channel.
func call(wake *chan struct{}) {
	if *wake != nil {
		close(*wake)
		*wake = nil
	}
}

// callMe returns the channel that call will close.
func callMe(wake *chan struct{}) <-chan struct{} {
	if *wake == nil {
		*wake = make(chan struct{})
	}
	return *wake
}

// Wait returns a channel that is closed when the shard gets its next row from this process. Take it before Read, so that no
// row falls between. Where several nodes share a database, also read now and then: other nodes' rows do not wake.
func (o *Outbox) Wait(shard int) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return callMe(&o.wake[shard])
}

// News is Wait for all shards at once, and Heads tells which have got a row: for a consumer that reads them all.
func (o *Outbox) News() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return callMe(&o.news)
}

// Heads returns for each shard the newest seq that this process knows of; it changes whenever the shard gets a row here.
func (o *Outbox) Heads() [Shards]int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tail.last
}

// Read returns up to limit rows of the shard with a seq above afterSeq, in order; none when the consumer has seen all.
func (o *Outbox) Read(ctx context.Context, shard int, afterSeq int64, limit int) ([]OutRow, error) {
	if shard < 0 || shard >= Shards || limit <= 0 {
		return nil, fmt.Errorf("read outbox: shard %d, limit %d: out of range", shard, limit)
	}
	o.mu.Lock()
	blobs, ok := o.tail.read(shard, afterSeq, limit)
	if !ok && afterSeq >= o.tail.last[shard] && time.Since(o.ended[shard]) < otherNodes {
		ok = true
	}
	o.mu.Unlock()
	if !ok {
		var err error
		if blobs, err = o.load(ctx, shard, afterSeq, limit); err != nil {
			return nil, fmt.Errorf("read outbox shard %d: %w", shard, err)
		}
	}
	rows := make([]OutRow, len(blobs))
	for i, b := range blobs {
		records, err := parseFrame(b.blob)
		if err != nil {
			return nil, fmt.Errorf("outbox shard %d seq %d: %w: %w", shard, b.seq, ErrCorrupt, err)
		}
		rows[i] = OutRow{Seq: b.seq, Records: records}
	}
	return rows, nil
}

func (o *Outbox) load(ctx context.Context, shard int, afterSeq int64, limit int) ([]outBlob, error) {
	o.db.metrics.tailMiss.Inc()
	rows, err := o.db.Query(ctx, `SELECT seq, blob FROM outbox WHERE shard = ? AND seq > ? ORDER BY seq LIMIT ?`, shard, afterSeq, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	var blobs []outBlob
	for rows.Next() {
		var b outBlob
		if err := rows.Scan(&b.seq, &b.blob); err != nil {
			return nil, err
		}
		blobs = append(blobs, b)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	o.loaded(shard, blobs)
	return blobs, nil
}

// loaded notes what a read of the database showed of other nodes.
func (o *Outbox) loaded(shard int, blobs []outBlob) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(blobs) == 0 {
		o.ended[shard] = time.Now()
		return
	}
	o.tail.last[shard] = max(o.tail.last[shard], blobs[len(blobs)-1].seq)
}

// Depth is about how many rows the outbox holds; on SQLite it counts those that are already trimmed between two that are
// not.
func (o *Outbox) Depth(ctx context.Context) (int64, error) {
	q := `SELECT COALESCE(MAX(seq) - MIN(seq) + 1, 0) FROM outbox`
	if o.db.Dialect() == Postgres {
		q = `SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM (SELECT MAX(seq) - MIN(seq) + 1 AS n FROM outbox GROUP BY shard) AS shards`
	}
	var n int64
	if err := o.db.QueryRow(ctx, q).Scan(&n); err != nil {
		return 0, fmt.Errorf("outbox depth: %w", err)
	}
	return n, nil
}
