// Package storetest runs tests against real stores, one of each engine: SQLite in a folder of the test and a database of
// its own on a PostgreSQL that testbed/harness starts. It also holds the conformance suite that both must pass, Run.
package storetest

import (
	"log/slog"
	"testing"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/store"
)

// Each runs test on an empty store of each engine, as subtests named sqlite and postgres.
func Each(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns an empty store on SQLite; it is closed with the test.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, store.Config{Dir: emptyFolder(t)})
}

// Postgres returns an empty store on PostgreSQL; it is closed with the test.
func Postgres(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, store.Config{DSN: emptyDatabase(t)})
}

// Keyring is what the stores of tests are sealed with, unless their Config has another.
var Keyring = keyring.New()

// Open opens a store with cfg; it is closed with the test.
func Open(t testing.TB, cfg store.Config) *store.DB {
	t.Helper()
	if cfg.Keyring == nil {
		cfg.Keyring = Keyring
	}
	db, err := store.Open(t.Context(), cfg, slog.New(slog.NewTextHandler(t.Output(), nil)), nil)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return db
}
