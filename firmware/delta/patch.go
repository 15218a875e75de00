package delta

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/firmware/image"
)

// MaxWindow is the most of an old image that a patch refers to, maxControl how long the instructions of a patch may be, maxPatch how long the
// whole of it.
const (
	MaxWindow  = 256 << 10
	maxControl = 64 << 10
	maxPatch   = image.MaxChunk + maxControl + 2*binary.MaxVarintLen32
)

// appendPatch writes steps that make chunk of window as a patch: length of the instructions, length of the differences, the instructions,
// the differences, the literal bytes. parts are where the three end.
func appendPatch(dst []byte, steps []step, window, chunk []byte) (patch []byte, parts [3]int) {
	var control, diff, literal []byte
	at, pos := 0, 0
	for _, s := range steps {
		control = binary.AppendUvarint(control, uint64(s.add))
		control = binary.AppendUvarint(control, uint64(s.literal))
		control = binary.AppendVarint(control, int64(s.seek))
		for i := range s.add {
			diff = append(diff, chunk[at+i]-window[pos+i])
		}
		literal = append(literal, chunk[at+s.add:at+s.add+s.literal]...)
		at += s.add + s.literal
		pos += s.add + s.seek
	}
	dst = binary.AppendUvarint(dst, uint64(len(control)))
	dst = binary.AppendUvarint(dst, uint64(len(diff)))
	dst = append(dst, control...)
	parts[0] = len(dst)
	dst = append(dst, diff...)
	parts[1] = len(dst)
	dst = append(dst, literal...)
	parts[2] = len(dst)
	return dst, parts
}

// used is the part of the window that steps read.
func used(steps []step) (begin, end int) {
	begin = -1
	pos := 0
	for _, s := range steps {
		if s.add > 0 {
			if begin < 0 || pos < begin {
				begin = pos
			}
			end = max(end, pos+s.add)
		}
		pos += s.add + s.seek
	}
	return max(begin, 0), end
}

// rebase makes steps begin at the start of what they use: the window then begins there too. Only the first step may add nothing.
func rebase(steps []step, begin int) []step {
	if begin == 0 {
		return steps
	}
	steps[0].seek -= begin // it adds nothing, or begin were 0
	if steps[0] == (step{}) {
		return steps[1:]
	}
	return steps
}

// joined drops steps that add nothing, all but the first: the one before takes their literal bytes and their seek.
func joined(steps []step) []step {
	out := steps[:1]
	for _, s := range steps[1:] {
		if last := &out[len(out)-1]; s.add == 0 {
			last.literal += s.literal
			last.seek += s.seek
		} else {
			out = append(out, s)
		}
	}
	out[len(out)-1].seek = 0
	return out
}

// applyPatch fills chunk from a window of the old image by a patch. The patch may be anything: what would read or write out of bounds, or
// leave a byte over, is refused. The window is read piece by piece, straight to where the pieces go.
func applyPatch(chunk []byte, window *io.SectionReader, patch []byte) error {
	r := reader{b: patch}
	controls := r.length(maxControl)
	diffs := r.length(len(chunk))
	if r.err != nil {
		return r.err
	}
	if controls+diffs > len(r.b) || len(r.b)-controls != len(chunk) {
		return fmt.Errorf("%w: a patch for %d bytes has %d", ErrFormat, len(chunk), len(r.b)-controls)
	}
	diff, literal := r.b[controls:controls+diffs], r.b[controls+diffs:]
	r.b = r.b[:controls]
	at, pos, size := 0, 0, int(window.Size())
	for len(r.b) > 0 {
		add, copied, seek := r.length(len(diff)), r.length(len(literal)), int(r.varint(MaxWindow))
		if r.err != nil {
			return r.err
		}
		if pos+add > size {
			return fmt.Errorf("%w: a patch reads behind its window", ErrFormat)
		}
		if n, err := window.ReadAt(chunk[at:at+add], int64(pos)); n < add {
			return fmt.Errorf("read the old image: %w", err)
		}
		addBytes(chunk[at:], diff[:add])
		copy(chunk[at+add:], literal[:copied])
		diff, literal = diff[add:], literal[copied:]
		at += add + copied
		if pos += add + seek; pos < 0 || pos > size {
			return fmt.Errorf("%w: a patch leaves its window", ErrFormat)
		}
	}
	if len(diff)+len(literal) > 0 {
		return fmt.Errorf("%w: a patch makes %d of %d bytes", ErrFormat, at, len(chunk))
	}
	return nil
}

// addBytes adds b to the first bytes of dst.
func addBytes(dst, b []byte) {
	dst = dst[:len(b)]
	for i, d := range b {
		dst[i] += d
	}
}
