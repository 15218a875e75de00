package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/script/pool"
	"github.com/hawser-iot/hawser/cloud/script/wire"
	"github.com/hawser-iot/hawser/cloud/script/worker"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "script-worker" {
		os.Exit(worker.Main(os.Stdin, os.Stdout, os.Exit))
	}
	leak.VerifyTestMain(m)
}

func config() pool.Config {
	c := pool.DefaultConfig()
	c.Command = []string{os.Args[0], "script-worker"}
	c.Workers = 2
	c.Wall = 20 * time.Second // the machine may be busy
	return c
}

// run starts a pool that ends with the test.
func run(t testing.TB, c pool.Config) *pool.Pool {
	t.Helper()
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	p := pool.New(c, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level})), nil)
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
	return p
}

func script(product string, source string) *pool.Script {
	return &pool.Script{Key: pool.Key{Product: product, Revision: 1}, Source: source}
}

type end struct {
	r   wire.Result
	err error
}

// submit begins a call.
func submit(p *pool.Pool, s *pool.Script, payload string) <-chan end {
	c := make(chan end, 1)
	p.Submit(context.Background(), &pool.Call{Script: s, Function: wire.Up, Topic: "/p/d/upload", Payload: []byte(payload),
		Done: func(r wire.Result, err error) { c <- end{r, err} }})
	return c
}

func call(p *pool.Pool, s *pool.Script, payload string) (wire.Result, error) {
	e := <-submit(p, s, payload)
	return e.r, e.err
}

const echo = "function rawDataToJSON(topic, raw) { return {n: raw.length, first: raw[0]} }"

// hostile are scripts that cross a bound, each in its own way.
var hostile = map[string]string{
	"loop":    "function rawDataToJSON() { for (var i = 0;;) i++ }",
	"top":     "for (;;) {}",
	"catch":   "function rawDataToJSON() { for (;;) { try { for (;;) {} } catch (e) {} } }",
	"regexp":  `function rawDataToJSON() { return {a: /^(a+)+\1$/.test('a'.repeat(40) + 'b')} }`,
	"repeat":  "function rawDataToJSON() { return {a: 'x'.repeat(2**30)} }",
	"grow":    "function rawDataToJSON() { var a = []; for (;;) a.push(new ArrayBuffer(1 << 20)) }",
	"recurse": "function rawDataToJSON() { return rawDataToJSON() }",
	"getter":  "function rawDataToJSON() { return {get a() { for (;;) {} }} }",
	"proxy":   "function rawDataToJSON() { return new Proxy({}, {ownKeys() { for (;;) {} }}) }",
	"laughs":  "function rawDataToJSON() { var a = {}; for (var i = 0; i < 40; i++) a = {a: a, b: a}; return a }",
	"huge":    "function rawDataToJSON() { return new Array(1e9).fill(0).map(function() { return {} }) }",
}

func TestResults(t *testing.T) {
	p := run(t, config())
	s := script("good", echo)
	var all []<-chan end
	for i := range 500 {
		all = append(all, submit(p, s, string(rune('a'+i%26))))
	}
	for i, c := range all {
		e := <-c
		if want := fmt.Sprintf(`{"n":1,"first":%d}`, 'a'+i%26); e.err != nil || string(e.r.Body) != want {
			t.Fatalf("call %d: %q, %v %+v, want %s", i, e.r.Body, e.err, e.r, want)
		}
	}
	r, err := call(p, script("thrower", "\nfunction rawDataToJSON() { throw new Error('no') }"), "")
	if err != nil || r.Status != wire.Thrown || r.Line != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestHostile: each hostile script gets its word, its product is paused, and a good product's calls all end well beside them.
func TestHostile(t *testing.T) {
	p := run(t, config())
	good := script("good", echo)
	for range 10 { // it proves itself
		if _, err := call(p, good, "x"); err != nil {
			t.Fatal(err)
		}
	}
	quiet := latencies(t, p, good, 500*time.Millisecond, nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var crossed, paused, seen atomic.Int64
	for name, source := range hostile {
		s := script(name, source)
		wg.Go(func() {
			once := sync.OnceFunc(func() { seen.Add(1) })
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				r, err := call(p, s, "x")
				switch {
				case errors.Is(err, pool.ErrPaused):
					paused.Add(1)
					time.Sleep(5 * time.Millisecond) // the device's own pace
				case err != nil:
					t.Errorf("%s: %v", name, err)
				case r.Status == wire.Timeout, r.Status == wire.Memory, r.Status == wire.Recursion, r.Status == pool.Crashed:
					crossed.Add(1)
					once()
				default:
					t.Errorf("%s: %+v", name, r)
				}
			}
		})
	}
	beside := latencies(t, p, good, 2*time.Second, nil)
	for deadline := time.Now().Add(time.Minute); (seen.Load() < int64(len(hostile)) || paused.Load() == 0) && time.Now().Before(deadline); {
		beside = append(beside, latencies(t, p, good, 100*time.Millisecond, nil)...)
	}
	slices.Sort(beside)
	close(stop)
	wg.Wait()
	if seen.Load() < int64(len(hostile)) {
		t.Errorf("%d of %d have crossed a bound", seen.Load(), len(hostile))
	}
	if paused.Load() == 0 || crossed.Load() < int64(len(hostile)) {
		t.Errorf("%d crossed a bound, %d were paused", crossed.Load(), paused.Load())
	}
	t.Logf("alone: %d calls, p50 %v, p99 %v; beside %d hostile ones: %d calls, p50 %v, p99 %v, max %v; %d crossed a bound, %d paused",
		len(quiet), at(quiet, 50), at(quiet, 99), len(hostile), len(beside), at(beside, 50), at(beside, 99), beside[len(beside)-1], crossed.Load(), paused.Load())
	// On a busy machine it says nothing of the pool.
	if slow := at(beside, 99); os.Getenv("HAWSER_TEST_LONG") != "" && slow > 40*time.Millisecond+20*at(quiet, 99) {
		t.Errorf("the good product's p99 is %v, %v alone", slow, at(quiet, 99))
	}
}

// latencies calls s over and over, for a while, and returns how long that took each time, sorted.
func latencies(t *testing.T, p *pool.Pool, s *pool.Script, d time.Duration, each func()) []time.Duration {
	t.Helper()
	var all []time.Duration
	for began := time.Now(); time.Since(began) < d; {
		at := time.Now()
		r, err := call(p, s, "x")
		if err != nil || string(r.Body) != `{"n":1,"first":120}` {
			t.Fatalf("%+v, %v", r, err)
		}
		all = append(all, time.Since(at))
		time.Sleep(time.Millisecond)
		if each != nil {
			each()
		}
	}
	slices.Sort(all)
	return all
}

func at(sorted []time.Duration, percent int) time.Duration { return sorted[len(sorted)*percent/100] }

// TestPauseAndNewRevision: a paused product is let in again with another revision of its script.
func TestPauseAndNewRevision(t *testing.T) {
	c := config()
	c.PauseMin = time.Hour
	c.PauseMax = time.Hour
	p := run(t, c)
	bad := script("p", hostile["loop"])
	for n := range c.Failures {
		if r, err := call(p, bad, ""); err != nil || r.Status != wire.Timeout || r.Line != 1 {
			t.Fatalf("call %d: %+v, %v", n, r, err)
		}
	}
	if _, err := call(p, bad, ""); !errors.Is(err, pool.ErrPaused) {
		t.Fatalf("not paused: %v", err)
	}
	fixed := &pool.Script{Key: pool.Key{Product: "p", Revision: 2}, Source: echo}
	if r, err := call(p, fixed, "x"); err != nil || r.Status != wire.OK {
		t.Errorf("a new revision: %+v, %v", r, err)
	}
	if r, err := call(p, p.Draft("p", hostile["loop"]), ""); err != nil || r.Status != wire.Timeout {
		t.Errorf("a draft: %+v, %v", r, err)
	}
	if r, err := call(p, fixed, "x"); err != nil || r.Status != wire.OK {
		t.Errorf("after a draft's timeout: %+v, %v", r, err)
	}
}

// TestBackPressure: who submits waits when its product has enough calls waiting, and nobody else does.
func TestBackPressure(t *testing.T) {
	c := config()
	c.PerKey, c.Failures = 4, 1000
	p := run(t, c)
	bad := script("bad", hostile["loop"])
	var waiting atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			waiting.Add(1)
			c := submit(p, bad, "")
			waiting.Add(-1)
			<-c
		})
	}
	good := script("good", echo)
	most := int64(0)
	for range 20 {
		most = max(most, waiting.Load())
		if r, err := call(p, good, "x"); err != nil || r.Status != wire.OK {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if most == 0 {
		t.Error("nobody waited")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 10 { // more than fit: the last ones do not wait longer than their context
		done := make(chan error, 1)
		p.Submit(ctx, &pool.Call{Script: bad, Function: wire.Up, Done: func(_ wire.Result, err error) { done <- err }})
		if err := <-done; err != nil && !errors.Is(err, pool.ErrStopped) {
			t.Errorf("%v", err)
		}
	}
	wg.Wait()
}

// children are the processes of this one.
func children(t testing.TB) []int {
	t.Helper()
	out, err := exec.Command("ps", "--ppid", strconv.Itoa(os.Getpid()), "-o", "pid=,args=").Output()
	if err != nil {
		return nil
	}
	var pids []int
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); strings.Contains(line, "script-worker") {
			if pid, err := strconv.Atoi(f[0]); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// TestKilledWorkers: who kills workers loses no call.
func TestKilledWorkers(t *testing.T) {
	p := run(t, config())
	s := script("good", echo)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var calls atomic.Int64
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var batch []<-chan end
				for range 20 {
					batch = append(batch, submit(p, s, "x"))
				}
				for _, c := range batch {
					if e := <-c; e.err != nil || string(e.r.Body) != `{"n":1,"first":120}` {
						t.Errorf("%+v, %v", e.r, e.err)
					}
					calls.Add(1)
				}
			}
		})
	}
	kills := 0
	for round := 0; round < 10 || kills < 10; round++ {
		before := calls.Load() // a worker that is killed before it has come up is another thing
		harness.Eventually(t, time.Minute, "calls go on", func() bool { return calls.Load() >= before+20 })
		for _, pid := range children(t) {
			if process, err := os.FindProcess(pid); err == nil && process.Kill() == nil {
				kills++
			}
		}
	}
	close(stop)
	wg.Wait()
	t.Logf("%d kills, %d calls", kills, calls.Load())
}

// TestOldWorkers: a worker is replaced when it has run for long enough, and no call notices.
func TestOldWorkers(t *testing.T) {
	c := config()
	c.MaxLife = time.Millisecond
	c.CPU = 5 * time.Second // the race detector makes the loop a slow one
	p := run(t, c)
	s := script("good", "function rawDataToJSON(t, r) { for (var i = 0; i < 5e4; i++); return {n: r.length} }")
	before := map[int]bool{}
	for n := 0; n < 6 || len(before) < 3 && n < 1000; n++ {
		if r, err := call(p, s, "x"); err != nil || r.Status != wire.OK {
			t.Fatalf("%+v, %v", r, err)
		}
		for _, pid := range children(t) {
			before[pid] = true
		}
	}
	if len(before) < 3 { // two are there from the beginning
		t.Errorf("only %d workers were seen", len(before))
	}
}

// TestDeaths: who is guilty of a worker's death, and what becomes of the others.
func TestDeaths(t *testing.T) {
	p := run(t, config())
	good, bad := script("good", echo), script("bad", "function rawDataToJSON(t, r) { return {n: r.length, first: r[0], a: r[0] ? 0 : 'x'.repeat(2**30)} }")
	for range 10 { // both prove themselves, and may run beside others
		for _, s := range []*pool.Script{good, bad} {
			if r, err := call(p, s, "x"); err != nil || r.Status != wire.OK {
				t.Fatalf("%+v, %v", r, err)
			}
		}
	}
	var innocent, guilty []<-chan end
	for i := range 200 {
		innocent = append(innocent, submit(p, good, "x"))
		if i == 100 {
			guilty = append(guilty, submit(p, bad, "\x00"))
		}
	}
	for _, c := range innocent {
		if e := <-c; e.err != nil || e.r.Status != wire.OK {
			t.Errorf("an innocent one: %+v, %v", e.r, e.err)
		}
	}
	for _, c := range guilty {
		if e := <-c; e.err != nil || e.r.Status != wire.Memory && e.r.Status != pool.Crashed { // with the race detector it has other words
			t.Errorf("the guilty one: %+v, %v", e.r, e.err)
		}
	}
}

// TestStop: what waits when the pool ends is told so.
func TestStop(t *testing.T) {
	c := config()
	c.Failures = 1000
	p := pool.New(c, slog.New(slog.DiscardHandler), nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	s := script("bad", hostile["loop"])
	var all []<-chan end
	for range 50 {
		all = append(all, submit(p, s, ""))
	}
	<-all[0]
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	stopped := 0
	for _, c := range all[1:] {
		if e := <-c; errors.Is(e.err, pool.ErrStopped) {
			stopped++
		}
	}
	if stopped == 0 {
		t.Error("all of them ran")
	}
	if _, err := call(p, s, ""); !errors.Is(err, pool.ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}

// TestNoWorkers: while no worker comes up, calls are told so.
func TestNoWorkers(t *testing.T) {
	c := config()
	c.Command = []string{"/bin/false"}
	p := pool.New(c, slog.New(slog.DiscardHandler), nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for range 3 {
		if _, err := call(p, script("p", echo), ""); !errors.Is(err, pool.ErrStopped) {
			t.Errorf("%v", err)
		}
	}
	cancel()
	<-ended
}

// TestManyProducts: 2,000 products (10,000 with HAWSER_TEST_LONG) with a script each take turns, and none of them costs lasting memory.
func TestManyProducts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	many := 2_000
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		many = 10_000
	}
	p := run(t, config())
	good := script("good", echo)
	for range 10 {
		_, _ = call(p, good, "x")
	}
	var wg sync.WaitGroup
	products := make(chan int)
	for range 16 {
		wg.Go(func() {
			for i := range products {
				s := script(fmt.Sprint("product", i), fmt.Sprintf("var table = []; for (var i = 0; i < 64; i++) table.push(i * %d);\n%s", i, echo))
				if r, err := call(p, s, "x"); err != nil || r.Status != wire.OK {
					t.Errorf("product %d: %+v, %v", i, r, err)
				}
			}
		})
	}
	stop := make(chan struct{})
	go func() {
		for i := range many {
			products <- i
		}
		close(products)
		wg.Wait()
		close(stop)
	}()
	var all []time.Duration
	began := time.Now()
	for running := true; running; {
		select {
		case <-stop:
			running = false
		default:
			at := time.Now()
			if r, err := call(p, good, "x"); err != nil || r.Status != wire.OK {
				t.Fatalf("%+v, %v", r, err)
			}
			all = append(all, time.Since(at))
			time.Sleep(time.Millisecond)
		}
	}
	slices.Sort(all)
	t.Logf("%d products in %v; beside them p50 %v, p99 %v; workers take %v", many, time.Since(began), at(all, 50), at(all, 99), memory(t))
	for _, kib := range memory(t) {
		if kib > 200<<10 {
			t.Errorf("a worker takes %d KiB", kib)
		}
	}
}

// memory is what the workers take, in KiB.
func memory(t *testing.T) (kib []int) {
	t.Helper()
	for _, pid := range children(t) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), "VmRSS:")
		if n, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
			kib = append(kib, n)
		}
	}
	return kib
}

// BenchmarkPool is what a call costs, in both processes.
func BenchmarkPool(b *testing.B) {
	for _, at := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d_at_once", at), func(b *testing.B) {
			p := run(b, config())
			s := script("good", echo)
			for range 10 {
				_, _ = call(p, s, "x")
			}
			before, hub := ticks(b), self(b)
			room := make(chan struct{}, at)
			done := func(wire.Result, error) { <-room }
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				room <- struct{}{}
				p.Submit(b.Context(), &pool.Call{Script: s, Function: wire.Up, Topic: "/p/d/upload", Payload: []byte("\x01\x03\x04\x00\xc8\x01\x90\x7a\x0f"), Done: done})
				n++
			}
			for range at {
				room <- struct{}{}
			}
			b.ReportMetric(float64(self(b)-hub)/float64(time.Microsecond)/float64(n), "µs-hub/op")
			b.ReportMetric(float64(ticks(b)-before)/float64(time.Microsecond)/float64(n), "µs-workers/op")
		})
	}
}

// stat is the processor time in a stat file of /proc.
func stat(b *testing.B, pid string) time.Duration {
	line, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(line), ") ")
	f := strings.Fields(rest)
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

func self(b *testing.B) time.Duration { return stat(b, "self") }

// ticks is the processor time of the workers.
func ticks(b *testing.B) (d time.Duration) {
	for _, pid := range children(b) {
		d += stat(b, strconv.Itoa(pid))
	}
	return d
}
