package segment_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/segment"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)

// at is the time of the i-th record.
func at(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }

// running is a log that runs until the test ends, or stop is called.
type running struct {
	*segment.Log
	t    testing.TB
	stop func()
}

func run(t testing.TB, cfg segment.Config) *running {
	t.Helper()
	l, err := segment.Open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	r := &running{Log: l, t: t}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// keepAll has no limits of age and size, and small blocks and segments so that few records make several of them.
func keepAll(dir string) segment.Config {
	return segment.Config{Dir: dir, BlockBytes: 2 << 10, SegmentBytes: 8 << 10, MaxAge: -1, MaxBytes: -1}
}

// fill appends the records from to to-1: record i has the time at(i), key i%7 and key 1000+i, and bytes that hardly compress.
func (r *running) fill(from, to int) {
	r.t.Helper()
	for i := from; i < to; i++ {
		if err := r.Append(at(i), content(i), uint64(i%7), uint64(1000+i)); err != nil {
			r.t.Fatal(err)
		}
	}
	r.settle()
}

func (r *running) settle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Sync(ctx); err != nil {
		r.t.Fatal(err)
	}
}

func content(i int) []byte {
	b := fmt.Appendf(nil, "record %d ", i)
	x := uint64(i)*0x9e3779b97f4a7c15 + 1
	for range 12 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

// numbers scans and returns the numbers of the records, having checked each.
func numbers(t testing.TB, l *segment.Log, q segment.Query) (got []int, err error) {
	t.Helper()
	err = l.Scan(context.Background(), q, func(r segment.Record) bool {
		i := int(r.Keys[1]) - 1000
		if !r.Time.Equal(at(i)) || string(r.Data) != string(content(i)) || r.Keys[0] != uint64(i%7) {
			t.Errorf("record %d: got %v %q with keys %v", i, r.Time, r.Data, r.Keys)
		}
		got = append(got, i)
		return true
	})
	return got, err
}

func want(t testing.TB, l *segment.Log, q segment.Query, want []int) {
	t.Helper()
	got, err := numbers(t, l, q)
	if err != nil {
		t.Errorf("scan %+v: %v", q, err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("scan %+v: got %v, want %v", q, got, want)
	}
}

func sequence(from, to, step int) (s []int) {
	for i := from; i < to; i += step {
		s = append(s, i)
	}
	return s
}

func backward(s []int) []int { slices.Reverse(s); return s }

func TestScan(t *testing.T) {
	cfg := keepAll(t.TempDir())
	r := run(t, cfg)
	const n = 1000
	r.fill(0, n)
	check := func(t *testing.T, l *segment.Log) {
		want(t, l, segment.Query{}, sequence(0, n, 1))
		want(t, l, segment.Query{Backward: true}, backward(sequence(0, n, 1)))
		want(t, l, segment.Query{Keys: []uint64{3}}, sequence(3, n, 7))
		want(t, l, segment.Query{Keys: []uint64{3}, From: at(500), To: at(517), Backward: true}, []int{514, 507, 500})
		want(t, l, segment.Query{Keys: []uint64{2, 1715}}, nil)
		want(t, l, segment.Query{Keys: []uint64{1715}}, []int{715})
		want(t, l, segment.Query{Keys: []uint64{1715, 715 % 7}}, []int{715})
		want(t, l, segment.Query{Keys: []uint64{99}}, nil)
		want(t, l, segment.Query{From: at(n - 2)}, []int{n - 2, n - 1})
		want(t, l, segment.Query{To: at(1)}, []int{0})
		want(t, l, segment.Query{From: at(5), To: at(5)}, nil)
	}
	t.Run("while it runs", func(t *testing.T) { check(t, r.Log) })
	if s := r.Stats(); s.Segments < 3 || s.Appended != n || s.DroppedBy != (segment.Drops{}) {
		t.Errorf("got %+v, want several segments and %d records", s, n)
	}
	r.stop()
	t.Run("after the stop", func(t *testing.T) { check(t, r.Log) })
	again := run(t, cfg)
	if d := again.Damage(); len(d) != 0 {
		t.Errorf("damage after a clean stop: %v", d)
	}
	t.Run("opened again", func(t *testing.T) { check(t, again.Log) })
	again.fill(n, n+10)
	want(t, again.Log, segment.Query{From: at(n - 3)}, sequence(n-3, n+10, 1))
}

func TestScanEndsWhenToldTo(t *testing.T) {
	r := run(t, keepAll(t.TempDir()))
	r.fill(0, 200)
	seen := 0
	if err := r.Scan(t.Context(), segment.Query{}, func(segment.Record) bool { seen++; return seen < 5 }); err != nil || seen != 5 {
		t.Errorf("got %d records and %v, want 5", seen, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Scan(ctx, segment.Query{}, func(segment.Record) bool { t.Error("fn called"); return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}

// Records that come late, as replayed ones do, are returned in the place of their time.
func TestLateRecordsInOrder(t *testing.T) {
	r := run(t, keepAll(t.TempDir()))
	for i := range 300 {
		j := (i * 7) % 300 // every number once, far out of order
		if err := r.Append(at(j), content(j), uint64(j%7), uint64(1000+j)); err != nil {
			t.Fatal(err)
		}
	}
	r.settle()
	want(t, r.Log, segment.Query{}, sequence(0, 300, 1))
	want(t, r.Log, segment.Query{Backward: true}, backward(sequence(0, 300, 1)))
	want(t, r.Log, segment.Query{Keys: []uint64{2}, From: at(100), To: at(120)}, []int{100, 107, 114})
}

func TestSameTimeKeepsTheOrderOfAppends(t *testing.T) {
	r := run(t, keepAll(t.TempDir()))
	for i := range 200 {
		if err := r.Append(start, content(i)); err != nil {
			t.Fatal(err)
		}
	}
	r.settle()
	for _, back := range []bool{false, true} {
		i := 0
		err := r.Scan(t.Context(), segment.Query{Backward: back}, func(rec segment.Record) bool {
			want := i
			if back {
				want = 199 - i
			}
			if string(rec.Data) != string(content(want)) {
				t.Fatalf("backward %v, place %d: got %.12q", back, i, rec.Data)
			}
			i++
			return true
		})
		if err != nil || i != 200 {
			t.Errorf("got %d, %v, want 200", i, err)
		}
	}
}

func TestPrune(t *testing.T) {
	t.Run("by size", func(t *testing.T) {
		cfg := keepAll(t.TempDir())
		cfg.MaxBytes = 40 << 10
		r := run(t, cfg)
		r.fill(0, 2000)
		s := r.Stats()
		if s.Pruned == 0 || s.Bytes > cfg.MaxBytes+cfg.SegmentBytes {
			t.Errorf("got %+v, want at most %d bytes", s, cfg.MaxBytes)
		}
		got, err := numbers(t, r.Log, segment.Query{})
		if err != nil || len(got) == 0 || !slices.Equal(got, sequence(got[0], 2000, 1)) {
			t.Errorf("got %d records and %v, want the youngest without a gap", len(got), err)
		}
		if files, _ := filepath.Glob(filepath.Join(cfg.Dir, "*")); len(files) != s.Segments {
			t.Errorf("got %d files for %d segments", len(files), s.Segments)
		}
	})
	t.Run("by age", func(t *testing.T) {
		cfg := keepAll(t.TempDir())
		r := run(t, cfg)
		r.fill(0, 300)
		r.stop()
		cfg.MaxAge = time.Since(at(200)) + time.Minute // Run prunes when it begins, within the minute
		again := run(t, cfg)
		again.settle()
		got, err := numbers(t, again.Log, segment.Query{})
		if err != nil || len(got) == 0 || got[0] == 0 || got[0] > 200 || got[len(got)-1] != 299 {
			t.Errorf("got %v, %v, want whole segments gone that end before 200", got, err)
		}
	})
}

func TestQueueFullIsCounted(t *testing.T) {
	cfg := keepAll(t.TempDir())
	cfg.QueueBytes = 1 << 10
	l, err := segment.Open(cfg, slog.New(slog.DiscardHandler)) // nobody writes
	if err != nil {
		t.Fatal(err)
	}
	var dropped uint64
	for i := range 50 {
		if err := l.Append(at(i), content(i)); errors.Is(err, segment.ErrDropped) {
			dropped++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if s := l.Stats(); dropped == 0 || s.DroppedBy.Queue != dropped || s.Appended != 50-dropped {
		t.Errorf("got %+v, want %d dropped", s, dropped)
	}
	if err := l.Append(start, make([]byte, segment.MaxRecord+1)); !errors.Is(err, segment.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if err := l.Append(start, nil, 1, 2, 3, 4); !errors.Is(err, segment.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

// A disk without room costs the blocks that find none, counted; the log goes on.
func TestDiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	cfg := keepAll(t.TempDir())
	if err := os.Symlink("/dev/full", filepath.Join(cfg.Dir, "0000000001.seg")); err != nil {
		t.Fatal(err)
	}
	r := run(t, cfg)
	r.fill(0, 500)
	s := r.Stats()
	got, err := numbers(t, r.Log, segment.Query{})
	if err != nil || s.DroppedBy.Disk == 0 || len(got)+int(s.DroppedBy.Disk) != 500 {
		t.Errorf("got %d records, %+v and %v, want the rest of 500 counted", len(got), s, err)
	}
}

// Readers see a whole sequence while the writer writes, seals and prunes.
func TestReadersBesideTheWriter(t *testing.T) {
	cfg := keepAll(t.TempDir())
	cfg.MaxBytes = 64 << 10
	cfg.FlushEvery = 2 * time.Millisecond
	r := run(t, cfg)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for k := range 3 {
		readers.Go(func() {
			for {
				got, err := numbers(t, r.Log, segment.Query{Backward: k == 0})
				if k == 0 {
					slices.Reverse(got)
				}
				if err != nil || len(got) > 0 && !slices.Equal(got, sequence(got[0], got[0]+len(got), 1)) {
					t.Errorf("got a gap in %d records, %v", len(got), err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := 0; i < 4000; i += 20 {
		r.fill(i, i+20)
	}
	close(done)
	readers.Wait()
	if r.Stats().Pruned == 0 {
		t.Error("nothing was pruned")
	}
}
