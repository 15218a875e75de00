package script

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
)

const columns = `product, revision, source, up, down, note, changed_by, changed_at`

// scanner is a row of either kind.
type scanner interface{ Scan(dest ...any) error }

func scan(row scanner) (*Script, error) {
	var s Script
	var up, down, at int64
	err := row.Scan(&s.Product, &s.Revision, &s.Source, &up, &down, &s.Note, &s.By, &at)
	s.Up, s.Down, s.At = up != 0, down != 0, time.UnixMilli(at).UTC()
	return &s, err
}

// Get returns a product's script as it is stored now.
func (s *Scripts) Get(ctx context.Context, product string) (*Script, error) {
	script, err := scan(s.Store.QueryRow(ctx, `SELECT `+columns+` FROM script WHERE product = ? ORDER BY revision DESC LIMIT 1`, product))
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil, ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("script: read the script of %s: %w", product, err)
	case script.Source == "":
		return nil, ErrNotFound
	}
	return script, nil
}

// Versions lists the versions that are kept of a product's script, the newest first, without their sources.
func (s *Scripts) Versions(ctx context.Context, product string) (list []*Script, err error) {
	rows, err := s.Store.Query(ctx, `SELECT product, revision, '', up, down, note, changed_by, changed_at FROM script WHERE product = ? ORDER BY revision DESC`, product)
	if err != nil {
		return nil, fmt.Errorf("script: list versions: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("script: list versions: %w", err)
		}
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("script: list versions: %w", err)
	}
	return list, nil
}

// Version returns one version, with its source.
func (s *Scripts) Version(ctx context.Context, product string, revision int64) (*Script, error) {
	v, err := scan(s.Store.QueryRow(ctx, `SELECT `+columns+` FROM script WHERE product = ? AND revision = ?`, product, revision))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrVersionNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("script: read version %d: %w", revision, err)
	}
	return v, nil
}

// Change is what a script is changed to.
type Change struct {
	Source, Note, By string
	// IfRevision, when not nil, must be the script's revision, else the answer is ErrRevision.
	IfRevision *int64
}

// Set stores a script that compiles and defines something; the error is a *Fault or an *InvalidError for one that does not.
func (s *Scripts) Set(ctx context.Context, product string, c Change) (*Script, error) {
	if err := checkText("source", c.Source, 1, MaxSource); err != nil {
		return nil, err
	}
	if err := checkText("note", c.Note, 0, MaxNote); err != nil {
		return nil, err
	}
	defines, err := s.check(ctx, product, c.Source)
	if err != nil {
		return nil, err
	}
	if !defines.Up && !defines.Down {
		return nil, &InvalidError{"source", "defines neither rawDataToJSON nor jsonToRawData"}
	}
	next := &Script{Product: product, Source: c.Source, Up: defines.Up, Down: defines.Down, Note: c.Note, By: c.By, At: s.at()}
	if err := s.store(ctx, next, c.IfRevision); err != nil {
		return nil, err
	}
	return next, nil
}

// Delete takes a product's script away; its versions are kept.
func (s *Scripts) Delete(ctx context.Context, product string, c Change) error {
	return s.store(ctx, &Script{Product: product, Note: c.Note, By: c.By, At: s.at()}, c.IfRevision)
}

// store makes next the product's newest version.
func (s *Scripts) store(ctx context.Context, next *Script, only *int64) error {
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		// The product's row is what changes of its script wait for each other with.
		res, err := tx.Exec(ctx, `UPDATE product SET revision = revision WHERE sn = ?`, next.Product)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, registry.ErrProductNotFound)
		}
		var revision, size int64
		err = tx.QueryRow(ctx, `SELECT revision, LENGTH(source) FROM script WHERE product = ? ORDER BY revision DESC LIMIT 1`, next.Product).Scan(&revision, &size)
		switch {
		case err != nil && !errors.Is(err, store.ErrNoRows):
			return err
		case next.Source == "" && size == 0:
			return ErrNotFound
		case only != nil && (*only != revision || size == 0):
			return ErrRevision
		}
		next.Revision = revision + 1
		_, err = tx.Exec(ctx, `INSERT INTO script (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, next.Product, next.Revision, next.Source,
			flag(next.Up), flag(next.Down), next.Note, next.By, next.At.UnixMilli())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM script WHERE product = ? AND revision <= ?`, next.Product, next.Revision-MaxVersions)
		return err
	})
	if err != nil {
		return fmt.Errorf("script: change the script of %s: %w", next.Product, err)
	}
	s.changed(next.Product)
	return nil
}

// at is the present time as it is stored.
func (s *Scripts) at() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func checkText(field, text string, least, most int) error {
	switch {
	case len(text) < least:
		return &InvalidError{field, "is empty"}
	case len(text) > most:
		return &InvalidError{field, fmt.Sprintf("is longer than %d bytes", most)}
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return &InvalidError{field, "is not text"}
	}
	return nil
}
