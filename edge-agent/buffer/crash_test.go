package buffer

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// crashChild appends numbered records for ever and prints the number of each
// that became durable; the test kills it.
func crashChild(path string) {
	first, _ := strconv.Atoi(os.Getenv("BUFFER_TEST_FIRST"))
	b, err := Open(Config{Path: path, CommitEvery: time.Millisecond}, quiet())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { _ = b.Run(context.Background()) }()
	for i := first; ; i++ {
		b.Append(Record{Topic: "/p/d/x", Payload: strconv.AppendInt(nil, int64(i), 10), QoS: 1}, func(err error) {
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
	path := filepath.Join(t.TempDir(), "up.db")
	next := 0
	for round := range 5 {
		last := runAndKill(t, path, next, 300+137*round)
		b, stop := open(t, Config{Path: path})
		got := payloads(t, b)
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

func TestDamagedFileIsSetAside(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, path string)
	}{
		{"empty file", func(t *testing.T, p string) { write(t, p, nil) }},
		{"not a database", func(t *testing.T, p string) { write(t, p, []byte(strings.Repeat("nonsense", 4096))) }},
		{"truncated", func(t *testing.T, p string) {
			if err := os.Truncate(p, 8192+100); err != nil {
				t.Fatal(err)
			}
		}},
		{"pages zeroed", func(t *testing.T, p string) {
			f, err := os.OpenFile(p, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			st, _ := f.Stat()
			if _, err := f.WriteAt(make([]byte, st.Size()-2*4096), 2*4096); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(t)
			b, stop := open(t, cfg)
			for i := range 50 {
				put(t, b, fmt.Sprint(i))
			}
			stop()
			tt.damage(t, cfg.Path)
			b, _ = open(t, cfg)
			if got := payloads(t, b); len(got) != 0 {
				t.Errorf("%d records from a damaged file", len(got))
			}
			put(t, b, "new")
			if got := payloads(t, b); len(got) != 1 {
				t.Errorf("the new file holds %d records, want 1", len(got))
			}
			if _, err := os.Stat(cfg.Path + ".damaged"); err != nil && tt.name != "empty file" {
				t.Errorf("the damaged file was not kept: %v", err)
			}
		})
	}
}

func TestDrainedFileIsCompacted(t *testing.T) {
	cfg := config(t)
	b, stop := open(t, cfg)
	for range 30 {
		put(t, b, strings.Repeat("x", 100<<10), strings.Repeat("y", 100<<10))
	}
	recs, _ := b.Read(0, 59)
	for _, r := range recs {
		b.Remove(r.Seq)
	}
	stop()
	before, _ := os.Stat(cfg.Path)
	b, _ = open(t, cfg)
	after, _ := os.Stat(cfg.Path)
	if after.Size() > before.Size()/4 {
		t.Errorf("the file went from %d to %d bytes only", before.Size(), after.Size())
	}
	if got := payloads(t, b); len(got) != 1 || got[0][0] != 'y' {
		t.Errorf("%d records after compaction, want the last one", len(got))
	}
	put(t, b, "next")
	all, _ := b.Read(0, 10)
	if all[1].Seq <= all[0].Seq || all[0].Seq != recs[len(recs)-1].Seq+1 {
		t.Errorf("sequence numbers after compaction: %d, %d", all[0].Seq, all[1].Seq)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	cfg := config(t)
	b, stop := open(t, cfg)
	setFormat(t, b, fileFormat+1)
	stop()
	_, err := Open(cfg, quiet())
	if err == nil || !strings.Contains(err.Error(), ErrNewerFormat.Error()) {
		t.Errorf("Open = %v, want ErrNewerFormat", err)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func setFormat(t *testing.T, b *Buffer, v byte) {
	t.Helper()
	err := b.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte{v}) })
	if err != nil {
		t.Fatal(err)
	}
}
