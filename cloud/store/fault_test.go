package store_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func tryOpen(t *testing.T, cfg store.Config) error {
	t.Helper()
	db, err := store.Open(t.Context(), cfg, slog.New(slog.NewTextHandler(t.Output(), nil)), nil)
	if err == nil {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	return err
}

// wantOpenError checks the kind of an error of Open and that it says what to do.
func wantOpenError(t *testing.T, err, want error, says string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	} else if !strings.Contains(err.Error(), says) {
		t.Errorf("%q does not say %q", err, says)
	}
}

// filled makes a store with some rows in dir and closes it.
func filled(t *testing.T, dir string) {
	t.Helper()
	db := storetest.Open(t, store.Config{Dir: dir})
	for n := range int64(200) {
		if err := db.Do(t.Context(), numbered(1, n+1, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// tmpfs mounts a small file system of its own; it needs root, as PostgreSQL's installation does.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount a tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	storetest.Open(t, store.Config{Dir: dir})
	err := tryOpen(t, store.Config{Dir: dir})
	wantOpenError(t, err, store.ErrInUse, fmt.Sprintf("process %d", os.Getpid()))
}

func TestReadOnlyFolder(t *testing.T) {
	dir := tmpfs(t, "8m")
	filled(t, dir)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, tryOpen(t, store.Config{Dir: dir}), store.ErrReadOnly, "write access")
	wantOpenError(t, tryOpen(t, store.Config{Dir: filepath.Join(dir, "new")}), store.ErrReadOnly, "write access")
}

func TestFolderIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, tryOpen(t, store.Config{Dir: file}), store.ErrConfig, "must be a folder")
}

func TestFullDiskAtStart(t *testing.T) {
	dir := tmpfs(t, "64k")
	wantOpenError(t, tryOpen(t, store.Config{Dir: dir}), store.ErrFull, "free space")
}

// TestFullDisk fills the disk under a running store: units end with ErrUnavailable, reads go on, nothing acknowledged is
// lost, and once there is space it commits again.
func TestFullDisk(t *testing.T) {
	dir := tmpfs(t, "4m")
	db := storetest.Open(t, store.Config{Dir: dir})
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	stored, err := storeUntil(t, db, 1, func(err error) bool { return err != nil })
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, store.ErrFull) || !store.IsTemporary(err) {
		t.Fatalf("full disk: got %v, want ErrUnavailable and ErrFull", err)
	}
	if err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO setting (key, value) VALUES ('k', ?)`, make([]byte, 1<<20))
		return err
	}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("update: got %v, want ErrUnavailable", err)
	}
	check := func(want int64) {
		t.Helper()
		var rows, revision int64
		if err := db.QueryRow(t.Context(), `SELECT (SELECT COUNT(*) FROM queue), COALESCE(MAX(revision), 0) FROM latest`).Scan(&rows, &revision); err != nil {
			t.Fatal(err)
		}
		if rows != want || revision != want {
			t.Errorf("%d rows, revision %d, want %d of both", rows, revision, want)
		}
	}
	check(stored)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, time.Minute, "commits again", func() bool {
		err := db.Do(t.Context(), numbered(1, stored+1, nil))
		return err == nil
	})
	check(stored + 1)
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}

// storeUntil stores the numbers of a device from first on until an outcome satisfies stop; it returns the last number
// stored and that outcome.
func storeUntil(t *testing.T, db *store.DB, first int64, stop func(error) bool) (int64, error) {
	t.Helper()
	for n := first; n < first+20_000; n++ {
		if err := db.Do(t.Context(), numbered(1, n, nil)); stop(err) {
			return n - 1, err
		}
	}
	t.Fatal("never")
	return 0, nil
}

func TestNewerSchema(t *testing.T) {
	dsn := harness.Postgres(t)
	for name, cfg := range map[string]store.Config{"sqlite": {Dir: t.TempDir()}, "postgres": {DSN: dsn}} {
		t.Run(name, func(t *testing.T) {
			db := storetest.Open(t, cfg)
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, ?)`, bit(db))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			err = tryOpen(t, cfg)
			wantOpenError(t, err, store.ErrNewerSchema, "newer binary")
			var newer *store.NewerSchemaError
			if !errors.As(err, &newer) || newer.Have != 9999 || newer.Want == 0 {
				t.Errorf("got %+v", newer)
			}
		})
	}
}

// bit is true for the column of goose's table, which is a BOOLEAN on PostgreSQL.
func bit(db *store.DB) any {
	if db.Dialect() == store.Postgres {
		return "true"
	}
	return 1
}

func TestDamagedFile(t *testing.T) {
	whole := t.TempDir()
	filled(t, whole)
	good, err := os.ReadFile(filepath.Join(whole, "hawser.db"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), good...)
	for i := len(flipped) / 2; i < len(flipped)/2+8192; i++ {
		flipped[i] ^= 0xff
	}
	for _, test := range []struct {
		name string
		data []byte
	}{
		{"cut to half", good[:len(good)/2]},
		{"cut within a page", good[:len(good)-100]},
		{"only the header", good[:100]},
		{"no database", []byte(strings.Repeat("this is a text file\n", 1000))},
		{"bytes changed in the middle", flipped},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "hawser.db"), test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			wantOpenError(t, tryOpen(t, store.Config{Dir: dir}), store.ErrCorrupt, "backup")
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for name, cfg := range map[string]store.Config{
		"no folder":      {},
		"durability":     {Dir: t.TempDir(), Durability: "always"},
		"dsn":            {DSN: "mysql://u:geheim@h/d"},
		"postgres dsn":   {DSN: "postgres://u:geheim@h:notaport/d"},
		"negative batch": {Dir: t.TempDir(), CommitMax: -1},
	} {
		err := tryOpen(t, cfg)
		if !errors.Is(err, store.ErrConfig) {
			t.Errorf("%s: got %v, want ErrConfig", name, err)
		} else if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}

func TestPostgresAway(t *testing.T) {
	err := tryOpen(t, store.Config{DSN: "postgres://u:geheim@127.0.0.1:1/d?connect_timeout=2"})
	wantOpenError(t, err, store.ErrUnavailable, "check that the server runs")
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("the error tells the password: %v", err)
	}
}

// TestPostgresConnectionsCut ends the server's sessions while units are committed: some end with ErrUnavailable, what was
// acknowledged is there, and it goes on.
func TestPostgresConnectionsCut(t *testing.T) {
	dsn := harness.Postgres(t)
	db, other := storetest.Open(t, store.Config{DSN: dsn}), storetest.Open(t, store.Config{DSN: dsn})
	var last, cuts int64
	for n := int64(1); cuts < 5 && n < 20_000; {
		if n%20 == 0 {
			var k int
			if err := other.QueryRow(t.Context(), `SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&k); err != nil {
				t.Fatal(err)
			}
		}
		switch err := db.Do(t.Context(), numbered(1, n, nil)); {
		case err == nil:
			last = n
			n++
		case errors.Is(err, store.ErrConflict) && cuts > 0:
			n++ // the connection broke after COMMIT had arrived
		case errors.Is(err, store.ErrUnavailable):
			cuts++
			n = resume(t, other) // the unit may have been stored whole
		default:
			t.Fatalf("number %d: %v", n, err)
		}
	}
	if cuts == 0 {
		t.Error("no connection was cut under a commit")
	}
	if got := resume(t, other) - 1; got < last {
		t.Errorf("%d numbers stored, %d were acknowledged", got, last)
	}
}

// resume returns the number after the last one stored.
func resume(t *testing.T, db *store.DB) int64 {
	t.Helper()
	var n int64
	if err := db.QueryRow(t.Context(), `SELECT COALESCE(MAX(revision), 0) + 1 FROM latest`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPostgresNodes opens several stores on one empty database at once, as nodes do, and has them write to the same shards.
func TestPostgresNodes(t *testing.T) {
	dsn := harness.Postgres(t)
	const nodes, each = 3, 100
	var wg sync.WaitGroup
	stores := make([]*store.DB, nodes)
	for i := range stores {
		wg.Go(func() { stores[i] = storetest.Open(t, store.Config{DSN: dsn}) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for i, db := range stores {
		for d := range int64(32) {
			wg.Go(func() {
				device := d*nodes + int64(i) + 1
				for n := range int64(each) {
					if err := db.Do(t.Context(), numbered(device, n+1, nil)); err != nil {
						t.Errorf("node %d: %v", i, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	var acked []string
	for device := 1; device <= 32*nodes; device++ {
		acked = append(acked, fmt.Sprintf("%d %d", device, each))
	}
	verify(t, stores[0], acked)
}
