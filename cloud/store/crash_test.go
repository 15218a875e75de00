package store_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/testbed/harness"
)

const (
	childDir = "HAWSER_STORE_CHILD_DIR"
	childDSN = "HAWSER_STORE_CHILD_DSN"
	devices  = 20
)

var (
	putQueue = store.NewStmt(`INSERT INTO queue (device, seq, topic, payload) VALUES (?, ?, ?, ?)`)
	putDoc   = store.NewStmt(`INSERT INTO latest (device, revision, doc, updated_at) VALUES (?, ?, ?, 0)
		ON CONFLICT (device) DO UPDATE SET revision = excluded.revision, doc = excluded.doc WHERE latest.revision = excluded.revision - 1`)
)

// numbered is the unit that stores number n of a device in three places.
func numbered(device, n int64, done func(error)) *store.Unit {
	return &store.Unit{Device: device, Done: done, Out: [][]byte{fmt.Appendf(nil, "%d %d", device, n)}, Ops: []store.Op{
		putDoc.Guard(device, n, []byte("doc")), putQueue.Op(device, n, "/t", make([]byte, 100))}}
}

// childMain is the test binary as the process that gets killed: it stores numbers and prints each that was acknowledged.
func childMain() {
	dir, dsn := os.Getenv(childDir), os.Getenv(childDSN)
	if dir == "" && dsn == "" {
		return
	}
	db, err := store.Open(context.Background(), store.Config{Dir: dir, DSN: dsn}, slog.Default(), nil)
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	acked := make(chan string, 1000)
	for d := int64(1); d <= devices; d++ {
		var last int64
		err := db.QueryRow(context.Background(), `SELECT COALESCE(MAX(revision), 0) FROM latest WHERE device = ?`, d).Scan(&last)
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		go func() {
			for n := last + 1; ; n++ {
				db.Submit(numbered(d, n, func(err error) {
					if err != nil {
						fmt.Println("error:", err)
						os.Exit(1)
					}
					acked <- fmt.Sprintf("%d %d\n", d, n)
				}))
			}
		}()
	}
	for line := range acked {
		_, _ = os.Stdout.WriteString(line) // one write a line: a line that the parent reads was acknowledged
	}
}

// crash starts the child, kills it after some acknowledgements, and returns all of them.
func crash(t *testing.T, env string, after int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acked []string
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if err != io.EOF {
				t.Errorf("read child: %v", err)
			}
			break
		}
		if strings.HasPrefix(line, "error:") {
			t.Fatal("child: ", line)
		}
		acked = append(acked, strings.TrimSpace(line))
		if len(acked) == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if len(acked) < after {
		t.Fatalf("child ended after %d acknowledgements", len(acked))
	}
	return acked
}

// verify checks that every acknowledged number is in all three places, and that the places agree on everything else.
func verify(t *testing.T, db *store.DB, acked []string) {
	t.Helper()
	emitted := make(map[string]bool)
	for shard := range store.Shards {
		after, next := int64(0), make(map[int64]int64)
		for {
			rows, err := db.Outbox().Read(t.Context(), shard, after, 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) == 0 {
				break
			}
			for _, r := range rows {
				after = r.Seq
				for _, rec := range r.Records {
					var d, n int64
					if _, err := fmt.Sscanf(string(rec), "%d %d", &d, &n); err != nil {
						t.Fatal(err)
					}
					if next[d]++; n != next[d] {
						t.Fatalf("device %d: record %d where %d belongs", d, n, next[d])
					}
					emitted[string(rec)] = true
				}
			}
		}
	}
	for _, a := range acked {
		if !emitted[a] {
			t.Errorf("acknowledged %s is not in the outbox", a)
		}
	}
	var rows, revisions int64
	if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM queue`).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow(t.Context(), `SELECT CAST(COALESCE(SUM(revision), 0) AS BIGINT) FROM latest`).Scan(&revisions); err != nil {
		t.Fatal(err)
	}
	if rows != int64(len(emitted)) || revisions != rows {
		t.Errorf("the places disagree: %d records, %d queue rows, %d revisions", len(emitted), rows, revisions)
	}
}

func testCrash(t *testing.T, env string, cfg store.Config) {
	var acked []string
	for round := range 3 {
		acked = append(acked, crash(t, env, 500+700*round)...)
		db := storetest.Open(t, cfg)
		verify(t, db, acked)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged units over 3 kills", len(acked))
}

func TestKillSQLite(t *testing.T) {
	dir := t.TempDir()
	testCrash(t, childDir+"="+dir, store.Config{Dir: dir})
}

func TestKillPostgres(t *testing.T) {
	dsn := harness.Postgres(t)
	testCrash(t, childDSN+"="+dsn, store.Config{DSN: dsn})
}
