// Package migrations holds the schema of the hub's store, one set of files for both engines.
//
// The SQL is what SQLite and PostgreSQL both take. Where they differ, a file names the difference with a token, which
// FS expands for the engine that is asked for:
//
//	{{id}}             the type of a single-column integer key: INTEGER PRIMARY KEY (SQLite: the row id itself, no
//	                   second b-tree) or BIGINT PRIMARY KEY
//	{{blob}}           bytes: BLOB or BYTEA
//	{{clustered}}      after a table's closing bracket: WITHOUT ROWID, or nothing
//	{{bytewise}}       after TEXT, or a text: compared byte by byte. SQLite does so anyway; COLLATE "C"
//	{{serial}}         the type of a single-column integer key that the engine counts up
//	{{count_triggers}}, {{count_triggers_drop}}, {{count_update}}, {{count_update_before}}
//	                   what keeps device_count: see triggers.go
//	{{ota_triggers}}, {{ota_triggers_drop}}
//	                   what keeps ota_count and ota_event: see otatriggers.go
//	{{outbox_key}}, {{outbox_primary}}
//	                   the outbox's primary key: see 0002_outbox.sql
//	{{only_postgres}}  at the beginning of a line that is for PostgreSQL alone
//
// Times are unix milliseconds in BIGINT, 0 meaning never; booleans are SMALLINT 0 or 1. A published file is never
// edited: a change is a new file.
package migrations

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

//go:embed *.sql
var files embed.FS

// Dialect names an engine for the tokens.
type Dialect string

// The engines.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

var tokens = map[Dialect]*strings.Replacer{
	SQLite: strings.NewReplacer(
		"{{id}}", "INTEGER PRIMARY KEY",
		"{{blob}}", "BLOB",
		"{{clustered}}", " WITHOUT ROWID",
		"{{bytewise}}", "",
		"{{serial}}", "INTEGER PRIMARY KEY",
		"{{count_triggers}}", countTriggersSQLite,
		"{{count_triggers_drop}}", countTriggersSQLiteDrop,
		"{{count_update}}", countUpdateSQLite,
		"{{ota_triggers}}", otaTriggersSQLite,
		"{{ota_triggers_drop}}", otaTriggersSQLiteDrop,
		"{{count_update_before}}", countUpdateSQLiteBefore,
		"{{outbox_key}}", "seq INTEGER PRIMARY KEY, shard SMALLINT NOT NULL",
		"{{outbox_primary}}", "",
		"{{only_postgres}}", "--",
	),
	Postgres: strings.NewReplacer(
		"{{id}}", "BIGINT PRIMARY KEY",
		"{{blob}}", "BYTEA",
		"{{clustered}}", "",
		"{{bytewise}}", ` COLLATE "C"`,
		"{{serial}}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
		"{{count_triggers}}", countTriggersPostgres,
		"{{count_triggers_drop}}", countTriggersPostgresDrop,
		"{{count_update}}", "",
		"{{ota_triggers}}", otaTriggersPostgres,
		"{{ota_triggers_drop}}", otaTriggersPostgresDrop,
		"{{count_update_before}}", "",
		"{{outbox_key}}", "seq BIGINT NOT NULL, shard SMALLINT NOT NULL",
		"{{outbox_primary}}", ", PRIMARY KEY (shard, seq)",
		"{{only_postgres}}", "",
	),
}

// FS returns the migration files with the tokens expanded for d.
func FS(d Dialect) (fs.FS, error) {
	r, ok := tokens[d]
	if !ok {
		return nil, fmt.Errorf("migrations: unknown dialect %q", d)
	}
	return expanded{FS: files, r: r}, nil
}

// expanded reads files through a replacer; directories pass through.
type expanded struct {
	embed.FS
	r *strings.Replacer
}

// Open returns the named file with its tokens expanded.
func (e expanded) Open(name string) (fs.File, error) {
	f, err := e.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return f, err
	}
	defer func() { _ = f.Close() }()
	b, err := e.FS.ReadFile(name)
	if err != nil {
		return nil, err
	}
	text := e.r.Replace(string(b))
	return &file{Reader: bytes.NewReader([]byte(text)), name: name, size: int64(len(text))}, nil
}

// ReadFile returns the expanded text; it hides the embedded file system's own, which would return the tokens.
func (e expanded) ReadFile(name string) ([]byte, error) {
	b, err := e.FS.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return []byte(e.r.Replace(string(b))), nil
}

// file is one expanded migration; it is its own fs.FileInfo.
type file struct {
	*bytes.Reader
	name string
	size int64
}

func (f *file) Stat() (fs.FileInfo, error) { return f, nil }
func (f *file) Close() error               { return nil }
func (f *file) Name() string               { return f.name }
func (f *file) Size() int64                { return f.size }
func (f *file) Mode() fs.FileMode          { return 0o444 }
func (f *file) ModTime() time.Time         { return time.Time{} }
func (f *file) IsDir() bool                { return false }
func (f *file) Sys() any                   { return nil }
