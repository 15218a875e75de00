package delta

import (
	"bytes"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/firmware/frame"
	"github.com/hawser-iot/hawser/firmware/image"
)

// near is how close two places for a window are that are one: the window is wider than the chunk by more.
const near = 8 << 10

// made is the best known way to make a chunk.
type made struct {
	op
	payload []byte
	drift   int64 // by how much its bytes lie further on in the old image
}

// maker makes single chunks of an old image.
type maker struct {
	base   io.ReaderAt
	size   int64
	enc    *frame.Encoder
	window []byte
	patch  []byte
	sorted sortedWindow
}

// sortedWindow is the last window with its suffixes: the next chunk often looks at the same.
type sortedWindow struct {
	begin, end int64
	bytes      []byte
	order      []int32
}

// make finds the shortest way to make chunk c, whose bytes are b, of the old image around the given drifts.
func (m *maker) make(c image.Chunk, b []byte, drifts []int64) (*made, error) {
	for _, d := range drifts {
		same, err := m.same(c.Off+d, b)
		if err != nil {
			return nil, err
		}
		if same {
			return &made{op: op{kind: Copy, chunks: 1, source: c.Off + d}, drift: d}, nil
		}
	}
	best := &made{op: op{kind: Full, chunks: 1}, payload: m.enc.Append(nil, b)}
	if len(drifts) > 0 {
		best.drift = drifts[0]
	}
	var seen []int64
	for _, d := range drifts {
		if tried(seen, d) {
			continue
		}
		seen = append(seen, d)
		p, err := m.patched(c, b, d)
		if err != nil {
			return nil, err
		}
		if p != nil && len(p.payload) < len(best.payload) {
			best = p
		}
	}
	best.packed = len(best.payload)
	return best, nil
}

func tried(seen []int64, d int64) bool {
	for _, s := range seen {
		if max(s-d, d-s) < near {
			return true
		}
	}
	return false
}

// same tells whether b is what the old image has at off.
func (m *maker) same(off int64, b []byte) (bool, error) {
	if off < 0 || off+int64(len(b)) > m.size {
		return false, nil
	}
	m.window = append(m.window[:0], b...)
	if _, err := m.base.ReadAt(m.window, off); err != nil {
		return false, fmt.Errorf("read the old image: %w", err)
	}
	return bytes.Equal(m.window, b), nil
}

// patched makes a chunk of the window of the old image around where it would lie with drift d. It is nil when the window has nothing for it.
func (m *maker) patched(c image.Chunk, b []byte, d int64) (*made, error) {
	margin := int64(MaxWindow-c.Len) / 2
	begin := max(c.Off+d-margin, 0)
	end := min(c.Off+d+int64(c.Len)+margin, m.size)
	if end-begin < 16 {
		return nil, nil
	}
	if err := m.sort(begin, end); err != nil {
		return nil, err
	}
	match := matcher{old: m.sorted.bytes, new: b, order: m.sorted.order}
	steps := joined(match.steps(int(c.Off + d - begin)))
	from, to := used(steps)
	if from >= to {
		return nil, nil
	}
	steps = rebase(steps, from)
	patch, parts := appendPatch(m.patch[:0], steps, m.sorted.bytes[from:to], b)
	m.patch = patch
	if parts[0] > maxControl {
		return nil, nil
	}
	source := begin + int64(from)
	return &made{op: op{kind: Patch, chunks: 1, source: source, window: to - from}, payload: m.enc.Append(nil, patch),
		drift: begin - c.Off + int64(match.shift)}, nil
}

func (m *maker) sort(begin, end int64) error {
	w := &m.sorted
	if w.begin == begin && w.end == end && w.order != nil {
		return nil
	}
	w.begin, w.end = begin, end
	w.bytes = append(w.bytes[:0], make([]byte, end-begin)...)
	if _, err := m.base.ReadAt(w.bytes, begin); err != nil {
		w.order = nil
		return fmt.Errorf("read the old image: %w", err)
	}
	w.order = suffixArray(w.bytes)
	return nil
}
