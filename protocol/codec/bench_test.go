package codec_test

import (
	"runtime"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// payload200 is a property post of 200 bytes.
const payload200 = `{"RequestID":"1024","Property":{"temperature":{"Value":21.53,"Time":1524448722000},"humidity":{"Value":48.2},` +
	`"switch":{"Value":1},"mode":{"Value":"eco"},"position":{"Value":{"lon":121.47,"lat":31.23}}}}`

var sink codec.Value

func BenchmarkDecodeJSON(b *testing.B) { benchmarkDecode(b, []byte(payload200)) }

func BenchmarkDecodeCBOR(b *testing.B) {
	in, err := codec.ToCBOR([]byte(payload200), codec.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	benchmarkDecode(b, in)
}

func benchmarkDecode(b *testing.B, in []byte) {
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		d, err := codec.Decode(in, codec.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		sink = d.Root().Path("Property", "mode", "Value")
		d.Release()
	}
}

// BenchmarkFastjson is the library that the same work was measured with before; it validates less.
func BenchmarkFastjson(b *testing.B) {
	var pool fastjson.ParserPool
	in := []byte(payload200)
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		p := pool.Get()
		v, err := p.ParseBytes(in)
		if err != nil || v.Get("Property", "mode", "Value") == nil {
			b.Fatal(err)
		}
		pool.Put(p)
	}
}

// BenchmarkFastjsonStrict adds the checks that it lacks; it still lets lone surrogates and huge exponents pass.
func BenchmarkFastjsonStrict(b *testing.B) {
	var pool fastjson.ParserPool
	in := []byte(payload200)
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if err := fastjson.ValidateBytes(in); err != nil || !utf8.Valid(in) {
			b.Fatal(err)
		}
		p := pool.Get()
		v, err := p.ParseBytes(in)
		if err != nil || v.Get("Property", "mode", "Value") == nil {
			b.Fatal(err)
		}
		pool.Put(p)
	}
}

func BenchmarkGet(b *testing.B) {
	d := decode(b, []byte(payload200))
	defer d.Release()
	b.ReportAllocs()
	for b.Loop() {
		sink = d.Root().Path("Property", "position", "Value", "lat")
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	d := decode(b, []byte(payload200))
	defer d.Release()
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf = d.Root().AppendJSON(buf[:0])
	}
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		return // the race detector makes sync.Pool drop at random
	}
	in := []byte(payload200)
	buf := make([]byte, 0, 512)
	got := testing.AllocsPerRun(1000, func() {
		d, err := codec.Decode(in, codec.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		buf = d.Root().AppendJSON(buf[:0])
		d.Release()
	})
	if got > 0.1 {
		t.Errorf("%v allocations for a decode and a write, want 0", got)
	}
}

// TestPromisesCostNothing sends hostile heads that promise gigabytes.
func TestPromisesCostNothing(t *testing.T) {
	for _, in := range []string{"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff", "\xa1\x61a\x9a\x7f\xff\xff\xff", "\xa1\x61a\x7a\x7f\xff\xff\xff"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			if _, err := codec.Decode([]byte(in), codec.Limits{}); err == nil {
				t.Fatalf("%x was accepted", in)
			}
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%x cost %d bytes a hundred times", in, got)
		}
	}
}
