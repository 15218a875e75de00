package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"testing"
	"time"
)

// packed is a file of one block with n records.
func packed(t testing.TB, n int) []byte {
	t.Helper()
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	var b builder
	b.reset()
	for i := range n {
		b.add(int64(1000+i), fmt.Appendf(nil, "record %d", i), []uint64{uint64(i), 7})
	}
	out, _ := c.pack(appendFileHeader(nil, time.Unix(0, 0)), &b)
	return out
}

// Whatever the bytes, reading ends without a panic, and asks for no more memory than the bounds.
func FuzzBlock(f *testing.F) {
	f.Add(packed(f, 3))
	f.Add(packed(f, 0))
	f.Add(packed(f, 200)[:100])
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		// A fuzzer does not guess checksums, so that they are put right where there is room.
		if len(file) > fileHeader {
			copy(file, appendFileHeader(nil, time.Unix(0, 0)))
		}
		if len(file) >= fileHeader+blockHeader {
			fixed := file[fileHeader:]
			if h, err := parseHeader(fixed); err == nil && int64(len(fixed)) >= h.size() {
				stored := fixed[blockHeader+h.filter:][:h.stored]
				binary.LittleEndian.PutUint32(fixed[36:], crc32.Checksum(stored, castagnoli))
				sum := crc32.Update(crc32.Checksum(fixed[:40], castagnoli), castagnoli, fixed[blockHeader:][:h.filter])
				binary.LittleEndian.PutUint32(fixed[40:], sum)
			}
		}
		entries, end, damage := walk(bytes.NewReader(file), "fuzz", int64(len(file)))
		if end > int64(len(file)) || end < int64(len(file)) && len(damage) == 0 {
			t.Errorf("walked to %d of %d without a complaint", end, len(file))
		}
		for i := range entries {
			e := &entries[i]
			raw, err := c.unpack(&e.header, file[e.offset+blockHeader+int64(e.filter):][:e.stored])
			if err != nil {
				continue
			}
			all, err := records(raw, e.count, nil, func(int64, []uint64) bool { return true })
			if err == nil && len(all) != int(e.count) {
				t.Errorf("got %d records, want %d", len(all), e.count)
			}
		}
	})
}

func FuzzRecords(f *testing.F) {
	var b builder
	b.reset()
	b.add(5, []byte("x"), []uint64{1, 2, 3})
	b.add(3, nil, nil)
	f.Add(b.raw, uint32(2))
	f.Fuzz(func(t *testing.T, raw []byte, count uint32) {
		got, err := records(raw, count, nil, func(int64, []uint64) bool { return true })
		if err != nil {
			return
		}
		var again builder
		again.reset()
		for _, r := range got {
			again.add(r.Time.UnixMicro(), r.Data, r.Keys)
		}
		back, err := records(again.raw, again.count, nil, func(int64, []uint64) bool { return true })
		if err != nil || len(back) != len(got) {
			t.Errorf("round trip: %d records, %v, want %d", len(back), err, len(got))
		}
	})
}

func FuzzIndex(f *testing.F) {
	file := packed(f, 20)
	entries, _, _ := walk(bytes.NewReader(file), "f", int64(len(file)))
	f.Add(appendIndex(nil, entries), uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, n uint32) {
		entries, err := parseIndex(b, n)
		if err == nil && !bytes.Equal(appendIndex(nil, entries), b) {
			t.Error("an index that we would not write was read")
		}
	})
}

func TestFilter(t *testing.T) {
	keys := map[uint64]struct{}{}
	for i := range 1000 {
		keys[uint64(i)*3] = struct{}{}
	}
	f := newFilter(nil, keys)
	false1 := 0
	for i := range uint64(30_000) {
		_, in := keys[i]
		switch has := f.has(i); {
		case in && !has:
			t.Fatalf("key %d is denied", i)
		case !in && has:
			false1++
		}
	}
	if false1 > 29_000*3/100 {
		t.Errorf("%d of 29000 keys are believed to be there, want about 1 in 100", false1)
	}
}

// benchLog runs a log and stops it with the benchmark.
func benchLog(b *testing.B) *Log {
	l, err := Open(Config{Dir: b.TempDir(), MaxBytes: -1, MaxAge: -1, QueueBytes: 64 << 20}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-ended })
	return l
}

func benchRecord(i int) []byte {
	return fmt.Appendf(nil, `/$system/abcdefghijklmnop/device-%d/tmodel/property/post{"RequestID":"%d","Property":{"t":{"Value":%d.5},"h":{"Value":%d}}}ok ok ok`,
		i%500, i, i%40, i%100)
}

func BenchmarkAppend(b *testing.B) {
	l := benchLog(b)
	data := benchRecord(1)
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		i++
		_ = l.Append(time.UnixMicro(int64(i)), data, i%500, i)
	}
	b.ReportMetric(float64(l.Stats().DroppedBy.Queue)/float64(b.N), "dropped/op")
}

// BenchmarkWrite is the writer's whole work: from the queue through compression to the file.
func BenchmarkWrite(b *testing.B) {
	l := benchLog(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for range 1000 {
			n++
			if l.Append(time.UnixMicro(int64(n)), benchRecord(n), uint64(n%500), 1<<50+uint64(n)) != nil {
				b.Fatal("dropped")
			}
		}
		if err := l.Sync(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
	b.ReportMetric(float64(l.Stats().Bytes)/float64(n), "B/record")
}

// BenchmarkScan asks for one device of 500 in a million records.
func BenchmarkScan(b *testing.B) {
	l := benchLog(b)
	const n = 1_000_000
	for i := range n {
		for l.Append(time.UnixMicro(int64(i)), benchRecord(i), uint64(i/2000), 1<<50+uint64(i)) != nil {
			_ = l.Sync(context.Background())
		}
	}
	_ = l.Sync(context.Background())
	for name, q := range map[string]Query{
		"key":     {Keys: []uint64{321}},
		"message": {Keys: []uint64{1<<50 + 777_777}},
		"last100": {Backward: true},
	} {
		b.Run(name, func(b *testing.B) {
			found := 0
			for b.Loop() {
				found = 0
				if err := l.Scan(context.Background(), q, func(Record) bool { found++; return name != "last100" || found < 100 }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(found), "records")
		})
	}
}
