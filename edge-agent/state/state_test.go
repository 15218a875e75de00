package state

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("STATE_TEST_CHILD"); path != "" {
		child(path)
		return
	}
	os.Exit(m.Run())
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func want(t testing.TB, b *Bucket, key, value string) {
	t.Helper()
	if got := string(b.Get(key)); got != value {
		t.Errorf("%s is %q, want %q", key, got, value)
	}
}

func TestPut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	if _, err := Open(path, quiet()); !errors.Is(err, ErrInUse) {
		t.Errorf("a second Open: %v, want ErrInUse", err)
	}
	b, other := s.Bucket("a"), s.Bucket("b")
	want(t, b, "k", "")
	b.Put("k", []byte("1"))
	want(t, b, "k", "1")
	want(t, other, "k", "")
	if err := b.PutNow("l", []byte("2")); err != nil {
		t.Fatal(err)
	}
	b.Put("k", nil)
	want(t, b, "k", "")
	b.Put("m", []byte{})
	if got := fmt.Sprint(b.Keys(), other.Keys()); got != "[l m] []" {
		t.Errorf("keys %s", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.PutNow("n", []byte("3")); !errors.Is(err, ErrClosed) {
		t.Errorf("PutNow after Close: %v", err)
	}
	s = open(t, path)
	want(t, s.Bucket("a"), "l", "2")
	if got := fmt.Sprint(s.Bucket("a").Keys()); got != "[l m]" {
		t.Errorf("keys %s after a restart", got)
	}
}

// TestRun: what Put takes is written by and by, in one transaction, and the rest at the end.
func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	s.every = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	b := s.Bucket("a")
	pages := func() int64 {
		stats := s.db.Stats()
		return stats.TxStats.GetWrite()
	}
	writes := pages()
	for i := range 100 {
		b.Put(strconv.Itoa(i%10), []byte(strconv.Itoa(i)))
	}
	waiting := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.pending)+len(s.going) > 0
	}
	for deadline := time.Now().Add(time.Minute); waiting(); {
		if time.Now().After(deadline) {
			t.Fatal("nothing was written")
		}
		time.Sleep(time.Millisecond)
	}
	if n := pages() - writes; n > 60 {
		t.Errorf("%d writes of pages for 100 changes", n)
	}
	b.Put("last", []byte("x"))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	want(t, s.Bucket("a"), "last", "x")
	want(t, s.Bucket("a"), "9", "99")
}

func TestCompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	b := s.Bucket("a")
	for i := range 200 {
		b.Put(strconv.Itoa(i), make([]byte, 8<<10))
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range 199 {
		b.Put(strconv.Itoa(i), nil)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := size(t, path)
	s = open(t, path)
	if after := size(t, path); before < 1<<20 || after > small {
		t.Errorf("%d bytes became %d", before, after)
	}
	if got := len(s.Bucket("a").Get("199")); got != 8<<10 {
		t.Errorf("what lived has %d bytes", got)
	}
}

func size(t testing.TB, path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestDamage: whatever is in the file, the store opens and works; a file that can't be read is set aside.
func TestDamage(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.db")
	s := open(t, good)
	for i := range 50 {
		s.Bucket("a").Put(strconv.Itoa(i), []byte(strings.Repeat("v", i*20)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		b := append([]byte{}, whole...)
		switch i % 6 {
		case 0:
			b = b[:rnd.IntN(len(b))]
		case 1:
			clear(b[rnd.IntN(len(b)):])
		case 2:
			for range 40 {
				b[rnd.IntN(len(b))] ^= byte(1 + rnd.IntN(255))
			}
		case 3:
			clear(b[:8192]) // both meta pages
		case 4:
			at := rnd.IntN(len(b)/4096) * 4096
			for j := range b[at : at+4096] {
				b[at+j] = byte(rnd.IntN(256))
			}
		case 5:
			b[rnd.IntN(64)+4096*rnd.IntN(len(b)/4096)] ^= 1 << rnd.IntN(8)
		}
		path := filepath.Join(t.TempDir(), "state.db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		_, aside := os.Stat(path + ".damaged")
		if aside == nil && len(s.Bucket("a").Keys()) != 0 {
			t.Errorf("case %d: a new file holds something", i)
		}
		s.Bucket("a").Get("7")
		if err := s.Bucket("a").PutNow("new", []byte("x")); err != nil {
			t.Errorf("case %d: %v", i, err)
		}
		want(t, s.Bucket("a"), "new", "x")
		if err := s.Close(); err != nil {
			t.Errorf("case %d: %v", i, err)
		}
	}
}

// child counts up in two keys at once and says so after each.
func child(path string) {
	s, err := Open(path, quiet())
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	n, _ := strconv.Atoi(string(s.Bucket("a").Get("n")))
	for {
		n++
		s.Bucket("b").Put("n", []byte(strconv.Itoa(n)))
		if err := s.Bucket("a").PutNow("n", []byte(strconv.Itoa(n))); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

// TestKill: a process that is killed at any moment has kept what PutNow returned for, and both keys of one transaction.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	last := 0
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STATE_TEST_CHILD="+path)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for i := 0; i <= round*3 && lines.Scan(); i++ {
			n, err := strconv.Atoi(lines.Text())
			if err != nil || n <= last {
				t.Fatalf("after %d the child says %q", last, lines.Text())
			}
			last = n
		}
		_ = cmd.Process.Kill()
		rest, _ := io.ReadAll(out)
		_ = cmd.Wait()
		for _, line := range strings.Fields(string(rest)) {
			if n, err := strconv.Atoi(line); err == nil {
				last = max(last, n)
			}
		}
		s := open(t, path)
		a, _ := strconv.Atoi(string(s.Bucket("a").Get("n")))
		b, _ := strconv.Atoi(string(s.Bucket("b").Get("n")))
		if a < last || a != b {
			t.Errorf("%d was kept, there are %d and %d", last, a, b)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		last = max(last, a)
	}
}

// FuzzVerify: what verify lets pass does not end bbolt.
func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "state.db")
	s := open(f, path)
	for i := range 30 {
		s.Bucket(strconv.Itoa(i%3)).Put(strconv.Itoa(i), []byte(strings.Repeat("v", i*9)))
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(8), []byte{1})
	f.Add(uint32(3*4096+8), []byte{2})
	f.Fuzz(func(t *testing.T, at uint32, b []byte) {
		damaged := append([]byte{}, whole...)
		copy(damaged[int(at)%len(damaged):], b)
		path := filepath.Join(t.TempDir(), "state.db")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		for _, k := range s.Bucket("1").Keys() {
			s.Bucket("1").Get(k)
		}
		s.Bucket("1").Put("x", []byte("y"))
	})
}
