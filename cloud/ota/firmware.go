package ota

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
)

// Firmware is an immutable snapshot.
type Firmware struct {
	ID                       int64
	Product, Module, Version string
	Description              string
	Size                     int64
	MD5, SHA256              string // lower-case hex; "" for a release of several images
	Created                  time.Time
	Signed                   bool // there is a release of the same id
	// Needs is the version that a device must have at least before it takes this one, "" is any. A release says so in its manifest.
	Needs string
	// Requires is what other modules of the device must be, by module, as rollout.ParseRange reads it. A release says so in its manifest, too.
	Requires map[string]string

	blob string // "" for the place that follows from the id
}

// Plain tells whether a device can have the firmware that verifies no manifests.
func (f *Firmware) Plain() bool { return !f.Signed || f.blob != "" }

// Blob is the name under which the file lies in the blob store.
func (f *Firmware) Blob() string {
	if f.blob != "" {
		return f.blob
	}
	return fmt.Sprintf("firmware/%s/%d", f.Product, f.ID)
}

// NewFirmware is what AddFirmware needs. An empty Module is DefaultModule.
type NewFirmware struct {
	Product, Module, Version, Description string
	Needs                                 string            // version that a device must have at least; "" is any
	Requires                              map[string]string // versions that other modules must have, by module
	Data                                  io.Reader
}

const maxDescription = 1000

// AddFirmware stores a firmware; its file is read to the end, and its digests are computed on the way.
func (o *OTA) AddFirmware(ctx context.Context, n NewFirmware) (*Firmware, error) {
	if n.Module == "" {
		n.Module = DefaultModule
	}
	switch {
	case !word.MatchString(n.Version):
		return nil, &ErrInvalid{"version", "must be 1 to 32 of A-Z a-z 0-9 . _ -"}
	case !word.MatchString(n.Module):
		return nil, &ErrInvalid{"module", "must be 1 to 32 of A-Z a-z 0-9 . _ -"}
	case n.Needs != "" && (!word.MatchString(n.Needs) || rollout.Compare(n.Needs, n.Version) >= 0):
		return nil, &ErrInvalid{"needs", "must be an older version"}
	case len(n.Description) > maxDescription:
		return nil, &ErrInvalid{"description", fmt.Sprintf("has more than %d bytes", maxDescription)}
	}
	if err := o.checkRequires(n.Module, n.Requires); err != nil {
		return nil, err
	}
	if _, err := o.Registry.Product(ctx, n.Product); err != nil {
		return nil, err
	}
	f := &Firmware{ID: int64(o.IDs.Next()), Product: n.Product, Module: n.Module, Version: n.Version, Description: n.Description, Created: timeOf(millis(o.now())),
		Needs: n.Needs, Requires: n.Requires}
	if err := o.reserve(ctx, f, nil); err != nil {
		return nil, err
	}
	if err := o.fill(ctx, f, n.Data); err != nil {
		o.discard(f)
		return nil, err
	}
	return f, nil
}

func (o *OTA) checkRequires(module string, requires map[string]string) error {
	if len(requires) >= o.cfg.MaxModules {
		return &ErrInvalid{"requires", fmt.Sprintf("names %d modules, at most %d", len(requires), o.cfg.MaxModules-1)}
	}
	for other, text := range requires {
		r, err := rollout.ParseRange(text)
		switch {
		case !word.MatchString(other) || other == module:
			return &ErrInvalid{"requires", fmt.Sprintf("%q is no other module", other)}
		case err != nil:
			return &ErrInvalid{"requires", other + ": " + err.Error()}
		case r.Takes("") || len(text) > maxRange:
			return &ErrInvalid{"requires", other + fmt.Sprintf(": wants versions, in at most %d bytes", maxRange)}
		}
	}
	return nil
}

// maxRange bounds the text of a range that is required.
const maxRange = 200

// asks are the firmware's own; a release has them in its manifest.
func (f *Firmware) asks() (list []ask, err error) {
	if f.Needs != "" {
		list = append(list, ask{module: f.Module, atLeast: f.Needs})
	}
	for _, module := range slices.Sorted(maps.Keys(f.Requires)) {
		r, err := rollout.ParseRange(f.Requires[module])
		if err != nil {
			return nil, fmt.Errorf("ota: firmware %d requires %s: %w", f.ID, module, err)
		}
		list = append(list, ask{module: module, in: r})
	}
	return list, nil
}

// reserve notes the version before its file comes in: two uploads of it cannot both succeed, and what is left of one that broke off
// is found again. also does what belongs into the same transaction; nil is nothing.
func (o *OTA) reserve(ctx context.Context, f *Firmware, also func(tx *store.Tx) error) error {
	requires := ""
	if len(f.Requires) > 0 {
		b, err := json.Marshal(f.Requires)
		if err != nil {
			return fmt.Errorf("ota: note firmware: %w", err)
		}
		requires = string(b)
	}
	err := o.Store.Update(ctx, func(tx *store.Tx) error {
		var others, same int64
		if err := tx.QueryRow(ctx, `SELECT COUNT(DISTINCT module) FROM firmware WHERE product = ? AND module <> ?`, f.Product, f.Module).Scan(&others); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM firmware WHERE product = ? AND module = ?`, f.Product, f.Module).Scan(&same); err != nil {
			return err
		}
		switch {
		case others >= int64(o.cfg.MaxModules):
			return &registry.LimitError{What: "modules of a product", Max: o.cfg.MaxModules}
		case same >= int64(o.cfg.MaxFirmwares):
			return &registry.LimitError{What: "firmwares of a module", Max: o.cfg.MaxFirmwares}
		}
		_, err := tx.Exec(ctx, `INSERT INTO firmware (id, product, module, version, description, signed, needs, requires, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			f.ID, f.Product, f.Module, f.Version, f.Description, f.Signed, f.Needs, requires, millis(f.Created))
		if err == nil && also != nil {
			err = also(tx)
		}
		return err
	})
	if store.IsUnique(err) {
		return ErrExists
	}
	if err != nil {
		return fmt.Errorf("ota: note firmware: %w", err)
	}
	return nil
}

// fill stores the file and makes the firmware one that is there.
func (o *OTA) fill(ctx context.Context, f *Firmware, data io.Reader) error {
	m, s := md5.New(), sha256.New()
	limited := &io.LimitedReader{R: data, N: o.cfg.MaxSize + 1}
	info, err := o.Blobs.Put(ctx, f.Blob(), io.TeeReader(limited, io.MultiWriter(m, s)), -1)
	switch {
	case err != nil:
		return fmt.Errorf("ota: store firmware: %w", err)
	case limited.N == 0:
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, o.cfg.MaxSize)
	case info.Size == 0:
		return &ErrInvalid{"body", "is empty: it must be the firmware's file"}
	}
	f.Size, f.MD5, f.SHA256 = info.Size, hex.EncodeToString(m.Sum(nil)), hex.EncodeToString(s.Sum(nil))
	err = o.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE firmware SET state = 1, size = ?, md5 = ?, sha256 = ? WHERE id = ?`, f.Size, f.MD5, f.SHA256, f.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("ota: list firmware: %w", err)
	}
	return nil
}

// discard removes what is left of a firmware that did not come in; Trim does so should it fail.
func (o *OTA) discard(f *Firmware) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // the caller may have gone
	defer cancel()
	if err := o.remove(ctx, f); err != nil {
		o.Log.Warn("half a firmware is left, it is removed later", "product", f.Product, "err", err)
	}
}

// remove deletes a firmware, its bytes first: a row without bytes is found again, bytes without a row are not.
func (o *OTA) remove(ctx context.Context, f *Firmware) error {
	o.firmwares.Remove(f.ID)
	if !f.Signed { // the files of a release may be those of another one too
		if err := o.Blobs.Delete(ctx, f.Blob()); err != nil {
			return fmt.Errorf("ota: delete firmware: %w", err)
		}
	}
	err := o.Store.Update(ctx, func(tx *store.Tx) error {
		if f.Signed {
			if err := o.Artifacts.Delete(ctx, tx, f.ID); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM firmware WHERE id = ?`, f.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("ota: delete firmware: %w", err)
	}
	return nil
}

// DeleteFirmware deletes a firmware that no device is still to get, or a release that is not complete.
func (o *OTA) DeleteFirmware(ctx context.Context, product string, id int64) error {
	list, err := o.queryFirmwares(ctx, `product = ? AND id = ? AND (state = 1 OR state = 0 AND signed = 1)`, product, id)
	if err == nil && len(list) == 0 {
		err = ErrFirmwareNotFound
	}
	if err != nil {
		return err
	}
	f := list[0]
	var n int64
	err = o.Store.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM ota_deployment d JOIN ota_task t ON t.id = d.task WHERE t.firmware = ? AND d.open = 1)
		+ (SELECT COUNT(*) FROM ota_deployment d JOIN ota_task t ON t.id = d.task WHERE t.product = ? AND d.via = ? AND d.open = 1)
		+ (SELECT COALESCE(SUM(k.total - k.released + CASE WHEN k.status = 0 THEN 1 ELSE 0 END), 0) FROM ota_campaign k JOIN ota_task t ON t.id = k.id
			WHERE t.firmware = ? AND k.status IN (0, 1, 2, 3))`, id, product, id, id).Scan(&n)
	if err != nil {
		return fmt.Errorf("ota: look for tasks: %w", err)
	}
	if n > 0 {
		return fmt.Errorf("%w (%d devices)", ErrInUse, n)
	}
	// It is gone when its row says so; bytes that cannot be removed then go with the next Trim.
	err = o.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE firmware SET state = 2 WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("ota: delete firmware: %w", err)
	}
	if err := o.remove(ctx, f); err != nil {
		o.Log.Warn("the file of a deleted firmware is left, it is removed later", "product", product, "firmware", id, "err", err)
	}
	return nil
}

const firmwareColumns = `id, product, module, version, description, size, md5, sha256, signed, blob, needs, requires, created_at`

type scanner interface{ Scan(dst ...any) error }

func scanFirmware(row scanner) (*Firmware, error) {
	var f Firmware
	var created int64
	var requires string
	err := row.Scan(&f.ID, &f.Product, &f.Module, &f.Version, &f.Description, &f.Size, &f.MD5, &f.SHA256, &f.Signed, &f.blob, &f.Needs, &requires, &created)
	if err == nil && requires != "" {
		err = json.Unmarshal([]byte(requires), &f.Requires)
	}
	f.Created = timeOf(created)
	return &f, err
}

// Firmware is a firmware of a product, as the store has it: another node may have deleted it.
func (o *OTA) Firmware(ctx context.Context, product string, id int64) (*Firmware, error) {
	f, err := o.readFirmware(ctx, id)
	if err == nil && f.Product != product {
		return nil, ErrFirmwareNotFound
	}
	return f, err
}

func (o *OTA) readFirmware(ctx context.Context, id int64) (*Firmware, error) {
	f, err := scanFirmware(o.Store.QueryRow(ctx, `SELECT `+firmwareColumns+` FROM firmware WHERE id = ? AND state = 1`, id))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrFirmwareNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("ota: read firmware: %w", err)
	}
	return f, nil
}

// firmware is the firmware with that id, from memory when it is there.
func (o *OTA) firmware(ctx context.Context, id int64) (*Firmware, error) {
	if f, ok := o.firmwares.Get(id); ok {
		return f, nil
	}
	ticket := o.firmwares.Ticket(id)
	f, err := o.readFirmware(ctx, id)
	if err != nil {
		return nil, err
	}
	o.firmwares.Fill(id, ticket, f)
	return f, nil
}

// Firmwares lists the firmwares of a product, the newest first; module "" is any. There are so few that they need no pages.
func (o *OTA) Firmwares(ctx context.Context, product, module string) ([]*Firmware, error) {
	where, args := `product = ? AND state = 1`, []any{product}
	if module != "" {
		where, args = where+` AND module = ?`, append(args, module)
	}
	return o.queryFirmwares(ctx, where+` ORDER BY id DESC`, args...)
}

func (o *OTA) queryFirmwares(ctx context.Context, where string, args ...any) (list []*Firmware, err error) {
	rows, err := o.Store.Query(ctx, `SELECT `+firmwareColumns+` FROM firmware WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("ota: list firmwares: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		f, err := scanFirmware(rows)
		if err != nil {
			return nil, fmt.Errorf("ota: list firmwares: %w", err)
		}
		list = append(list, f)
	}
	return list, nil
}

// Content reads a firmware's file.
func (o *OTA) Content(ctx context.Context, f *Firmware) (io.ReadCloser, error) {
	r, _, err := o.Blobs.Get(ctx, f.Blob(), 0, -1)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, ErrFirmwareNotFound
	}
	return r, err
}

// Find is what a short URL's token stands for, or what has the path below it. A token that does not hold, a path that there is not, and one that is
// used without TLS where that is not allowed, find ErrFirmwareNotFound.
func (o *OTA) Find(ctx context.Context, token, path string, encrypted bool) (artifact.Content, error) {
	link, err := o.Links.Open(token)
	switch {
	case err != nil:
		return artifact.Content{}, fmt.Errorf("%w: %w", ErrFirmwareNotFound, err)
	case !encrypted && !o.cfg.AllowPlain:
		return artifact.Content{}, fmt.Errorf("%w: not without TLS", ErrFirmwareNotFound)
	case link.Kind == shortlink.Firmware && path == "":
		f, err := o.firmware(ctx, link.ID)
		if err != nil {
			return artifact.Content{}, err
		}
		return artifact.Content{Blob: f.Blob(), Size: f.Size, ETag: f.SHA256}, nil
	case link.Kind == shortlink.Release:
		c, err := o.Artifacts.Content(ctx, link.ID, path)
		if errors.Is(err, artifact.ErrNoFile) {
			err = fmt.Errorf("%w: %w", ErrFirmwareNotFound, err)
		}
		return c, err
	}
	return artifact.Content{}, fmt.Errorf("%w: the link is for something else", ErrFirmwareNotFound)
}

// halfLife is how long an upload may take before what is there of it counts as left over.
const halfLife = 6 * time.Hour

// Trim removes firmwares that did not come in whole and those of products that are gone.
func (o *OTA) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	list, err := o.queryFirmwares(ctx, `state = 0 AND created_at < ? OR state = 2 OR NOT EXISTS (SELECT 1 FROM product WHERE product.sn = firmware.product)`,
		now.Add(-halfLife).UnixMilli())
	if err != nil {
		return 0, err
	}
	for _, f := range list {
		if err := o.remove(ctx, f); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}
