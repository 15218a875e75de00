package zstdenc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func unpack(t testing.TB, b []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := d.DecodeAll(b, nil)
	if err != nil {
		t.Fatalf("a frame of %d bytes does not unpack: %v", len(b), err)
	}
	return out
}

// contents are bytes of several kinds.
func contents() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 300<<10)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	var json, text bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&json, `{"RequestID":"%d","Property":{"temperature":{"Value":%.2f,"Time":%d}}}`, i, 20+rng.Float64(), 1700000000000+i*1000)
		fmt.Fprintf(&text, "%d: Süßes oder Saures, %d \xff\n", i, rng.IntN(1000))
	}
	few := make([]byte, 50_000)
	for i := range few {
		few[i] = "ab"[rng.IntN(2)]
	}
	skewed := make([]byte, 200_000) // codes would be deeper than eleven
	for i := range skewed {
		for skewed[i] = 1; rng.IntN(2) == 0 && skewed[i] < 100; {
			skewed[i]++
		}
	}
	m := map[string][]byte{
		"nothing": {}, "one": {7}, "zeros": make([]byte, 500<<10), "random": random, "json": json.Bytes(), "text": text.Bytes(), "few": few, "skewed": skewed,
		"same in the end": append(bytes.Repeat([]byte("x"), 7), "abcabcabcabc"...), "far apart": append(append(bytes.Clone(random[:200_000]), random[:100]...), random...),
	}
	for _, n := range []int{63, 64, 255, 256, 257, 1023, 1024, 1025, 16383, 16384, 65791, 65792, maxBlock - 1, maxBlock, maxBlock + 1} {
		m[fmt.Sprint("json ", n)] = json.Bytes()[:n]
	}
	return m
}

func TestUnpacksToWhatWasPut(t *testing.T) {
	var e Encoder
	for name, want := range contents() {
		b := e.Append([]byte("before"), want)
		if got := unpack(t, b[6:]); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes unpack to %d others", name, len(want), len(got))
		}
		if most := len(want) + len(want)/1000 + 20; len(b)-6 > most {
			t.Errorf("%s: %d bytes became %d", name, len(want), len(b)-6)
		}
		var out bytes.Buffer
		w := NewWriter(&out)
		for rest, n := want, 1; len(rest) > 0; n = 2*n + 1 {
			k, err := w.Write(rest[:min(n, len(rest))])
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := unpack(t, out.Bytes()); !bytes.Equal(got, want) {
			t.Errorf("%s: written, %d bytes unpack to %d others", name, len(want), len(got))
		}
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("a closed Writer takes more")
		}
	}
}

// TestTightEnough: on what agents send the result is near that of a whole zstd at its fastest; of much alike it may be further.
func TestTightEnough(t *testing.T) {
	whole, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("block.go")
	if err != nil {
		t.Fatal(err)
	}
	all := contents()
	var e Encoder
	for name, b := range map[string][]byte{"32 KiB of JSON": all["json"][:32<<10], "2 KiB of JSON": all["json"][:2<<10], "a source file": source, "all JSON": all["json"]} {
		ours, theirs := len(e.Append(nil, b)), len(whole.EncodeAll(b, nil))
		t.Logf("%s: %d bytes, %d here, %d by zstd", name, len(b), ours, theirs)
		if len(b) <= 32<<10 && ours > theirs*5/4+20 || ours > 2*theirs {
			t.Errorf("%s: %d bytes, %d by zstd", name, ours, theirs)
		}
	}
}

func FuzzUnpacks(f *testing.F) {
	for _, b := range contents() {
		f.Add(b[:min(len(b), 4096)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Encoder
		for _, in := range [][]byte{b, bytes.Repeat(b, 1+1000/max(len(b), 1))} {
			if got := unpack(t, e.Append(nil, in)); !bytes.Equal(got, in) {
				t.Fatalf("%d bytes unpack to %d others", len(in), len(got))
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	json := contents()["json"][:32<<10]
	b.SetBytes(int64(len(json)))
	var e Encoder
	var out []byte
	for b.Loop() {
		out = e.Append(out[:0], json)
	}
}
