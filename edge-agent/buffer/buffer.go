// Package buffer is the agent's durable queue: a message is in it before its
// sender gets an acknowledgement, and leaves it when the hub has acknowledged.
//
// It promises: Append's done runs with nil only after the record is on the disk
// (one fsync serves all records of a group commit); records come back in the
// order of Append, also after kill -9; a sequence number is never used twice in
// one file; the file holds at most Config.MaxBytes of records, the oldest are
// dropped for new ones, counted and logged. It may hand out again what was
// removed in the last second before a crash: the hub gets a message at least
// once.
//
// It leaves to uplink when to send and what to do with refusals.
//
// The file is a bbolt database with one bucket, "records"; FORMAT.md draws it.
package buffer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Config says where the buffer is and how large it may become.
type Config struct {
	// Path is the file. Its folder must exist.
	Path string
	// MaxBytes bounds the records; the file itself may be about twice as large.
	MaxBytes int64
	// CommitEvery is how long a commit waits for company; CommitMax ends the wait.
	CommitEvery time.Duration
	CommitMax   int
	// Queue is how many records may wait for the commit; when it is full Append
	// blocks, and with it the sub-device that sends.
	Queue int
}

// DefaultConfig returns the values for all fields but Path.
func DefaultConfig() Config {
	return Config{MaxBytes: 64 << 20, CommitEvery: 5 * time.Millisecond, CommitMax: 512, Queue: 1024}
}

// Errors of Open.
var (
	// ErrInUse: another process has the file open; stop it or choose another folder.
	ErrInUse = errors.New("buffer: the file is in use by another process")
	// ErrNewerFormat: the file was written by a newer agent; use that one.
	ErrNewerFormat = errors.New("buffer: the file has a newer format than this agent knows")
)

// Errors of Append.
var (
	// ErrClosed: Run has ended or ends.
	ErrClosed = errors.New("buffer: closed")
	// ErrTooLarge: the record can't fit, whatever is dropped for it.
	ErrTooLarge = errors.New("buffer: the record is larger than the buffer")
	// ErrUnavailable: the disk refused (full, failing). Nothing was stored; try later.
	ErrUnavailable = errors.New("buffer: can't write")
)

// Stats describe the buffer.
type Stats struct {
	Records  int64 // held now
	Bytes    int64 // held now
	Appended int64 // made durable since Open
	Removed  int64 // removed since Open
	Dropped  int64 // dropped for space since Open
	Commits  int64 // commits since Open
	Failed   int64 // records refused because the disk failed, since Open
}

// Buffer is an open file. Append works while Run runs.
type Buffer struct {
	cfg Config
	log *slog.Logger
	db  *bbolt.DB

	queue   chan entry
	closing chan struct{}
	senders sync.RWMutex // held for reading while a sender may put into queue

	// mu guards the fields below.
	mu      sync.Mutex
	gone    map[uint64]struct{} // removed, but not yet in the file
	changed chan struct{}       // closed and replaced when records were added

	records, bytes, appended, removed, dropped, commits, failed atomic.Int64

	droppedLogged time.Time // when the last drop was logged; Run's goroutine only
	droppedSince  int64
}

type entry struct {
	rec  Record
	done func(error)
}

// Open opens or creates the file. A file that is damaged beyond reading is set
// aside under a new name, reported in the log, and replaced by an empty one.
func Open(cfg Config, log *slog.Logger) (*Buffer, error) {
	def := DefaultConfig()
	if cfg.Path == "" {
		return nil, errors.New("buffer: the path is missing")
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = def.MaxBytes
	}
	if cfg.CommitEvery == 0 {
		cfg.CommitEvery = def.CommitEvery
	}
	if cfg.CommitMax == 0 {
		cfg.CommitMax = def.CommitMax
	}
	if cfg.Queue == 0 {
		cfg.Queue = def.Queue
	}
	db, held, err := openFile(cfg.Path, log)
	if err != nil {
		return nil, err
	}
	b := &Buffer{
		cfg: cfg, log: log, db: db,
		queue:   make(chan entry, cfg.Queue),
		closing: make(chan struct{}),
		gone:    make(map[uint64]struct{}),
		changed: make(chan struct{}),
	}
	b.records.Store(held.records)
	b.bytes.Store(held.bytes)
	return b, nil
}

// Append takes a record; Seq is ignored and given by the buffer. done runs once,
// on the committer's goroutine, and must not block: with nil when the record is
// durable, else with ErrClosed, ErrTooLarge or ErrUnavailable. Records of one
// caller keep their order. Topic and Payload must not change until done.
func (b *Buffer) Append(r Record, done func(error)) {
	if err := r.check(); err != nil {
		done(err)
		return
	}
	if r.size() > b.cfg.MaxBytes {
		done(fmt.Errorf("%w: %d bytes", ErrTooLarge, r.size()))
		return
	}
	b.senders.RLock()
	defer b.senders.RUnlock()
	select {
	case <-b.closing:
		done(ErrClosed)
		return
	default:
	}
	select {
	case b.queue <- entry{r, done}:
	case <-b.closing:
		done(ErrClosed)
	}
}

// Read returns up to limit records with a sequence number above after, oldest
// first, without removing them.
func (b *Buffer) Read(after uint64, limit int) ([]Record, error) {
	var recs []Record
	err := b.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketRecords).Cursor()
		for k, v := c.Seek(key(after + 1)); k != nil && len(recs) < limit; k, v = c.Next() {
			seq := sequence(k)
			if b.isGone(seq) {
				continue
			}
			r, err := decode(seq, v)
			if err != nil {
				// One bad record must not hide those behind it.
				b.log.Error("a buffered record is damaged and skipped", "seq", seq, "err", err)
				b.Remove(seq)
				continue
			}
			recs = append(recs, r)
		}
		return nil
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return nil, ErrClosed
	}
	return recs, err
}

// Remove forgets records, at once for Read and within a second in the file.
func (b *Buffer) Remove(seqs ...uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range seqs {
		b.gone[s] = struct{}{}
	}
}

// Changed returns a channel that is closed when records are added after the
// call. Take it before Read, so that nothing slips between.
func (b *Buffer) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Stats returns the counters.
func (b *Buffer) Stats() Stats {
	return Stats{
		Records: b.records.Load(), Bytes: b.bytes.Load(), Appended: b.appended.Load(), Removed: b.removed.Load(),
		Dropped: b.dropped.Load(), Commits: b.commits.Load(), Failed: b.failed.Load(),
	}
}

// Close closes the file; call it after Run has ended.
func (b *Buffer) Close() error { return b.db.Close() }

func (b *Buffer) isGone(seq uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.gone[seq]
	return ok
}

// Run commits what Append hands over until ctx ends; then it commits the rest
// and returns nil.
func (b *Buffer) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case e := <-b.queue:
			b.commit(b.gather(ctx, e))
		case <-tick.C:
			if b.anyGone() {
				b.commit(nil)
			}
		case <-ctx.Done():
			b.finish()
			return nil
		}
	}
}

// gather collects what a commit takes along, beginning with e.
func (b *Buffer) gather(ctx context.Context, e entry) []entry {
	batch := append(make([]entry, 0, 32), e)
	wait := time.NewTimer(b.cfg.CommitEvery)
	defer wait.Stop()
	for len(batch) < b.cfg.CommitMax {
		select {
		case e := <-b.queue:
			batch = append(batch, e)
		case <-wait.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// finish refuses new records and commits those already taken.
func (b *Buffer) finish() {
	close(b.closing)
	b.senders.Lock() // every sender is out; the queue can't grow any more
	defer b.senders.Unlock()
	var batch []entry
	for len(b.queue) > 0 {
		batch = append(batch, <-b.queue)
	}
	if len(batch) > 0 || b.anyGone() {
		b.commit(batch)
	}
}

func (b *Buffer) anyGone() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.gone) > 0
}
