package buffer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// roomy is more than children can fill, however late they are killed: their numbers come by a pipe that holds no more of them.
const roomy = 64 << 20

// crashChild appends numbered records for ever and prints the number of each
// that became durable; the test kills it.
func crashChild(path string) {
	first, _ := strconv.Atoi(os.Getenv("BUFFER_TEST_FIRST"))
	b, err := Open(Config{Dir: path, MaxBytes: roomy, SegmentBytes: 16 << 10, Streams: []StreamConfig{{Name: "messages", CommitEvery: time.Millisecond}}}, quiet())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { _ = b.Run(context.Background()) }()
	for i := first; ; i++ {
		b.streams[0].Append(Record{Topic: "/p/d/x", Payload: strconv.AppendInt(nil, int64(i), 10), QoS: 1}, func(err error) {
			if err == nil {
				os.Stdout.WriteString(strconv.Itoa(i) + "\n")
			}
		})
	}
}

// runAndKill starts the child, lets n records become durable, kills it with
// SIGKILL and returns the last number that it had reported.
func runAndKill(t *testing.T, path string, first, n int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BUFFER_TEST_CHILD="+path, "BUFFER_TEST_FIRST="+strconv.Itoa(first))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := -1
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		v, err := strconv.Atoi(sc.Text())
		if err != nil {
			break // the line that the kill cut
		}
		last = v
		if v-first == n {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	if last < first+n {
		t.Fatalf("the child ended after %d, want at least %d", last, first+n)
	}
	return last
}

func TestKilledProcessLosesNothingDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	next := 0
	for round := range 5 {
		last := runAndKill(t, path, next, 300+137*round)
		b, stop := open(t, Config{Dir: path, MaxBytes: roomy, SegmentBytes: 16 << 10})
		got := payloads(t, b)
		if g := b.Gaps(); len(g) != 0 {
			t.Fatalf("round %d: gaps %v", round, g)
		}
		for i, p := range got {
			if p != strconv.Itoa(i) {
				t.Fatalf("round %d: record %d holds %q", round, i, p)
			}
		}
		if len(got) <= last {
			t.Fatalf("round %d: %d was acknowledged, but only %d records are there", round, last, len(got))
		}
		next = len(got)
		stop()
	}
}

// TestPowerCutAtEveryWrite cuts the power in each write, sync and change of a folder. What was acknowledged is there afterwards, in order and once,
// unless the hub has it; and no loss is reported that is none.
func TestPowerCutAtEveryWrite(t *testing.T) {
	total := 0
	for cut := 1; ; cut++ {
		d := newMemDisk()
		d.cutAt = cut
		acked, removed := cutRun(t, d, 0, 150)
		if d.ops < cut {
			break // it came to its end
		}
		total++
		rng := rand.New(rand.NewPCG(uint64(cut), 1))
		// The power goes a second time, while the log is brought in order.
		again := d.restart(rng)
		again.cutAt = 1 + rng.IntN(6)
		more, gone := cutRun(t, again, 1000, 20)
		acked, removed = append(acked, more...), append(removed, gone...)
		last := again.restart(rng)
		checkCut(t, cut, last, acked, removed)
		if t.Failed() {
			return
		}
	}
	if total < 150 {
		t.Errorf("only %d cuts", total)
	}
}

// TestPowerCutInAFullBuffer is the same while old segments are dropped for new ones: what is lost was reported as dropped, and nothing else.
func TestPowerCutInAFullBuffer(t *testing.T) {
	for cut := 1; ; cut++ {
		d := newMemDisk()
		d.cutAt = cut
		b, err := openOn(d, smallConfig(), quiet(), time.Now)
		acked := 0
		if err == nil {
			for i := 0; i < 200 && err == nil; i++ {
				b.streams[0].commit([]entry{{numbered(i), func(e error) { err = e }}})
				if err == nil {
					acked++
				}
			}
			_ = b.Close()
		}
		if d.ops < cut {
			if cut < 300 {
				t.Errorf("only %d cuts", cut)
			}
			return
		}
		b, err = openOn(d.restart(rand.New(rand.NewPCG(uint64(cut), 4))), smallConfig(), quiet(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		s := b.streams[0]
		got := numbers(t, s)
		first := 0
		for _, g := range s.Gaps() {
			if g.Reason != Quota || g.From != 1 {
				t.Fatalf("cut %d: gap %+v", cut, g)
			}
			first = int(g.To)
		}
		for i, n := range got {
			if n != fmt.Sprintf("%04d", first+i) {
				t.Fatalf("cut %d: behind %d dropped ones come %v", cut, first, got)
			}
		}
		if len(got)+first < acked || b.used > b.cfg.MaxBytes {
			t.Fatalf("cut %d: %d records behind %d dropped ones, and %d were acknowledged; %d bytes", cut, len(got), first, acked, b.used)
		}
		_ = b.Close()
	}
}

func smallConfig() Config {
	c := memConfig()
	c.MaxBytes = 6 << 10
	return c
}

func memConfig() Config {
	return Config{Dir: "/b", MaxBytes: 64 << 10, SegmentBytes: 1024, Streams: []StreamConfig{{Name: "messages", Durability: Sync}}}
}

// cutRun appends n numbered records from first until the power goes, in commits of one to four, and acknowledges three quarters of them.
func cutRun(t *testing.T, d *memDisk, first, n int) (acked []int, removed []string) {
	b, err := openOn(d, memConfig(), quiet(), time.Now)
	if err != nil {
		if !errors.Is(err, errPower) {
			t.Fatal(err)
		}
		return nil, nil
	}
	s := b.streams[0]
	for i := 0; i < n; {
		var batch []entry
		for range 1 + i%4 {
			number := first + i
			batch = append(batch, entry{numbered(number), func(err error) {
				if err == nil {
					acked = append(acked, number)
				} else if !errors.Is(err, ErrUnavailable) {
					t.Errorf("append: %v", err)
				}
			}})
			i++
		}
		s.commit(batch)
		if i%3 == 0 {
			recs, _ := s.Read(0, 6)
			for k, r := range recs {
				if k%4 != 1 { // one that the hub refuses stays
					s.Remove(r.Seq)
					removed = append(removed, string(r.Payload[:4]))
				}
			}
			s.b.mu.Lock()
			_ = s.persistLocked()
			s.b.mu.Unlock()
			s.sweep() // acked_retain is 0: it frees segments
		}
	}
	_ = b.Close()
	return acked, removed
}

func numbered(n int) Record {
	return Record{Topic: "/p/d/x", Payload: fmt.Appendf(nil, "%04d%s", n, strings.Repeat("x", 20+n%90)), QoS: 1, Time: time.UnixMilli(1e12 + int64(n))}
}

func checkCut(t *testing.T, cut int, d *memDisk, acked []int, removed []string) {
	t.Helper()
	b, err := openOn(d, memConfig(), quiet(), time.Now)
	if err != nil {
		t.Fatalf("cut %d: open: %v", cut, err)
	}
	defer b.Close()
	s := b.streams[0]
	recs, err := s.Read(0, 1000)
	if err != nil {
		t.Fatalf("cut %d: %v", cut, err)
	}
	var got []string
	for _, r := range recs {
		n, _ := strconv.Atoi(string(r.Payload[:4]))
		if want := numbered(n); string(r.Payload) != string(want.Payload) || !r.Time.Equal(want.Time) {
			t.Fatalf("cut %d: record %d reads %q of %v", cut, r.Seq, r.Payload, r.Time)
		}
		got = append(got, string(r.Payload[:4]))
	}
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Fatalf("cut %d: out of order or twice: %v", cut, got)
	}
	for _, n := range acked {
		if id := fmt.Sprintf("%04d", n); !slices.Contains(got, id) && !slices.Contains(removed, id) {
			t.Fatalf("cut %d: %s was acknowledged and is lost; there are %v", cut, id, got)
		}
	}
	// What is reported lost was never acknowledged to anybody: the torn middle of a commit whose end was written.
	for _, g := range s.Gaps() {
		if g.Reason != Corrupt || g.To-g.From > 3 {
			t.Fatalf("cut %d: gap %+v", cut, g)
		}
	}
	if b.used > b.cfg.MaxBytes {
		t.Fatalf("cut %d: %d bytes", cut, b.used)
	}
}
