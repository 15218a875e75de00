package registry

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/hawser-iot/hawser/cloud/store"
)

// The terms of table device_term beside tags, which are termTag and the tag's name.
const (
	termSN   = "sn"
	termName = "name"
	termTag  = "tag."
)

// term is one row of device_term: what a device is found by.
type term struct{ term, value string }

// fold is how names are compared: ASCII letters in lower case, which is what both engines' lower() does.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// terms are the rows that belong to a snapshot.
func (d *Device) terms() []term {
	list := make([]term, 0, 2+len(d.Tags))
	list = append(list, term{termSN, d.Identity.SN}, term{termName, fold(d.Name)})
	for name, value := range d.Tags {
		list = append(list, term{termTag + name, value})
	}
	return list
}

// termsPerInsert bounds the parameters of one statement, 4 a row.
const termsPerInsert = 250

// insertTerms makes new devices findable.
func insertTerms(ctx context.Context, tx *store.Tx, list []*Device) error {
	var args []any
	flush := func() error {
		if len(args) == 0 {
			return nil
		}
		_, err := tx.Exec(ctx, `INSERT INTO device_term (project, term, value, device) VALUES (?, ?, ?, ?)`+
			strings.Repeat(`, (?, ?, ?, ?)`, len(args)/4-1), args...)
		args = args[:0]
		return err
	}
	for _, d := range list {
		for _, t := range d.terms() {
			if args = append(args, d.Project, t.term, t.value, d.ID); len(args) == 4*termsPerInsert {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// deleteTerms makes a device unfindable, before its row goes.
func deleteTerms(ctx context.Context, tx *store.Tx, id int64) error {
	d, tags := Device{ID: id}, ""
	err := tx.QueryRow(ctx, `SELECT project, sn, name, tags FROM device WHERE id = ?`, id).Scan(&d.Project, &d.Identity.SN, &d.Name, &tags)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrDeviceNotFound
	}
	if err != nil {
		return err
	}
	d.Tags = decodeTags(tags)
	return replaceTerms(ctx, tx, d.ID, d.Project, d.terms(), nil)
}

// replaceTerms writes the difference between what a device was found by and what it is found by.
func replaceTerms(ctx context.Context, tx *store.Tx, id int64, project string, before, after []term) error {
	kept := make(map[term]bool, len(after))
	for _, t := range after {
		kept[t] = true
	}
	for _, t := range before {
		if kept[t] {
			delete(kept, t)
			continue
		}
		if _, err := tx.Exec(ctx, `DELETE FROM device_term WHERE project = ? AND term = ? AND value = ? AND device = ?`,
			project, t.term, t.value, id); err != nil {
			return err
		}
	}
	for t := range kept {
		if _, err := tx.Exec(ctx, `INSERT INTO device_term (project, term, value, device) VALUES (?, ?, ?, ?)`,
			project, t.term, t.value, id); err != nil {
			return err
		}
	}
	return nil
}
