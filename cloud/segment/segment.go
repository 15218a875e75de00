// Package segment keeps records of bytes by time: an append-only log of compressed segment files, for what is written
// often, read seldom and thrown away by age (the message log, the history of properties).
//
// A record has a time, up to MaxKeys keys (64-bit numbers: a hash of a device's id, a message id) and its data. Scan
// returns records in the order of their times, forward or backward, of one key or of all. Blocks of about BlockBytes
// carry their time range and a small filter of their keys, so that a query of one device and one hour touches few of
// them. DESIGN.md draws the format.
//
// It promises:
//   - Append never waits: it copies the record into a bounded queue, and drops and counts it when that is full.
//   - One goroutine (Run) writes. What is written is a block at least each FlushEvery; a crash loses what is younger, and
//     a loss of power what the kernel still had to write. No fsync is waited for before a segment is sealed.
//   - A disk that is full, or fails, drops and counts what cannot be written; the log goes on with the next block.
//   - Each block and index has a checksum. A torn tail is cut when the log is opened, a damaged block is left out by Scan;
//     both are told as a *CorruptionError.
//   - Readers run beside the writer and beside pruning, and see what has been appended within milliseconds (see Sync).
//   - Whole segments are removed by age and by size, the oldest first.
//
// It leaves to others what records mean, and what other nodes hold: a log is one node's.
package segment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// MaxKeys is how many keys a record may have.
const MaxKeys = 3

// MaxRecord is the largest record in bytes.
const MaxRecord = 256 << 10

// ErrTooLarge is returned by Append for a record over MaxRecord or with more than MaxKeys keys.
var ErrTooLarge = errors.New("segment: record too large")

// ErrDropped is returned by Append when the queue is full; the record was counted and is gone.
var ErrDropped = errors.New("segment: queue full")

// Record is one record. Its bytes and keys belong to the log: they must not be changed, nor kept after fn has returned.
type Record struct {
	Time time.Time // to the microsecond
	Keys []uint64
	Data []byte
}

// Config says where a log is and how much it keeps. Zero values other than Dir take DefaultConfig's.
type Config struct {
	// Dir is the log's own folder; it is made (0700) when it is absent.
	Dir string
	// BlockBytes is the size of a block before compression. Larger ones compress better and cost more to look into.
	BlockBytes int
	// A segment is sealed, and the next begun, when it has SegmentBytes or is SegmentSpan old.
	SegmentBytes int64
	SegmentSpan  time.Duration
	// Sealed segments are removed when their youngest record is older than MaxAge, and the oldest ones while all segments
	// together have more than MaxBytes. Negative is no limit.
	MaxAge   time.Duration
	MaxBytes int64
	// QueueBytes bounds what waits for the writer.
	QueueBytes int
	// FlushEvery is how long a record may stay in memory only.
	FlushEvery time.Duration
}

// DefaultConfig keeps a week, at most 1 GiB, in dir.
func DefaultConfig(dir string) Config {
	return Config{Dir: dir, BlockBytes: 128 << 10, SegmentBytes: 32 << 20, SegmentSpan: 24 * time.Hour,
		MaxAge: 7 * 24 * time.Hour, MaxBytes: 1 << 30, QueueBytes: 4 << 20, FlushEvery: time.Second}
}

func (c Config) withDefaults() Config {
	d := DefaultConfig(c.Dir)
	c.BlockBytes = min(cmp.Or(c.BlockBytes, d.BlockBytes), maxRaw-2*MaxRecord)
	c.SegmentBytes = cmp.Or(c.SegmentBytes, d.SegmentBytes)
	c.SegmentSpan = cmp.Or(c.SegmentSpan, d.SegmentSpan)
	c.MaxAge = cmp.Or(c.MaxAge, d.MaxAge)
	c.MaxBytes = cmp.Or(c.MaxBytes, d.MaxBytes)
	c.QueueBytes = cmp.Or(c.QueueBytes, d.QueueBytes)
	c.FlushEvery = cmp.Or(c.FlushEvery, d.FlushEvery)
	if c.MaxAge > 0 {
		c.SegmentSpan = min(c.SegmentSpan, max(c.MaxAge/4, time.Minute))
	}
	if c.MaxBytes > 0 {
		c.SegmentBytes = min(c.SegmentBytes, max(c.MaxBytes/4, 1))
	}
	return c
}

// Stats are counters since Open and sizes now.
type Stats struct {
	Appended  uint64 // records that the queue took
	DroppedBy Drops
	Pruned    uint64 // segments removed by age or size
	Corrupt   uint64 // damaged places met, at open or by Scan
	RawBytes  uint64 // written, before compression
	Segments  int
	Bytes     int64 // of all segments on disk
}

// Drops are records that were lost, by cause.
type Drops struct {
	Queue uint64 // the writer did not keep up
	Disk  uint64 // they could not be written
}

// Log is one folder's log. It is safe for concurrent use.
type Log struct {
	cfg     Config
	log     *slog.Logger
	queue   *queue
	codec   *codec
	damage  []*CorruptionError // found by Open
	sync    chan chan struct{}
	dropped struct{ queue, disk atomic.Uint64 }
	corrupt atomic.Uint64
	taken   atomic.Uint64
	pruned  atomic.Uint64
	raw     atomic.Uint64

	// mu guards the fields below. The writer holds it while it changes them, never while it writes to the disk; readers
	// hold it only to copy them.
	mu     sync.Mutex
	sealed []*sealed // oldest first
	active *active   // nil until there is a record to write
	block  builder   // the block that is being filled
	next   uint64    // number of the next segment

	// The writer's own.
	packed  []byte
	healthy bool // the last write worked
}

// Open opens the log in cfg.Dir. Segments that were not sealed by a clean stop are looked through and sealed; what is torn or
// damaged there is cut off, logged, and told by Damage.
func Open(cfg Config, log *slog.Logger) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open log %s: %w", cfg.Dir, err)
	}
	l := &Log{cfg: cfg, log: log, queue: newQueue(cfg.QueueBytes), sync: make(chan chan struct{}), next: 1, healthy: true}
	var err error
	if l.codec, err = newCodec(); err != nil {
		return nil, err
	}
	l.block.reset()
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("open log %s: %w", cfg.Dir, err)
	}
	return l, nil
}

// Damage lists what Open found torn or damaged.
func (l *Log) Damage() []*CorruptionError { return l.damage }

// Append adds a record with the given time and keys. It copies data, does not wait, and allocates nothing. The order of
// appends need not be that of the times, but Scan is cheapest when it nearly is.
func (l *Log) Append(t time.Time, data []byte, keys ...uint64) error {
	if len(data) > MaxRecord || len(keys) > MaxKeys {
		return ErrTooLarge
	}
	if !l.queue.put(t.UnixMicro(), data, keys) {
		l.dropped.queue.Add(1)
		return ErrDropped
	}
	l.taken.Add(1)
	return nil
}

// Stats returns the counters.
func (l *Log) Stats() Stats {
	s := Stats{Appended: l.taken.Load(), DroppedBy: Drops{Queue: l.dropped.queue.Load(), Disk: l.dropped.disk.Load()},
		Pruned: l.pruned.Load(), Corrupt: l.corrupt.Load(), RawBytes: l.raw.Load()}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Segments = len(l.sealed)
	for _, seg := range l.sealed {
		s.Bytes += seg.size
	}
	if l.active != nil {
		s.Segments++
		s.Bytes += l.active.end
	}
	return s
}

// Sync waits until what was appended before is seen by Scan. Only a log that runs can do so.
func (l *Log) Sync(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case l.sync <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}

// Backlog is how much of the queue is in use, from 0 to 1: who writes more than the log takes may leave some out in time.
func (l *Log) Backlog() float64 { return l.queue.used() }
