package segment_test

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/cloud/segment"
)

// TestSift: what is left out is gone from the disk and for readers, who meanwhile see a segment before or after, whole; what nothing stays
// of has no file; a file that a crash left is removed.
func TestSift(t *testing.T) {
	cfg := segment.Config{Dir: t.TempDir(), BlockBytes: 1 << 10, SegmentBytes: 8 << 10, MaxAge: -1, MaxBytes: -1}
	first := run(t, cfg)
	const n = 3000
	for i := range n {
		data := binary.BigEndian.AppendUint64(nil, uint64(i))
		for len(data) < 64 {
			data = append(data, byte(i*len(data)*7919>>3))
		}
		if err := first.Append(at(i), data, uint64(i%3)); err != nil {
			t.Fatal(err)
		}
	}
	first.stop()
	left := filepath.Join(cfg.Dir, "0000000001.seg.new")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := run(t, cfg)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a crash left: %v", err)
	}
	before := l.Stats()
	count := func(key uint64) (found, long int) {
		err := l.Scan(context.Background(), segment.Query{Keys: []uint64{key}}, func(r segment.Record) bool {
			if found++; len(r.Data) > 8 {
				long++
			}
			return true
		})
		if err != nil {
			t.Errorf("scan: %v", err)
		}
		return found, long
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if found, long := count(0); found != n/3 || long != n/3 {
				t.Errorf("a reader meanwhile: %d records, %d of them long", found, long)
				return
			}
		}
	})
	changed, err := l.Sift(t.Context(), func(r segment.Record) []byte {
		switch i := binary.BigEndian.Uint64(r.Data); {
		case r.Keys[0] == 1:
			return nil
		case r.Keys[0] == 2 && i < n/2:
			return r.Data[:8]
		}
		return r.Data
	})
	stop()
	wg.Wait()
	if err != nil || changed != n/3+n/6 {
		t.Errorf("changed %d, %v", changed, err)
	}
	check := func(name string) {
		t.Helper()
		for key, want := range [][2]int{{n / 3, n / 3}, {0, 0}, {n / 3, n / 6}} {
			if found, long := count(uint64(key)); found != want[0] || long != want[1] {
				t.Errorf("%s, key %d: %d records, %d long, want %v", name, key, found, long, want)
			}
		}
	}
	check("after")
	if after := l.Stats(); after.Bytes >= before.Bytes*3/4 || after.Corrupt != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	l.stop()
	l = run(t, cfg)
	check("opened again")
	if d := l.Damage(); len(d) > 0 {
		t.Errorf("damage %v", d)
	}
	if _, err := l.Sift(t.Context(), func(segment.Record) []byte { return nil }); err != nil {
		t.Error(err)
	}
	if names, err := os.ReadDir(cfg.Dir); err != nil || len(names) != 0 || l.Stats().Bytes != 0 {
		t.Errorf("nothing stays, and there are %v, %v", names, err)
	}
}
