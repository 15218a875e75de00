package delta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hawser-iot/hawser/firmware/frame"
	"github.com/hawser-iot/hawser/firmware/image"
)

// Image is an image that has been read whole once, and can be read again.
type Image struct {
	io.ReaderAt
	image.Built
}

// DiffConfig is how Diff works. Its zero value is useful.
type DiffConfig struct {
	TempDir  string                // where the pack is gathered; empty is the system's
	Progress func(done, total int) // told of chunks, unless nil
}

// Diff writes the delta pack that makes target of base. It holds a few MiB in memory and the payloads in a temporary file.
func Diff(ctx context.Context, w io.Writer, base, target Image, cfg DiffConfig) (stats *Stats, err error) {
	spool, err := os.CreateTemp(cfg.TempDir, "hawser-delta-")
	if err != nil {
		return nil, fmt.Errorf("gather the pack: %w", err)
	}
	defer func() {
		err = errors.Join(err, spool.Close(), os.Remove(spool.Name()))
	}()
	enc, err := frame.NewEncoder()
	if err != nil {
		return nil, err
	}
	d := &differ{base: base, target: target, cfg: cfg, spool: spool, where: newWhere(base.Index),
		maker: maker{base: base, size: base.Index.Size, enc: enc}}
	if err := d.run(ctx); err != nil {
		return nil, err
	}
	return d.write(w, enc)
}

// differ goes through the chunks of the target.
type differ struct {
	base, target Image
	cfg          DiffConfig
	spool        io.ReadWriteSeeker
	where        *where
	maker        maker
	ops          []op
	payloads     int64
	drift        int64 // of the chunk before
	stats        Stats
}

func (d *differ) run(ctx context.Context) error {
	buf := make([]byte, image.MaxChunk)
	chunks := d.target.Index.Chunks
	for no, c := range chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:c.Len]
		if _, err := d.target.ReadAt(b, c.Off); err != nil {
			return fmt.Errorf("read the new image: %w", err)
		}
		m, err := d.chunk(no, b)
		if err != nil {
			return err
		}
		if err := d.add(m, c); err != nil {
			return err
		}
		if d.cfg.Progress != nil {
			d.cfg.Progress(no+1, len(chunks))
		}
	}
	return nil
}

// chunk finds how chunk no is made, best of all by a copy.
func (d *differ) chunk(no int, b []byte) (*made, error) {
	c := d.target.Index.Chunks[no]
	if allZeros(b) {
		return &made{op: op{kind: Zeros, chunks: 1}, drift: d.drift}, nil
	}
	if off, ok := d.where.is(c, d.drift); ok {
		return &made{op: op{kind: Copy, chunks: 1, source: off}, drift: off - c.Off}, nil
	}
	drifts := []int64{d.drift}
	if next, ok := d.next(no + 1); ok {
		drifts = append(drifts, next)
	}
	return d.maker.make(c, b, append(drifts, 0))
}

// lookAhead is how many chunks behind one are looked at for one that lies in the old image.
const lookAhead = 64

// next is the drift of the next chunk that lies in the old image.
func (d *differ) next(no int) (int64, bool) {
	chunks := d.target.Index.Chunks
	for _, c := range chunks[no:min(no+lookAhead, len(chunks))] {
		if off, ok := d.where.is(c, d.drift); ok {
			return off - c.Off, true
		}
	}
	return 0, false
}

// add appends what makes chunk c. Copies and zeros that go on are one op.
func (d *differ) add(m *made, c image.Chunk) error {
	d.drift = m.drift
	k := &d.stats.Kinds[m.kind]
	k.Chunks++
	k.Bytes += int64(c.Len)
	k.Packed += int64(m.packed)
	if n := len(d.ops); n > 0 && d.ops[n-1].kind == m.kind && (m.kind == Zeros || m.kind == Copy && d.goesOn(m, c)) {
		d.ops[n-1].chunks++
		return nil
	}
	d.ops = append(d.ops, m.op)
	d.payloads += int64(len(m.payload))
	if _, err := d.spool.Write(m.payload); err != nil {
		return fmt.Errorf("gather the pack: %w", err)
	}
	return nil
}

// goesOn tells whether a copy of c takes what lies behind what the last op, a copy too, takes.
func (d *differ) goesOn(m *made, c image.Chunk) bool {
	last := d.ops[len(d.ops)-1]
	chunks := d.target.Index.Chunks
	first := chunks[d.target.Index.At(c.Off)-last.chunks]
	return last.source-first.Off == m.source-c.Off
}

// write writes the pack: header, table, and the payloads that have been gathered.
func (d *differ) write(w io.Writer, enc *frame.Encoder) (*Stats, error) {
	table := appendOps(nil, d.ops, d.target.Index)
	if len(table) > frame.MaxContent {
		return nil, fmt.Errorf("%w: a table of %d bytes, the most is %d; the images have too little in common", ErrLimit, len(table), frame.MaxContent)
	}
	packed := enc.Append(nil, table)
	index, err := d.target.Index.Digest()
	if err != nil {
		return nil, err
	}
	h := Header{Base: d.base.Image, BaseSize: d.base.Index.Size, Index: index, table: len(packed)}
	if _, err := d.spool.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("gather the pack: %w", err)
	}
	head := append(h.append(nil), packed...)
	d.stats.Header = int64(len(head))
	d.stats.Total, err = io.Copy(w, io.MultiReader(bytes.NewReader(head), d.spool))
	if err != nil {
		return nil, fmt.Errorf("write the pack: %w", err)
	}
	return &d.stats, nil
}

func allZeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// where knows where the chunks of an old image lie.
type where struct {
	x   *image.Index
	nos map[image.Digest][]int
}

func newWhere(x *image.Index) *where {
	w := &where{x, make(map[image.Digest][]int, len(x.Chunks))}
	for no, c := range x.Chunks {
		w.nos[c.Sum] = append(w.nos[c.Sum], no)
	}
	return w
}

// is the place of chunk c in the old image; of several the one that is nearest to where it would lie with the given drift.
func (w *where) is(c image.Chunk, drift int64) (off int64, ok bool) {
	best := int64(-1)
	for _, no := range w.nos[c.Sum] {
		at := w.x.Chunks[no].Off
		if away := max(at-c.Off-drift, c.Off+drift-at); best < 0 || away < best {
			off, best = at, away
		}
	}
	return off, best >= 0
}
