package delta

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hawser-iot/hawser/firmware/imagetest"
)

func section(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

// patchOf makes a patch as the maker does, and the window that it needs.
func patchOf(old, chunk []byte, first int) (patch, window []byte) {
	m := matcher{old: old, new: chunk, order: suffixArray(old)}
	steps := joined(m.steps(first))
	from, to := used(steps)
	window = old[from:to]
	patch, _ = appendPatch(nil, rebase(steps, from), window, chunk)
	return patch, window
}

func TestPatchRoundTrip(t *testing.T) {
	old := imagetest.Stream("patch", 20_000)
	sparse := slices.Clone(old)
	for i := 7; i < len(sparse); i += 50 {
		sparse[i] += 3
	}
	for _, tt := range []struct {
		name  string
		chunk []byte
		most  int // how long the patch may be beside the difference
	}{
		{"the same", old, 20},
		{"the middle", old[3000:17_000], 20},
		{"some bytes differ", sparse, 60},
		{"an insertion", slices.Concat(old[:9000], []byte("something new"), old[9000:]), 60},
		{"a deletion", slices.Concat(old[:9000], old[9100:]), 60},
		{"two parts swapped", slices.Concat(old[9000:], old[:9000]), 60},
		{"twice", slices.Concat(old, old), 60},
		{"nothing in common", imagetest.Stream("other", 5000), 5050},
		{"one byte", []byte{1}, 20},
	} {
		for _, first := range []int{0, 3000, 20_000, -5, 30_000} {
			patch, window := patchOf(old, tt.chunk, first)
			got := make([]byte, len(tt.chunk))
			if err := applyPatch(got, section(window), patch); err != nil || !bytes.Equal(got, tt.chunk) {
				t.Errorf("%s from %d: %v", tt.name, first, err)
			}
			if extra := len(patch) - len(tt.chunk); extra > tt.most {
				t.Errorf("%s from %d: the patch has %d bytes beside its content", tt.name, first, extra)
			}
		}
	}
}

// TestPatchOfRandomText goes through small texts of few letters, where alignments overlap in all ways.
func TestPatchOfRandomText(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		old, chunk := make([]byte, 1+r.IntN(200)), make([]byte, 1+r.IntN(200))
		for _, b := range [][]byte{old, chunk} {
			for i := range b {
				b[i] = byte(r.IntN(2)) + byte(i/20*r.IntN(2))
			}
		}
		patch, window := patchOf(old, chunk, r.IntN(len(old)))
		got := make([]byte, len(chunk))
		if err := applyPatch(got, section(window), patch); err != nil || !bytes.Equal(got, chunk) {
			t.Fatalf("old %v, chunk %v: got %v, %v", old, chunk, got, err)
		}
	}
}

func TestPatchesThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name  string
		patch []byte
		want  error
	}{
		{"empty", nil, ErrFormat},
		{"lengths only", []byte{0, 0}, ErrFormat},
		{"cut off", []byte{3, 2, 2, 2, 0, 1, 1, 7}, ErrFormat},
		{"a byte left over", []byte{3, 2, 2, 2, 0, 1, 1, 7, 7, 7}, ErrFormat},
		{"instructions longer than all", []byte{0xff, 0xff, 1, 2, 2, 2, 0}, ErrFormat},
		{"more instructions than allowed", []byte{0xff, 0xff, 0xff, 0xff, 15, 2}, ErrLimit},
		{"a length of 2^64", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, ErrFormat},
		{"a long spelling of 3", []byte{0x83, 0, 2, 2, 2, 0, 1, 1, 7, 7}, ErrFormat},
		{"more is added than there is", []byte{3, 2, 3, 1, 0, 1, 1, 7, 7}, ErrLimit},
		{"more is taken than there is", []byte{3, 2, 2, 3, 0, 1, 1, 7, 7}, ErrLimit},
		{"something is not made", []byte{3, 2, 1, 2, 0, 1, 1, 7, 7}, ErrFormat},
		{"no instructions", []byte{0, 2, 1, 1, 7, 7}, ErrFormat},
		{"a seek before the window", []byte{3, 2, 2, 2, 5, 1, 1, 7, 7}, ErrFormat},
		{"a seek behind the window", []byte{3, 2, 2, 2, 12, 1, 1, 7, 7}, ErrFormat},
		{"a seek of 2^62", []byte{12, 2, 2, 2, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 1, 1, 7, 7}, ErrLimit},
		{"adding behind the window", []byte{6, 4, 0, 0, 2, 4, 0, 0, 1, 1, 1, 1}, ErrFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := applyPatch(make([]byte, 4), section([]byte{1, 2, 3, 4}), tt.patch); !errors.Is(err, tt.want) {
				t.Errorf("applyPatch: %v, want %v", err, tt.want)
			}
		})
	}
	got := make([]byte, 4)
	if err := applyPatch(got, section([]byte{1, 2, 3, 4}), []byte{3, 2, 2, 2, 0, 1, 1, 7, 7}); err != nil || !bytes.Equal(got, []byte{2, 3, 7, 7}) {
		t.Errorf("the one that the others were made of: %v, %v", got, err)
	}
}

func FuzzApplyPatch(f *testing.F) {
	f.Add([]byte{3, 2, 2, 2, 0, 1, 1, 7, 7}, []byte{1, 2, 3, 4}, uint16(4))
	patch, window := patchOf([]byte("an old text of some words"), []byte("a new text of some old words"), 0)
	f.Add(patch, window, uint16(28))
	f.Fuzz(func(t *testing.T, patch, window []byte, n uint16) {
		err := applyPatch(make([]byte, n), section(window), patch)
		if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrLimit) {
			t.Errorf("%v is of no class", err)
		}
	})
}
