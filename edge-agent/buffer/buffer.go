// Package buffer is the agent's durable queue: a message is in it before its
// sender gets an acknowledgement, and leaves it when the hub has acknowledged.
//
// A Buffer is a folder of streams that share one budget of bytes. A Stream is a
// log of preallocated segments which are used again when the hub has all of one;
// docs/formats/segment.md draws the bytes.
//
// It promises: Append's done runs with nil only after the record is on the disk
// (one fdatasync serves all records of a commit), but for streams with durability RAM; records come back in the order
// of Append, also after a power cut; a sequence number is never used twice in an
// epoch of a stream for records that a reader has seen; the files stay within
// Config.MaxBytes. What must be dropped for that, what became too old and what the
// disk has lost becomes a Gap, which lasts until it is reported. Damage costs the
// records that it hits and no others. What was acknowledged in the last seconds
// before a crash may be handed out again: the hub gets a message at least once.
//
// It leaves to uplink when to send and what to do with refusals.
package buffer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config says where the buffer is, how large it may become and what is in it.
type Config struct {
	// Dir is the folder. It is created; its parent must exist.
	Dir string
	// MaxBytes bounds the files of all streams together, those of free segments included.
	MaxBytes int64
	// SegmentBytes is the size of a segment; 0 is a 64th of MaxBytes within 256 KiB to 1 MiB, at most so much that each stream can have two.
	// A record that is larger gets a segment of its own.
	SegmentBytes int64
	// AckedRetain is how long segments are kept that the hub has all of, as long as nobody needs their room.
	AckedRetain time.Duration
	// Legacy is the bbolt file of an agent before segments; what it holds goes into the first stream, once.
	Legacy string
	// Streams are those that take records; none is one with the defaults, named DefaultStream. One that is in the folder and not here is there until all of it is
	// settled, with the lowest priority.
	Streams []StreamConfig
}

// MinSegments is into how many segments the smallest quota is divided at the least.
const MinSegments = 4

// DefaultStream is the stream of a Config that names none.
const DefaultStream = "messages"

// DefaultConfig returns the values for all fields but Dir.
func DefaultConfig() Config { return Config{MaxBytes: 64 << 20, AckedRetain: time.Hour} }

// Errors of Open.
var (
	// ErrInUse: another process has the folder open; stop it or choose another folder.
	ErrInUse = errors.New("buffer: the folder is in use by another process")
	// ErrNewerFormat: the files were written by a newer agent; use that one.
	ErrNewerFormat = errors.New("buffer: the files have a newer format than this agent knows")
)

// Errors of Append.
var (
	// ErrClosed: Run has ended or ends.
	ErrClosed = errors.New("buffer: closed")
	// ErrTooLarge: the record can't fit, whatever is dropped for it.
	ErrTooLarge = errors.New("buffer: the record is larger than the buffer")
	// ErrUnavailable: the disk refused (full, failing, read-only). Nothing was stored; try later.
	ErrUnavailable = errors.New("buffer: can't write")
	// ErrFull: the budget is used up, and the stream drops nothing for new records. Try later.
	ErrFull = errors.New("buffer: full")
)

// Buffer is an open folder. Its streams take records while Run runs.
type Buffer struct {
	cfg  Config
	log  *slog.Logger
	disk disk
	lock io.Closer
	now  func() time.Time // wall clock; the age of records is measured with the monotonic one where that is possible

	// mu guards the fields below and what streams say it guards.
	mu      sync.Mutex
	streams []*Stream // those with the lowest priority first
	used    int64     // bytes of all segments
	limit   int64     // of used; what MaxBytes has more is room for thinning
	closed  bool
}

// Open opens or creates the folder and brings it in order after a crash.
func Open(cfg Config, log *slog.Logger) (*Buffer, error) { return openOn(osDisk{}, cfg, log, time.Now) }

func openOn(d disk, cfg Config, log *slog.Logger, now func() time.Time) (*Buffer, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	if err := d.MkdirAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("buffer: folder: %w", err)
	}
	lock, err := d.Lock(cfg.Dir)
	if err != nil {
		return nil, err
	}
	b := &Buffer{cfg: cfg, log: log, disk: d, lock: lock, now: now, limit: cfg.MaxBytes}
	if slices.ContainsFunc(cfg.Streams, func(s StreamConfig) bool { return s.WhenFull == ThinOut }) {
		b.limit -= cfg.SegmentBytes
	}
	for _, sc := range cfg.Streams {
		s, err := openStream(b, sc)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("buffer: stream %s: %w", sc.Name, err), b.Close())
		}
		b.streams = append(b.streams, s)
	}
	first := b.streams[0]
	if err := b.openRetired(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	slices.SortStableFunc(b.streams, func(x, y *Stream) int { return x.cfg.Priority - y.cfg.Priority })
	if err := drainLegacy(cfg.Legacy, first); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// openRetired opens the streams of earlier configurations that still have something, and removes the others.
func (b *Buffer) openRetired() error {
	names, err := b.disk.Dirs(b.cfg.Dir)
	if err != nil {
		return fmt.Errorf("buffer: folder: %w", err)
	}
	for _, name := range names {
		if !ValidName(name) || b.Stream(name) != nil {
			continue
		}
		sc := StreamConfig{Name: name}
		if err := sc.fill(); err != nil {
			return err
		}
		s, err := openStream(b, sc)
		if err != nil {
			return fmt.Errorf("buffer: stream %s: %w", name, err)
		}
		if len(s.gaps) > 0 || slices.ContainsFunc(s.segs, func(g *segment) bool { return g.live > 0 }) {
			b.log.Info("a stream is not in the configuration any more; what waits in it is sent", "stream", name)
			b.streams = append(b.streams, s)
			continue
		}
		s.removeAll()
	}
	return nil
}

// removeAll ends a stream that nobody needs any more. What the disk does not give up is tried again at the next start.
func (s *Stream) removeAll() {
	_ = s.closeLocked() // nobody else knows s
	s.b.used -= s.used
	names, _ := s.b.disk.Names(s.path(""))
	for _, n := range names {
		if n != cursorName {
			_ = s.b.disk.Remove(s.path(n))
		}
	}
	_ = s.b.disk.SyncDir(s.path(""))
	_ = s.b.disk.Remove(s.path(cursorName)) // the last: without it segments would be sent again
	if err := s.b.disk.Remove(s.path("")); err != nil {
		s.log.Warn("a stream that is not needed any more can't be removed", "err", err)
	}
}

func (c *Config) fill() error {
	def := DefaultConfig()
	if c.Dir == "" {
		return errors.New("buffer: the folder is missing")
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = def.MaxBytes
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = min(max(c.MaxBytes/64, 256<<10), 1<<20)
	}
	if len(c.Streams) == 0 {
		c.Streams = []StreamConfig{{Name: DefaultStream}}
	}
	c.SegmentBytes = min(c.SegmentBytes, c.MaxBytes/int64(2+2*len(c.Streams)))
	c.Streams = slices.Clone(c.Streams)
	for _, s := range c.Streams {
		if s.MaxBytes > 0 {
			c.SegmentBytes = min(c.SegmentBytes, s.MaxBytes/MinSegments)
		}
	}
	c.SegmentBytes = max(c.SegmentBytes, segmentHeader+recordHeader)
	seen := make(map[string]bool)
	for i := range c.Streams {
		s := &c.Streams[i]
		if err := s.fill(); err != nil {
			return err
		}
		if seen[s.Name] {
			return fmt.Errorf("buffer: stream %s is there twice", s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}

// Stream returns the stream of that name, nil when the Config has none.
func (b *Buffer) Stream(name string) *Stream {
	for _, s := range b.streams {
		if s.cfg.Name == name {
			return s
		}
	}
	return nil
}

// Streams are all there are, those with the lowest priority first.
func (b *Buffer) Streams() []*Stream { return slices.Clone(b.streams) }

// Run commits what Append hands over until ctx ends; then it commits the rest
// and returns nil.
func (b *Buffer) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, s := range b.streams {
		g.Go(func() error { s.run(ctx); return nil })
	}
	return g.Wait()
}

// Close writes the cursors and closes the files; call it after Run has ended.
func (b *Buffer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	var errs []error
	for _, s := range b.streams {
		errs = append(errs, s.closeLocked())
	}
	return errors.Join(append(errs, b.lock.Close())...)
}

func (b *Buffer) path(stream, file string) string { return filepath.Join(b.cfg.Dir, stream, file) }
