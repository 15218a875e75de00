package store

import (
	"database/sql"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/hawser-iot/hawser/cloud/store/migrations"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// eachMigrated runs a test of migrations on an empty database of each engine.
func eachMigrated(t *testing.T, test func(t *testing.T, p *goose.Provider, db *sql.DB)) {
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
			test(t, p, db)
		})
	}
}

func must(t *testing.T) func(any, error) {
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The rules of a hub are all there after 0016, which makes their table anew, and after its way back.
func TestRulesSurviveTheirMigration(t *testing.T) {
	eachMigrated(t, func(t *testing.T, p *goose.Provider, db *sql.DB) {
		must := must(t)
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

// Sessions are in the history once after 0020, which has a row for each instead of for its begin and its end, and as they were after
// its way back.
func TestHistorySurvivesItsMigration(t *testing.T) {
	eachMigrated(t, func(t *testing.T, p *goose.Provider, db *sql.DB) {
		must := must(t)
		must(p.UpTo(t.Context(), 19))
		must(db.ExecContext(t.Context(), `INSERT INTO device_history (device, epoch, event, at, reason, remote, transport, protocol) VALUES
			(7, 1, 0, 10, 'login', 'r', 'tls', 'm'), (7, 2, 0, 20, 'take_over', 'r', 'tls', 'm'), (7, 2, 1, 30, 'eof', 'r', 'tls', 'm'),
			(7, 3, 0, 40, 'login', 'r', 'tls', 'm')`))
		must(db.ExecContext(t.Context(), `INSERT INTO session (device, epoch, online, connected_at, remote) VALUES (7, 3, 1, 40, 'r')`))
		lines := func(q string) (list []string) {
			t.Helper()
			rows, err := db.QueryContext(t.Context(), q)
			must(nil, err)
			defer func() { _ = rows.Close() }()
			for rows.Next() {
				var s string
				must(nil, rows.Scan(&s))
				list = append(list, s)
			}
			must(nil, rows.Err())
			return list
		}
		const before = `SELECT device || ' ' || epoch || ' ' || event || ' ' || at || ' ' || reason || ' ' || remote || transport || protocol
			FROM device_history ORDER BY device, epoch, event`
		had := lines(before)
		must(p.UpTo(t.Context(), 20))
		got := lines(`SELECT epoch || ' ' || began || began_at || ' ' || ended || ended_at || ' ' || remote || transport || protocol FROM device_connection
			UNION ALL SELECT epoch || ' ' || began || connected_at || ' ' || remote || transport || protocol FROM session ORDER BY 1`)
		if want := []string{"1 login10 10 rtlsm", "2 take_over20 eof30 rtlsm", "3 login40 rtlsm"}; !slices.Equal(got, want) {
			t.Errorf("after it: %q, want %q", got, want)
		}
		must(p.DownTo(t.Context(), 19))
		if got := lines(before); len(had) != 4 || !slices.Equal(got, had) {
			t.Errorf("on the way back: %q, want %q", got, had)
		}
	})
}
