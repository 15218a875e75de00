package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// importTries is how often an import is run when other nodes make the same devices meanwhile.
const importTries = 5

// CheckDevice says what is wrong with n, as *ErrInvalid; whether its product has the SN already is not looked at.
func CheckDevice(n NewDevice) error {
	if n.SN != "" {
		if err := ident.CheckDeviceSN(n.SN); err != nil {
			return &ErrInvalid{"deviceSN", "is not 4 to 64 of A-Z a-z 0-9 _ @ : -"}
		}
	}
	if n.Secret != "" && !goodSecret(n.Secret.Reveal()) {
		return &ErrInvalid{"secret", "is not 16 printable ASCII characters without blanks"}
	}
	if err := checkText("name", n.Name, 0, MaxName); err != nil {
		return err
	}
	if err := checkText("description", n.Description, 0, MaxDescription); err != nil {
		return err
	}
	return checkTags(n.Tags)
}

// goodSecret takes what stock devices have room for, from whichever cloud it comes.
func goodSecret(s string) bool {
	return len(s) == ident.SNLength && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// Existing tells which of sns the product has, at most a few hundred.
func (r *Registry) Existing(ctx context.Context, product string, sns []string) (map[string]bool, error) {
	in, args := inList(sns)
	rows, err := r.db.Query(ctx, `SELECT sn FROM device WHERE product = ? AND sn IN (`+in+`)`, append([]any{product}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("registry: look for devices: %w", err)
	}
	return scanSNs(rows)
}

func scanSNs(rows *store.Rows) (map[string]bool, error) {
	list, err := collect(rows, func(row scanner) (sn string, err error) {
		err = row.Scan(&sn)
		return sn, err
	})
	if err != nil {
		return nil, fmt.Errorf("registry: look for devices: %w", err)
	}
	have := make(map[string]bool, len(list))
	for _, sn := range list {
		have[sn] = true
	}
	return have, nil
}

// Import makes those devices of list that the product does not have yet, all with an SN of their own and checked by
// CheckDevice, in one transaction; a Secret that is not given is generated. made has a device for each of list, nil where
// the SN was taken. also, if given, runs in the transaction, which may be run again; its error undoes all.
func (r *Registry) Import(ctx context.Context, product string, list []NewDevice, also func(ctx context.Context, tx *store.Tx, made []*Device) error) (made []*Device, err error) {
	for range importTries {
		err = r.db.Update(ctx, func(tx *store.Tx) error {
			if made, err = r.importAll(ctx, tx, product, list); err != nil || also == nil {
				return err
			}
			return also(ctx, tx, made)
		})
		if !store.IsUnique(err) {
			break // else another node made one of them at the same time, or drew the same ids
		}
	}
	if err != nil {
		return nil, fmt.Errorf("registry: import devices of product %s: %w", product, err)
	}
	for _, d := range made {
		if d != nil {
			r.Apply(Change{Kind: DeviceCreated, Product: product, Device: d.Identity, DeviceID: d.ID})
		}
	}
	return made, nil
}

func (r *Registry) importAll(ctx context.Context, tx *store.Tx, product string, list []NewDevice) ([]*Device, error) {
	var project string
	err := tx.QueryRow(ctx, `SELECT project FROM product WHERE sn = ?`, product).Scan(&project)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrProductNotFound
	}
	if err != nil {
		return nil, err
	}
	made := make([]*Device, len(list))
	first := r.ids.take(len(list))
	for i, n := range list {
		made[i] = &Device{ID: first + int64(i), Identity: ident.Device{Product: product, SN: n.SN}, Project: project, Revision: 1,
			Secret: n.secret(), Name: n.Name, Description: n.Description, Tags: maps.Clone(n.Tags), Created: MomentOf(timeOfID(first + int64(i)))}
	}
	for chunk := range slices.Chunk(made, rowsPerInsert) {
		if err := r.insertMissing(ctx, tx, chunk); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// insertMissing inserts the devices of list that are not there yet and sets the others to nil.
func (r *Registry) insertMissing(ctx context.Context, tx *store.Tx, list []*Device) error {
	// Not a look beforehand: PostgreSQL keeps the plan that it made for it while the table was small.
	q, args := r.insertQuery(list)
	rows, err := tx.Query(ctx, q+` ON CONFLICT (product, sn) DO NOTHING RETURNING sn`, args...)
	if err != nil {
		return err
	}
	inserted, err := scanSNs(rows)
	if err != nil {
		return err
	}
	var fresh []*Device
	for i, d := range list {
		if !inserted[d.Identity.SN] {
			list[i] = nil
			continue
		}
		fresh = append(fresh, d)
	}
	return insertTerms(ctx, tx, fresh)
}
