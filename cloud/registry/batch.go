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
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// rowsPerInsert bounds the parameters of one statement: 15 a row, and
// PostgreSQL takes 65,535.
const rowsPerInsert = 100

// CreateDevices makes a device for each SN, or n devices with generated SNs when
// sns is empty: all of them or, on an error, none. An SN that exists already
// makes it ErrExists.
func (r *Registry) CreateDevices(ctx context.Context, product string, n int, sns []string) ([]*Device, error) {
	if len(sns) == 0 {
		if n < 1 {
			return nil, &ErrInvalid{"count", "is less than 1"}
		}
		if n > MaxBatch {
			return nil, &LimitError{"devices in one call", MaxBatch}
		}
		sns = make([]string, n)
		for i := range sns {
			sns[i] = ident.NewDeviceSN()
		}
	}
	list := make([]NewDevice, len(sns))
	for i, sn := range sns {
		list[i].SN = sn
	}
	return r.CreateEach(ctx, product, list)
}

// CreateEach makes the devices of a list, each with its own name and tags; their Product is not looked at. It makes all of
// them or, on an error, none. A device without an SN gets one.
func (r *Registry) CreateEach(ctx context.Context, product string, news []NewDevice) (made []*Device, err error) {
	defer r.judged(&err)
	if len(news) > MaxBatch {
		return nil, &LimitError{"devices in one call", MaxBatch}
	}
	list := make([]*Device, len(news))
	sns := make(map[string]bool, len(news))
	for i, n := range news {
		if n.SN == "" {
			n.SN = ident.NewDeviceSN()
		}
		if err := CheckDevice(n); err != nil {
			return nil, err
		}
		if sns[n.SN] {
			return nil, &ErrInvalid{"deviceSNs", fmt.Sprintf("%q is there twice", n.SN)}
		}
		sns[n.SN] = true
		list[i] = &Device{Identity: ident.Device{Product: product, SN: n.SN}, Secret: n.secret(),
			Name: n.Name, Description: n.Description, Tags: maps.Clone(n.Tags)}
	}
	err = r.insertAll(ctx, product, list)
	if store.IsUnique(err) {
		// Either an SN is taken, or (nearly never) another node drew the same
		// ids: only the second is cured by new ones.
		err = r.insertAll(ctx, product, list)
	}
	switch {
	case store.IsUnique(err):
		return nil, r.taken(ctx, list)
	case err != nil:
		return nil, fmt.Errorf("registry: create devices of product %s: %w", product, err)
	}
	for _, d := range list {
		r.Apply(Change{Kind: DeviceCreated, Product: product, Device: d.Identity, DeviceID: d.ID})
	}
	return list, nil
}

// secret is the given one or a new one.
func (n NewDevice) secret() credential.Secret {
	if n.Secret != "" {
		return n.Secret
	}
	return credential.NewSecret()
}

// taken says which of list exists already.
func (r *Registry) taken(ctx context.Context, list []*Device) error {
	for _, d := range list {
		if _, err := r.Device(ctx, d.Identity); err == nil {
			return fmt.Errorf("%s: %w", d.Identity.SN, ErrExists)
		}
	}
	return ErrExists
}

func (r *Registry) insertAll(ctx context.Context, product string, list []*Device) error {
	first := r.ids.take(len(list))
	for i, d := range list {
		// Created is what the id says, so that devices created in a span of time are those of a span of ids.
		d.ID = first + int64(i)
		d.Created = MomentOf(timeOfID(d.ID))
	}
	return r.db.Update(ctx, func(tx *store.Tx) error {
		var project string
		err := tx.QueryRow(ctx, `SELECT project FROM product WHERE sn = ?`, product).Scan(&project)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrProductNotFound
		}
		if err != nil {
			return err
		}
		if err := r.fits(ctx, tx, project, KindOfDevices, len(list)); err != nil {
			return err
		}
		for _, d := range list {
			d.Project, d.Revision = project, 1
		}
		for chunk := range slices.Chunk(list, rowsPerInsert) {
			if err := r.insertDevices(ctx, tx, chunk); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *Registry) insertDevices(ctx context.Context, tx *store.Tx, list []*Device) error {
	q, args := r.insertQuery(list)
	if _, err := tx.Exec(ctx, q, args...); err != nil {
		return err
	}
	return insertTerms(ctx, tx, list)
}

func (r *Registry) insertQuery(list []*Device) (string, []any) {
	const row = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	args := make([]any, 0, 15*len(list))
	for _, d := range list {
		args = append(args, d.ID, d.Identity.Product, d.Identity.SN, r.sealSecret(d.ID, d.Secret), d.Name, d.Description, int64(d.State),
			int64(d.Created), 0, 0, 0, 0, d.Project, d.Revision, d.Tags.encode())
	}
	return `INSERT INTO device (` + deviceColumns + `) VALUES ` + row + strings.Repeat(", "+row, len(list)-1), args
}

// execDevice updates the row of one device.
func (s *setList) execDevice(ctx context.Context, tx *store.Tx, id ident.Device) error {
	columns := append(slices.Clip(s.columns), "revision = revision + 1")
	return execOne(ctx, tx, ErrDeviceNotFound, `UPDATE device SET `+strings.Join(columns, ", ")+` WHERE product = ? AND sn = ?`,
		append(slices.Clip(s.args), id.Product, id.SN)...)
}
