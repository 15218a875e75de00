package buffer

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// fuzzEpoch is that of the seeds.
const fuzzEpoch = 0x1122334455667788

func seedSegment(n int) []byte {
	b := header{epoch: fuzzEpoch, base: 5, created: 1e12}.encode()
	for i := range n {
		r := numbered(i)
		r.Seq = uint64(5 + i)
		b = appendRecord(b, fuzzEpoch, 1e12, &r, 1, 0, i == 0)
	}
	return append(b, make([]byte, 100)...)
}

// FuzzSegment opens a folder whose segment is anything, and one more that is whole: its records come back.
func FuzzSegment(f *testing.F) {
	f.Add(seedSegment(0))
	f.Add(seedSegment(4))
	f.Add(seedSegment(4)[:200])
	f.Add(bytes.Repeat([]byte{0}, 300))
	broken := seedSegment(6)
	broken[150] ^= 1
	f.Add(broken)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 64<<10 {
			return
		}
		d := newMemDisk()
		whole := header{epoch: fuzzEpoch, base: 1 << 30, created: 1e12}.encode()
		for i := range 3 {
			r := numbered(i)
			r.Seq = uint64(1<<30 + i)
			whole = appendRecord(whole, fuzzEpoch, 1e12, &r, 1, 0, i == 0)
		}
		c := cursor{generation: 1, epoch: fuzzEpoch, next: 1}
		slot := c.encode()
		for name, data := range map[string][]byte{"cursor": append(slot, slot...), "1.seg": b, "2.seg": whole} {
			d.files["/b/messages/"+name] = &memFile{d: d, data: data, durable: data}
		}
		buf, err := openOn(d, memConfig(), quiet(), time.Now)
		if errors.Is(err, ErrNewerFormat) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		s := buf.streams[0]
		recs, err := s.Read(0, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range recs {
			if i > 0 && r.Seq <= recs[i-1].Seq || r.Topic == "" {
				t.Fatalf("record %d: %+v behind %d", i, r, recs[max(i, 1)-1].Seq)
			}
		}
		// A forged number above those of the whole segment would hide it; the epoch keeps strangers from that.
		if n := len(recs); n == 0 || recs[n-1].Seq == 1<<30+2 && string(recs[n-1].Payload) != string(numbered(2).Payload) {
			t.Fatalf("the whole segment is lost: %d records", n)
		}
		if err := commit(s, 10, 3); err != nil {
			t.Fatal(err)
		}
		if err := buf.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	c := cursor{generation: 7, epoch: 9, next: 100, done: ranges{{1, 5}, {8, 20}}, gaps: []Gap{{Epoch: 9, From: 3, To: 5, Reason: Quota, Bytes: 100}}}
	f.Add(c.encode())
	f.Add(make([]byte, slotSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseCursor(b); err == nil && len(c.encode()) != slotSize {
			t.Error("a cursor that is read can't be written")
		}
	})
	if got, err := parseCursor(c.encode()); err != nil || got.next != 100 || len(got.done) != 2 || got.gaps[0] != c.gaps[0] {
		f.Errorf("a cursor is read as %+v, %v", got, err)
	}
}

func FuzzScan(f *testing.F) {
	f.Add(seedSegment(4))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := scan(b, fuzzEpoch)
		if err == nil && (s.end > int64(len(b)) || s.count > 0 && s.found[0].from == 0) {
			t.Errorf("scan found %+v in %d bytes", s, len(b))
		}
	})
}
