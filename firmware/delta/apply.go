package delta

import (
	"context"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/firmware/frame"
	"github.com/hawser-iot/hawser/firmware/image"
)

// DefaultSyncEvery is after how many bytes the target is synced.
const DefaultSyncEvery = 4 << 20

// maxRun is how many bad chunks are fetched together.
const maxRun = 64

// Target is where the new image is written: a file, or a slot.
type Target interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Fetcher gives chunks of the new image when they can't be made. *image.Pack is one.
type Fetcher interface {
	// Cost is how many bytes fetching chunk no takes.
	Cost(no int) int64
	// Chunks calls each with the given chunks, in their order. Apply checks them itself, and passes its errors on: a Fetcher that wants to
	// try again does so.
	Chunks(ctx context.Context, numbers []int, each func(no int, b []byte) error) error
}

// Config is what Apply works with. Index and Target must be set.
type Config struct {
	Index  *image.Index
	Target Target
	Base   io.ReaderAt // the old image; nothing is made of it when it is nil
	Pack   *Pack       // the delta pack, opened with Index; when it is nil all chunks are fetched
	Fetch  Fetcher     // nil makes a chunk that can't be made an error
	Budget Budget
	// SyncEvery is after how many bytes the target is synced; 0 is DefaultSyncEvery.
	SyncEvery int64
	// Bad is told of each chunk that the delta pack did not make, before it is fetched, unless it is nil.
	Bad func(no int, err error)
	// Progress is told after each chunk how much of the image there is, unless it is nil.
	Progress func(done, total int64)
}

// Report is what Apply has done.
type Report struct {
	Made    [4]int // chunks by Kind
	Resumed int    // chunks that were there already
	Fetched int    // chunks from Fetch
	Written int64  // bytes
	Net     int64  // bytes read of the delta pack and by Fetch
}

// Apply writes the image of cfg.Index to cfg.Target, chunk by chunk and in order. It first looks how much of the image is there
// already, and goes on from the first chunk that does not match. It needs about 1 MiB beside the index and the table of the pack.
//
// Its errors are ErrSource, ErrTarget, ErrBudget, an *image.ChunkError about a chunk that can't be had, and those of Fetch and ctx. The target
// then holds what has been written, and a further call goes on there.
func Apply(ctx context.Context, cfg Config) (Report, error) {
	a := newApplier(cfg)
	var err error
	a.report.Resumed, err = cfg.Index.Verified(ctx, cfg.Target)
	if err == nil && a.report.Resumed < len(cfg.Index.Chunks) {
		err = a.run(ctx, a.report.Resumed)
	}
	a.report.Net = a.meter.used
	return a.report, err
}

type applier struct {
	cfg    Config
	meter  meter
	report Report

	payload  io.ReadCloser // the rest of the pack, from the next payload on
	packed   []byte        // a payload
	patch    []byte
	chunk    []byte
	bad      []int // chunks in a row that are to be fetched
	unsynced int64
}

func newApplier(cfg Config) *applier {
	if cfg.SyncEvery <= 0 {
		cfg.SyncEvery = DefaultSyncEvery
	}
	return &applier{cfg: cfg, meter: meter{budget: cfg.Budget}, chunk: make([]byte, image.MaxChunk)}
}

// run makes the chunks from first on.
func (a *applier) run(ctx context.Context, first int) error {
	var err error
	if a.cfg.Pack == nil {
		err = a.fetchAll(ctx, first)
	} else {
		err = a.make(ctx, first)
	}
	if a.payload != nil {
		_ = a.payload.Close() // it was only read
	}
	if err != nil {
		return err
	}
	return a.sync()
}

func (a *applier) fetchAll(ctx context.Context, first int) error {
	for no := first; no < len(a.cfg.Index.Chunks); no++ {
		if err := a.miss(ctx, no, ErrNoFetcher); err != nil {
			return err
		}
	}
	return a.fetch(ctx)
}

// make makes the chunks from first on by the ops of the pack.
func (a *applier) make(ctx context.Context, first int) error {
	if err := a.meter.take(ctx, a.cfg.Pack.payloads()); err != nil {
		return err
	}
	no := 0
	for _, o := range a.cfg.Pack.ops {
		source := o.source
		for range o.chunks {
			if no >= first {
				if err := a.one(ctx, o, source, no); err != nil {
					return err
				}
			}
			source += int64(a.cfg.Index.Chunks[no].Len)
			no++
		}
	}
	return a.fetch(ctx)
}

// one makes chunk no, or notes that it has to be fetched.
func (a *applier) one(ctx context.Context, o op, source int64, no int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := a.next(ctx, o); err != nil {
		return err
	}
	b := a.chunk[:a.cfg.Index.Chunks[no].Len]
	err := a.fill(b, o, source)
	if err == nil {
		err = a.cfg.Index.Check(no, b)
	}
	if err != nil {
		if a.cfg.Bad != nil {
			a.cfg.Bad(no, err)
		}
		return a.miss(ctx, no, err)
	}
	if err := a.fetch(ctx); err != nil {
		return err
	}
	a.report.Made[o.kind]++
	return a.write(no, b)
}

// next reads the payload of o, if it has one.
func (a *applier) next(ctx context.Context, o op) error {
	if o.packed == 0 {
		return nil
	}
	if err := a.meter.take(ctx, int64(o.packed)); err != nil {
		return err
	}
	if a.payload == nil {
		p := a.cfg.Pack
		from := p.payloads() + o.payload
		r, err := p.src.Range(ctx, from, p.src.Size()-from)
		if err != nil {
			return sourceError(err)
		}
		a.payload = r
	}
	if a.packed == nil {
		a.packed = make([]byte, a.cfg.Pack.longest())
	}
	a.packed = a.packed[:o.packed]
	if _, err := io.ReadFull(a.payload, a.packed); err != nil {
		return sourceError(err)
	}
	return nil
}

// fill makes a chunk. What it makes may be wrong.
func (a *applier) fill(b []byte, o op, source int64) error {
	switch o.kind {
	case Zeros:
		clear(b)
		return nil
	case Full:
		return a.cfg.Pack.dec.Decode(b, a.packed)
	case Copy:
		return a.readBase(b, source)
	}
	n, err := frame.ContentSize(a.packed)
	if err != nil {
		return err
	}
	if n > maxPatch {
		return fmt.Errorf("%w: a patch of %d bytes", ErrLimit, n)
	}
	if a.patch == nil {
		a.patch = make([]byte, maxPatch) // of which is used what patches need
	}
	a.patch = a.patch[:n]
	if err := a.cfg.Pack.dec.Decode(a.patch, a.packed); err != nil {
		return err
	}
	if a.cfg.Base == nil {
		return errNoBase
	}
	return applyPatch(b, io.NewSectionReader(a.cfg.Base, source, int64(o.window)), a.patch)
}

var errNoBase = fmt.Errorf("%w: there is no old image", ErrDigest)

func (a *applier) readBase(b []byte, off int64) error {
	if a.cfg.Base == nil {
		return errNoBase
	}
	if n, err := a.cfg.Base.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("read the old image: %w", err)
	}
	return nil
}

// miss notes that chunk no has to be fetched. Chunks in a row are fetched together, when the next one can be made.
func (a *applier) miss(ctx context.Context, no int, cause error) error {
	if a.cfg.Fetch == nil {
		return &image.ChunkError{No: no, Err: fmt.Errorf("%w: %w", ErrNoFetcher, cause)}
	}
	a.bad = append(a.bad, no)
	if len(a.bad) < maxRun {
		return nil
	}
	return a.fetch(ctx)
}

// fetch fetches and writes the chunks that miss noted.
func (a *applier) fetch(ctx context.Context) error {
	// Only what the budget gives is asked for: with Fail, what it still gives is not lost.
	for len(a.bad) > 0 {
		n, spent := a.afford(ctx)
		if n > 0 {
			if err := a.fetchRun(ctx, a.bad[:n]); err != nil {
				return err
			}
			a.bad = append(a.bad[:0], a.bad[n:]...)
		}
		if spent != nil {
			return spent
		}
	}
	return nil
}

// afford is how many of the bad chunks the budget gives; the error is why it does not give the next one.
func (a *applier) afford(ctx context.Context) (int, error) {
	for i, no := range a.bad {
		if err := a.meter.take(ctx, a.cfg.Fetch.Cost(no)); err != nil {
			return i, err
		}
	}
	return len(a.bad), nil
}

func (a *applier) fetchRun(ctx context.Context, numbers []int) error {
	i := 0
	err := a.cfg.Fetch.Chunks(ctx, numbers, func(no int, b []byte) error {
		if i == len(numbers) || no != numbers[i] {
			return &image.ChunkError{No: no, Err: fmt.Errorf("%w: nobody asked for it", ErrFormat)}
		}
		if err := a.cfg.Index.Check(no, b); err != nil {
			return err
		}
		i++
		a.report.Fetched++
		return a.write(no, b)
	})
	if err == nil && i < len(numbers) {
		err = &image.ChunkError{No: numbers[i], Err: io.ErrUnexpectedEOF}
	}
	return err
}

// write writes a chunk that has been checked.
func (a *applier) write(no int, b []byte) error {
	c := a.cfg.Index.Chunks[no]
	if _, err := a.cfg.Target.WriteAt(b, c.Off); err != nil {
		return fmt.Errorf("%w: %w", ErrTarget, err)
	}
	a.report.Written += int64(len(b))
	a.unsynced += int64(len(b))
	if a.cfg.Progress != nil {
		a.cfg.Progress(c.Off+int64(c.Len), a.cfg.Index.Size)
	}
	if a.unsynced < a.cfg.SyncEvery {
		return nil
	}
	return a.sync()
}

func (a *applier) sync() error {
	a.unsynced = 0
	if err := a.cfg.Target.Sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrTarget, err)
	}
	return nil
}
