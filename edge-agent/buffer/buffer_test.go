package buffer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("BUFFER_TEST_CHILD"); path != "" {
		crashChild(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open opens the buffer and runs it; stop ends Run and closes the files.
func open(t testing.TB, cfg Config) (s *Stream, stop func()) {
	t.Helper()
	b, err := Open(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return b.streams[0], runBuffer(t, b)
}

func runBuffer(t testing.TB, b *Buffer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			wg.Wait()
			if err := b.Close(); err != nil && !errors.Is(err, errPower) {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func config(t testing.TB) Config {
	return Config{Dir: filepath.Join(t.TempDir(), "b"), Streams: []StreamConfig{{Name: "messages", Durability: Sync}}}
}

func put(t testing.TB, s *Stream, payloads ...string) {
	t.Helper()
	errs := make(chan error, len(payloads))
	for _, p := range payloads {
		s.Append(Record{Topic: "/p/d/upload", Payload: []byte(p), QoS: 1, Time: time.Now()}, func(err error) { errs <- err })
	}
	for range payloads {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

func payloads(t testing.TB, b *Stream) []string {
	t.Helper()
	recs, err := b.Read(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range recs {
		got = append(got, string(r.Payload))
	}
	return got
}

func TestOrderSurvivesReopening(t *testing.T) {
	cfg := config(t)
	b, stop := open(t, cfg)
	put(t, b, "a", "b", "c", "d")
	recs, err := b.Read(0, 2)
	if err != nil || len(recs) != 2 {
		t.Fatalf("Read = %d records, %v", len(recs), err)
	}
	last := recs[1].Seq
	b.Remove(recs[0].Seq)
	if got := strings.Join(payloads(t, b), ""); got != "bcd" {
		t.Fatalf("after Remove = %q, want bcd", got)
	}
	stop()

	b, stop = open(t, cfg)
	if got, want := b.Gaps(), 0; len(got) != want {
		t.Errorf("gaps %v", got)
	}
	if got := strings.Join(payloads(t, b), ""); got != "bcd" {
		t.Fatalf("after reopening = %q, want bcd", got)
	}
	if st := b.Stats(); st.Records != 3 {
		t.Errorf("Records = %d, want 3", st.Records)
	}
	all, _ := b.Read(last, 10)
	for _, r := range all {
		b.Remove(r.Seq)
	}
	b.Remove(last)
	stop()

	b, _ = open(t, cfg)
	put(t, b, "e")
	recs, _ = b.Read(0, 10)
	if len(recs) != 1 || recs[0].Seq <= all[len(all)-1].Seq {
		t.Errorf("a sequence number was reused: %v after %d", recs, all[len(all)-1].Seq)
	}
}

func TestRecordKeepsItsFields(t *testing.T) {
	b, _ := open(t, config(t))
	want := Record{Topic: "/p/d/a/b", Payload: []byte{0, 1, 255}, QoS: 1, Time: time.UnixMilli(1700000000123)}
	done := make(chan error, 1)
	b.Append(want, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	recs, err := b.Read(0, 1)
	if err != nil || len(recs) != 1 {
		t.Fatal(recs, err)
	}
	got := recs[0]
	if got.Topic != want.Topic || string(got.Payload) != string(want.Payload) || got.QoS != 1 || !got.Time.Equal(want.Time) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFullBufferDropsOldest(t *testing.T) {
	cfg := config(t)
	cfg.MaxBytes = 8000
	b, _ := open(t, cfg)
	for i := range 100 {
		put(t, b, fmt.Sprintf("%03d-%s", i, strings.Repeat("x", 60)))
	}
	st := b.Stats()
	got := payloads(t, b)
	if b.b.used > cfg.MaxBytes {
		t.Errorf("%d bytes of segments, above %d", b.b.used, cfg.MaxBytes)
	}
	if st.Dropped == 0 || int(st.Dropped)+len(got) != 100 {
		t.Errorf("dropped %d and kept %d of 100", st.Dropped, len(got))
	}
	if !strings.HasPrefix(got[len(got)-1], "099") {
		t.Errorf("the newest is %.3s, want 099", got[len(got)-1])
	}
	want := Gap{"messages", b.epoch, 1, uint64(st.Dropped), Quota, st.Dropped * 75}
	if gaps := b.Gaps(); len(gaps) != 1 || gaps[0] != want {
		t.Errorf("gaps %+v, want %+v", gaps, want)
	}
	b.Reported(want)
	if gaps := b.Gaps(); len(gaps) != 0 {
		t.Errorf("gaps after the report: %+v", gaps)
	}
}

func TestRefusals(t *testing.T) {
	cfg := config(t)
	cfg.MaxBytes = 600
	b, stop := open(t, cfg)
	check := func(r Record, want error) {
		t.Helper()
		var got error
		b.Append(r, func(err error) { got = err })
		if got == nil || want != nil && !errors.Is(got, want) {
			t.Errorf("Append = %v, want %v", got, want)
		}
	}
	check(Record{Topic: "/p/d/x", Payload: make([]byte, 600)}, ErrTooLarge)
	check(Record{Topic: ""}, nil)
	check(Record{Topic: "/p/d/x", QoS: 2}, nil)
	if _, err := Open(cfg, quiet()); !errors.Is(err, ErrInUse) {
		t.Errorf("second Open = %v, want ErrInUse", err)
	}
	stop()
	check(Record{Topic: "/p/d/x"}, ErrClosed)
	if _, err := b.Read(0, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("Read after Close = %v, want ErrClosed", err)
	}
}

func TestChangedWakesReader(t *testing.T) {
	b, _ := open(t, config(t))
	ch := b.Changed()
	put(t, b, "a")
	select {
	case <-ch:
	case <-time.After(time.Minute):
		t.Fatal("Changed was not closed by an append")
	}
}

func TestStopCommitsWhatWasTaken(t *testing.T) {
	cfg := config(t)
	cfg.Streams[0].Durability, cfg.Streams[0].CommitEvery = Group, time.Hour
	b, stop := open(t, cfg)
	errs := make(chan error, 100)
	for i := range 100 {
		b.Append(Record{Topic: "/p/d/x", Payload: []byte{byte(i)}}, func(err error) { errs <- err })
	}
	stop()
	for range 100 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	b, _ = open(t, cfg)
	if got := len(payloads(t, b)); got != 100 {
		t.Errorf("%d records after the stop, want 100", got)
	}
}

func TestConcurrentAppendAndRemove(t *testing.T) {
	b, _ := open(t, config(t))
	const senders, each = 8, 50
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				done := make(chan error, 1)
				b.Append(Record{Topic: "/p/d/x", Payload: fmt.Appendf(nil, "%d %d", s, i)}, func(err error) { done <- err })
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := make([]int, senders)
	var after uint64
	for seen := 0; seen < senders*each; {
		changed := b.Changed()
		recs, err := b.Read(after, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			var s, i int
			fmt.Sscanf(string(r.Payload), "%d %d", &s, &i)
			if i != next[s] {
				t.Fatalf("sender %d: record %d came when %d was due", s, i, next[s])
			}
			next[s]++
			after = r.Seq
			b.Remove(r.Seq)
			seen++
		}
		if len(recs) == 0 {
			<-changed
		}
	}
	wg.Wait()
}

func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			cfg := config(b)
			cfg.MaxBytes = 1 << 30
			buf, _ := open(b, cfg)
			payload := make([]byte, 200)
			b.ReportAllocs()
			var wg sync.WaitGroup
			for i := range b.N {
				wg.Add(1)
				buf.Append(Record{Topic: "/p/d/upload", Payload: payload, QoS: 1}, func(error) { wg.Done() })
				if i%batch == batch-1 {
					wg.Wait()
				}
			}
			wg.Wait()
			b.ReportMetric(float64(buf.Stats().Commits)/float64(b.N), "commits/op")
		})
	}
}
