package storetest

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// Stores begin as copies of one that was brought up to date once a process: with the race detector the migrations of an empty file take
// seconds.
var template struct {
	mu       sync.Mutex
	files    map[string][]byte // of SQLite's folder, by name
	postgres string            // DSN
}

// emptyFolder returns a folder of the test with an empty store on SQLite.
func emptyFolder(t testing.TB) string {
	t.Helper()
	template.mu.Lock()
	defer template.mu.Unlock()
	if template.files == nil {
		dir := t.TempDir()
		makeTemplate(t, store.Config{Dir: dir})
		template.files = read(t, dir)
	}
	dir := t.TempDir()
	for name, b := range template.files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatalf("copy the empty store: %v", err)
		}
	}
	return dir
}

// emptyDatabase returns the DSN of a database of its own with an empty store.
func emptyDatabase(t testing.TB) string {
	t.Helper()
	template.mu.Lock()
	defer template.mu.Unlock()
	if template.postgres == "" {
		dsn := harness.Postgres(t)
		makeTemplate(t, store.Config{DSN: dsn})
		template.postgres = dsn
	}
	return harness.PostgresCopy(t, template.postgres)
}

func makeTemplate(t testing.TB, cfg store.Config) {
	t.Helper()
	cfg.Keyring = Keyring
	db, err := store.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatalf("close store: %v", err)
	}
}

// read reads the files of a folder, but not those that are empty, like the lock.
func read(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range list {
		b, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 0 {
			files[entry.Name()] = b
		}
	}
	return files
}
