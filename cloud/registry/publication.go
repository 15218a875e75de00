package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// maxVersions is how many versions of a thing model are kept: the newest.
const maxVersions = 200

// Version is a thing model as it was published once.
type Version struct {
	Number    int64 // counts from 1 for each product
	Published time.Time
	By        string // who published it, for example user:ann; "" for one from before this was kept
	Note      string
	Template  *thing.Template // never nil; not read for lists
}

// Publication is what Publish notes of a version.
type Publication struct {
	By, Note string
	// IfRevision, when not nil, must be the product's revision, else the answer is ErrRevision.
	IfRevision *int64
}

// Publish freezes the thing model of a product and keeps it as a new version. One that is published already stays as it is, without a
// new version: the answer is ErrPublished.
func (r *Registry) Publish(ctx context.Context, sn string, n Publication) (v Version, err error) {
	defer r.judged(&err)
	if err := checkText("note", n.Note, 0, MaxDescription); err != nil {
		return v, err
	}
	_, err = r.changeProduct(ctx, sn, ProductUpdated, func(tx *store.Tx) error {
		if err := checkRevision(ctx, tx, n.IfRevision, ErrProductNotFound, `product WHERE sn = ?`, sn); err != nil {
			return err
		}
		var err error
		if v, err = r.addVersion(ctx, tx, sn, n); err != nil {
			return err
		}
		var set setList
		set.add("published", 1)
		return set.exec(ctx, tx, `product`, `sn`, sn, ErrProductNotFound, r.now())
	})
	return v, err
}

// addVersion keeps the thing model of a product that is about to be published.
func (r *Registry) addVersion(ctx context.Context, tx *store.Tx, sn string, n Publication) (v Version, err error) {
	text, published, err := lockTemplate(ctx, tx, sn)
	if err != nil {
		return v, err
	}
	if published {
		return v, ErrPublished
	}
	v = Version{By: n.By, Note: n.Note, Published: fromMillis(millis(r.now()))}
	if v.Template, err = parseVersion(text); err != nil {
		return v, err
	}
	err = tx.QueryRow(ctx, `SELECT COALESCE(MAX(number), 0) + 1 FROM thing_model_version WHERE product = ?`, sn).Scan(&v.Number)
	if err != nil {
		return v, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO thing_model_version (product, number, template, note, published_by, published_at) VALUES (?, ?, ?, ?, ?, ?)`,
		sn, v.Number, text, v.Note, v.By, millis(v.Published))
	if err != nil {
		return v, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM thing_model_version WHERE product = ? AND number <= ?`, sn, v.Number-maxVersions)
	return v, err
}

// lockTemplate reads a product's stored thing model and whether it is frozen; the row stays locked until the transaction ends.
func lockTemplate(ctx context.Context, tx *store.Tx, sn string) (text string, published bool, err error) {
	if err := execOne(ctx, tx, ErrProductNotFound, `UPDATE product SET revision = revision WHERE sn = ?`, sn); err != nil {
		return "", false, err
	}
	var flag int64
	err = tx.QueryRow(ctx, `SELECT template, published FROM product WHERE sn = ?`, sn).Scan(&text, &flag)
	return text, flag != 0, err
}

// Unpublish lets the thing model of a product be changed again. Versions stay.
func (r *Registry) Unpublish(ctx context.Context, sn string, only ...IfRevision) (p *Product, err error) {
	defer r.judged(&err)
	return r.changeProduct(ctx, sn, ProductUpdated, func(tx *store.Tx) error {
		if err := checkProduct(ctx, tx, sn, only); err != nil {
			return err
		}
		var set setList
		set.add("published", 0)
		return set.exec(ctx, tx, `product`, `sn`, sn, ErrProductNotFound, r.now())
	})
}

// Versions lists what was published of a product, newest first; next is "" on the last page.
func (r *Registry) Versions(ctx context.Context, sn string, page Page) (list []Version, next string, err error) {
	limit, after, err := page.open()
	if err != nil {
		return nil, "", err
	}
	before := int64(math.MaxInt64)
	if page.Cursor != "" {
		before = after.number
	}
	rows, err := r.db.Query(ctx, `SELECT number, note, published_by, published_at FROM thing_model_version
		WHERE product = ? AND number < ? ORDER BY number DESC LIMIT ?`, sn, before, limit+1)
	if err == nil {
		list, err = collect(rows, func(row scanner) (v Version, err error) {
			var at int64
			err = row.Scan(&v.Number, &v.Note, &v.By, &at)
			v.Published = fromMillis(at)
			return v, err
		})
	}
	if err != nil {
		return nil, "", fmt.Errorf("registry: versions of product %s: %w", sn, err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = cursor{number: list[limit-1].Number}.String()
	}
	return list, next, nil
}

// Version returns what was published of a product as version number.
func (r *Registry) Version(ctx context.Context, sn string, number int64) (v Version, err error) {
	var text string
	var at int64
	err = r.db.QueryRow(ctx, `SELECT number, note, published_by, published_at, template FROM thing_model_version WHERE product = ? AND number = ?`,
		sn, number).Scan(&v.Number, &v.Note, &v.By, &at, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return v, ErrVersionNotFound
	}
	if err == nil {
		v.Published = fromMillis(at)
		v.Template, err = parseVersion(text)
	}
	if err != nil {
		return v, fmt.Errorf("registry: version %d of product %s: %w", number, sn, err)
	}
	return v, nil
}

func parseVersion(text string) (*thing.Template, error) {
	if text == "" {
		return &thing.Template{}, nil
	}
	t, err := thing.ParseTemplate([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("stored thing model: %w", err)
	}
	return t, nil
}

// RestoreVersion makes a version the thing model of its product again. The product must not be published.
func (r *Registry) RestoreVersion(ctx context.Context, sn string, number int64, only ...IfRevision) (*Product, error) {
	v, err := r.Version(ctx, sn, number)
	if err != nil {
		return nil, err
	}
	return r.SetTemplate(ctx, sn, v.Template, only...)
}
