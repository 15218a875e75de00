package frame

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func coders(t testing.TB) (*Encoder, *Decoder) {
	t.Helper()
	e, err := NewEncoder()
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	return e, d
}

func TestRoundTrip(t *testing.T) {
	e, d := coders(t)
	for _, content := range [][]byte{{}, {1}, []byte("hello hello hello hello"), make([]byte, 300_000), bytes.Repeat([]byte("abcdefg"), 40_000)} {
		f := e.Append([]byte("before"), content)[len("before"):]
		if len(f) > Bound(len(content)) {
			t.Errorf("%d bytes make a frame of %d", len(content), len(f))
		}
		got := make([]byte, len(content))
		if err := d.Decode(got, f); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %v", len(content), err)
		}
		for _, n := range []int{len(content) + 1, max(len(content)-1, 0)} {
			if n != len(content) {
				if err := d.Decode(make([]byte, n), f); !errors.Is(err, ErrMalformed) {
					t.Errorf("%d bytes unpacked to %d: %v", len(content), n, err)
				}
			}
		}
	}
}

// TestBombs holds that a few bytes which unpack to many cost no memory.
func TestBombs(t *testing.T) {
	_, d := coders(t)
	enc, err := zstd.NewWriter(nil, zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	var stream bytes.Buffer // a frame that does not tell its length
	enc.Reset(&stream)
	for range 64 {
		_, _ = enc.Write(make([]byte, 1<<20))
	}
	_ = enc.Close()
	// One that says to be small and goes on.
	liar := bytes.Clone(bomb)
	small := enc.EncodeAll([]byte("small"), nil)
	liar = append(small[:len(small)-1:len(small)-1], liar...)
	dst := make([]byte, 256<<10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, f := range map[string][]byte{"told": bomb, "untold": stream.Bytes(), "liar": liar, "two": append(bytes.Clone(small), bomb...)} {
		if err := d.Decode(dst, f); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
		if err := d.Decode(dst[:5], f); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s for 5 bytes: %v, want ErrMalformed", name, err)
		}
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("it took %d bytes of memory", took)
	}
}

func FuzzDecode(f *testing.F) {
	e, d := coders(f)
	f.Add(e.Append(nil, []byte("hello hello hello")), uint16(17))
	f.Add(e.Append(nil, make([]byte, 60_000)), uint16(60_000))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		if err := d.Decode(make([]byte, n), b); err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%v is not ErrMalformed", err)
		}
	})
}
