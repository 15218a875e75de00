package delta

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

// The images of the vectors: the new one has what every op is for.
var (
	vectorBase   = imagetest.Recipe{Seed: "vector", Len: 200_000}
	vectorTarget = imagetest.Recipe{Seed: "vector", Len: 200_000, Edits: []imagetest.Edit{
		{At: 150_000, Hex: "6e6577"}, {At: 155_000, Cut: 2}, {At: 160_000, Cut: 1, Hex: "00"}}}
	vectorFresh = imagetest.Recipe{Seed: "fresh", Len: 40_000}
	vectorZeros = imagetest.Recipe{Seed: "", Len: 300_000, Zeros: [2]int{0, 300_000}}
)

func writeVectors(t *testing.T) {
	t.Helper()
	put := func(name string, v vector) {
		t.Helper()
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(vectorDir, name+".json"), append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	writeIndexVectors(t, put)
	writeFullVectors(t, put)
	writeDeltaVectors(t, put)
}

func edited(b []byte, edit func(b []byte) []byte) []byte { return edit(slices.Clone(b)) }

func writeIndexVectors(t *testing.T, put func(string, vector)) {
	good, err := read(t, vectorTarget.Bytes()).Index.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	index := func(name, about string, expect failure.Class, edit func(b []byte) []byte) {
		put("index-"+name, vector{About: about, Kind: "index", Target: vectorTarget, File: edited(good, edit), Expect: expect})
	}
	size := bytes.Index(good, []byte{0x04, 0x1a}) + 2 // key 4, a 32-bit number
	list := size + 5                                  // key 5, then the head of the array
	first := list + 1
	index("good", "an index", "", func(b []byte) []byte { return b })
	index("version-2", "a version that nobody knows", failure.Dependency, func(b []byte) []byte { b[2] = 2; return b })
	index("algorithm-2", "another way to cut", failure.Dependency, func(b []byte) []byte { b[4] = 2; return b })
	index("cut-off", "the last byte is missing", failure.Hash, func(b []byte) []byte { return b[:len(b)-1] })
	index("tail", "a byte behind the end", failure.Hash, func(b []byte) []byte { return append(b, 0) })
	index("size", "the size is not the sum of the chunks", failure.Hash, func(b []byte) []byte { b[size+3]++; return b })
	index("parameters", "another smallest chunk", failure.Hash, func(b []byte) []byte { b[8]++; return b })
	index("billion", "an array of 1,000,000,000 entries", failure.Hash, func(b []byte) []byte {
		return slices.Concat(b[:list], []byte{0x9a, 0x3b, 0x9a, 0xca, 0x00}, b[first:])
	})
	index("long-form", "the array's length in a longer form than need be", failure.Hash, func(b []byte) []byte {
		return slices.Concat(b[:list], []byte{0x98, b[list] & 31}, b[first:])
	})
	index("indefinite", "an array without a length", failure.Hash, func(b []byte) []byte {
		return append(slices.Concat(b[:list], []byte{0x9f}, b[first:]), 0xff)
	})
	index("empty", "no chunks", failure.Hash, func(b []byte) []byte { return append(b[:list:list], 0x80) })
	index("short-digest", "a digest of 31 bytes", failure.Hash, func(b []byte) []byte {
		at := bytes.Index(b, []byte{0x58, 0x20})
		b[at+1] = 31
		return slices.Delete(b, at+2, at+3)
	})
	index("nothing", "no bytes", failure.Hash, func([]byte) []byte { return nil })
}

func writeFullVectors(t *testing.T, put func(string, vector)) {
	v := vector{Kind: "full", Target: vectorFresh}
	good := v.full(t, vectorFresh.Bytes())
	full := func(name, about string, expect failure.Class, edit func(b []byte) []byte) {
		put("full-"+name, vector{About: about, Kind: "full", Target: vectorFresh, File: edited(good, edit), Expect: expect})
	}
	full("good", "a full pack", "", func(b []byte) []byte { return b })
	full("version-2", "a version that nobody knows", failure.Dependency, func(b []byte) []byte { b[7] = 2; return b })
	full("magic", "another kind of file", failure.Hash, func(b []byte) []byte { b[0] = 'h'; return b })
	full("chunk", "one bit of a chunk differs", failure.Hash, func(b []byte) []byte { b[1000] ^= 1; return b })
	full("cut-off", "the last byte is missing", failure.Hash, func(b []byte) []byte { return b[:len(b)-1] })
	full("trailer-length", "a trailer of 4 GiB", failure.Hash, func(b []byte) []byte {
		binary.BigEndian.PutUint32(b[len(b)-4:], 1<<32-1)
		return b
	})
	full("hole", "bytes that belong to no chunk", failure.Hash, func(b []byte) []byte {
		n := len(b) - 4 - int(binary.BigEndian.Uint32(b[len(b)-4:]))
		return slices.Insert(b, n, 0)
	})
	full("other-image", "the pack of another image", failure.Hash, func([]byte) []byte { return v.full(t, vectorBase.Bytes()) })
}

func writeDeltaVectors(t *testing.T, put func(string, vector)) {
	base, target := vectorBase.Bytes(), vectorTarget.Bytes()
	u := newUpdate(t, base, target)
	p, err := Open(t.Context(), source(u.delta), u.index)
	if err != nil {
		t.Fatal(err)
	}
	patched, no := -1, 0
	for _, o := range p.ops {
		if o.kind == Patch {
			patched = no
		}
		no += o.chunks
	}
	delta := func(name, about string, expect failure.Class, bad []int, edit func(b []byte) []byte) {
		put("delta-"+name, vector{About: about, Kind: "delta", Base: &vectorBase, Target: vectorTarget, File: edited(u.delta, edit), Expect: expect, Bad: bad})
	}
	delta("good", "a delta pack", "", nil, func(b []byte) []byte { return b })
	delta("version-2", "a version that nobody knows", failure.Dependency, nil, func(b []byte) []byte { b[7] = 2; return b })
	delta("magic", "another kind of file", failure.Hash, nil, func(b []byte) []byte { b[0] = 'h'; return b })
	delta("patch", "one bit of a patch differs", "", []int{patched}, func(b []byte) []byte { b[len(b)-3] ^= 1; return b })
	delta("cut-off", "the last byte is missing", failure.Hash, nil, func(b []byte) []byte { return b[:len(b)-1] })
	delta("tail", "a byte behind the end", failure.Hash, nil, func(b []byte) []byte { return append(b, 0) })
	delta("index", "a pack for another image", failure.Hash, nil, func(b []byte) []byte { b[50] ^= 1; return b })
	delta("base-digest", "made of another old image, as it says; what is made is right nevertheless", "", nil, func(b []byte) []byte { b[10] ^= 1; return b })
	delta("base-size", "an old image of 2^63 bytes", failure.Hash, nil, func(b []byte) []byte { b[40] |= 0x80; return b })

	n := byte(len(u.index.Chunks))
	table := func(name, about string, expect failure.Class, bad []int, ops, payload []byte) {
		put("delta-"+name, vector{About: about, Kind: "delta", Base: &vectorBase, Target: vectorTarget, File: u.table(t, int64(len(base)), ops, payload), Expect: expect, Bad: bad})
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := enc.EncodeAll(make([]byte, 16<<20), nil)
	table("wrong-ops", "zeros where there are none", "", all, []byte{3, n}, nil)
	table("no-chunks", "a table of no ops", failure.Hash, nil, nil, nil)
	table("unknown-op", "an op that nobody knows", failure.Hash, nil, []byte{4, n, 0}, nil)
	table("negative-offset", "a copy before the old image", failure.Hash, nil, []byte{0, n, 1}, nil)
	table("far-offset", "a copy at 2^62", failure.Hash, nil, binary.AppendVarint([]byte{0, n}, 1<<62), nil)
	table("long-number", "a number in a longer form than need be", failure.Hash, nil, []byte{3, n | 0x80, 0}, nil)
	table("window", "a window of more than 256 KiB", failure.Hash, nil, []byte{1, 0, 0x81, 0x80, 0x10, 5}, nil)
	table("chunk-bomb", "a chunk that unpacks to 16 MiB", "", all, append(binary.AppendUvarint([]byte{2}, uint64(len(bomb))), 3, n-1), bomb)
	table("patch-bomb", "a patch that unpacks to 16 MiB", "", all, append(binary.AppendUvarint([]byte{1, 0, 100}, uint64(len(bomb))), 3, n-1), bomb)

	for name, r := range map[string]imagetest.Recipe{"full-chunk": vectorFresh, "zeros": vectorZeros} {
		u := newUpdate(t, base, r.Bytes())
		put("delta-"+name, vector{About: "an image that has nothing of the old one", Kind: "delta", Base: &vectorBase, Target: r, File: u.delta})
	}
}
