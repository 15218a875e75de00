package store

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/hawser-iot/hawser/cloud/store/migrations"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// The rules of a hub are all there after 0016, which makes their table anew, and after its way back.
func TestRulesSurviveTheirMigration(t *testing.T) {
	for _, tt := range []struct {
		dialect    Dialect
		goose      goose.Dialect
		driver, at string
	}{
		{SQLite, goose.DialectSQLite3, "sqlite", filepath.Join(t.TempDir(), "hub.db")},
		{Postgres, goose.DialectPostgres, "pgx", harness.Postgres(t)},
	} {
		t.Run(string(tt.dialect), func(t *testing.T) {
			db, err := sql.Open(tt.driver, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			files, err := migrations.FS(tt.dialect)
			if err != nil {
				t.Fatal(err)
			}
			p, err := goose.NewProvider(tt.goose, db, files)
			if err != nil {
				t.Fatal(err)
			}
			must := func(_ any, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(p.UpTo(t.Context(), 15))
			must(db.ExecContext(t.Context(), `INSERT INTO rule (id, project, name, sql, created_at, updated_at, revision) VALUES (4, 'farm', 'hot', 'SELECT', 1, 2, 3)`))
			must(p.UpTo(t.Context(), 16))
			must(db.ExecContext(t.Context(), `INSERT INTO rule (id, name, sql, created_at, updated_at) VALUES (5, 'hot', 'SELECT', 1, 2)`))
			if _, err := db.ExecContext(t.Context(), `INSERT INTO rule (id, project, name, sql, created_at, updated_at) VALUES (6, 'farm', 'hot', 'SELECT', 1, 2)`); err == nil {
				t.Error("a name is there twice in a project")
			}
			must(p.DownTo(t.Context(), 15))
			var first, second string
			must(nil, db.QueryRowContext(t.Context(), `SELECT a.project || a.name || a.revision, b.project || b.name || b.revision FROM rule a, rule b WHERE a.id = 4 AND b.id = 5`).Scan(&first, &second))
			if first != "farmhot3" || second != "defaulthot 51" {
				t.Errorf("on the way back: %q and %q", first, second)
			}
		})
	}
}
