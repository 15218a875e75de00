package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/hawser-iot/hawser/cloud/store/migrations"
)

// migrate brings the schema of conn up to this binary's version; a newer one is ErrNewerSchema and left alone.
func migrate(ctx context.Context, conn *sql.DB, d Dialect) error {
	files, err := migrations.FS(d)
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithSlog(slog.New(slog.DiscardHandler))}
	kind := goose.DialectSQLite3
	if d == Postgres {
		kind = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120)) // ask every second for two minutes
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker)) // several nodes may start at once
	}
	p, err := goose.NewProvider(kind, conn, files, options...)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if have > want {
		return &NewerSchemaError{Have: have, Want: want}
	}
	if have == want {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			return fmt.Errorf("migrate schema: %s: %w", partial.Failed.Source.Path, partial.Err)
		}
		return fmt.Errorf("migrate schema: %w", err)
	}
	return nil
}
