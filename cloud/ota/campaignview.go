package ota

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Moment is a change of a deployment.
type Moment struct {
	At      time.Time
	State   State
	Class   string
	Code    int64
	Attempt int
}

// maxMoments bounds a timeline: the newest are shown. A deployment changes its state some ten times an attempt, of which there are few.
const maxMoments = 500

// Timeline is what became of a device in a campaign or task, oldest first, with the deployment as it is now.
func (o *OTA) Timeline(ctx context.Context, task int64, dev ident.Device) (d *Deployment, list []Moment, err error) {
	found, err := o.query(ctx, `WHERE d.task = ? AND d.sn = ? AND t.product = ?`, task, dev.SN, dev.Product)
	if err == nil && len(found) == 0 {
		return nil, nil, ErrNoDeployment
	}
	if err != nil {
		return nil, nil, err
	}
	rows, err := o.Store.Query(ctx, `SELECT at, state, class, code, attempt FROM (SELECT at, state, class, code, attempt, revision FROM ota_event
		WHERE task = ? AND device = ? ORDER BY revision DESC LIMIT ?) AS newest ORDER BY revision`, task, found[0].device, maxMoments)
	if err != nil {
		return nil, nil, fmt.Errorf("ota: read timeline: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var m Moment
		var at, state, attempt int64
		if err := rows.Scan(&at, &state, &m.Class, &m.Code, &attempt); err != nil {
			return nil, nil, fmt.Errorf("ota: read timeline: %w", err)
		}
		m.At, m.State, m.Attempt = timeOf(at), State(state), int(attempt)
		list = append(list, m)
	}
	return &found[0].Deployment, list, nil
}

// ErrNoDeployment is returned for a device that a campaign has not come to.
var ErrNoDeployment = errors.New("ota: the campaign is not for that device, or has not come to it")

// VersionCount is how many devices said that they ran a version.
type VersionCount struct {
	At              time.Time // zero: now
	Module, Version string
	N               int64
}

// Distribution is how many devices of a product run which version now, by module.
func (o *OTA) Distribution(ctx context.Context, product string) ([]VersionCount, error) {
	return o.versionCounts(ctx, `SELECT 0, v.module, v.version, COUNT(*) FROM module_version v JOIN device d ON d.id = v.device WHERE d.product = ?
		GROUP BY v.module, v.version ORDER BY v.module, v.version`, product)
}

// maxSamples bounds one answer: some weeks of hours with a few versions.
const maxSamples = 10_000

// VersionHistory is the same hour by hour since a moment, oldest first; where there are too many, the newest.
func (o *OTA) VersionHistory(ctx context.Context, product, module string, since time.Time) ([]VersionCount, error) {
	return o.versionCounts(ctx, `SELECT at, module, version, n FROM (SELECT at, module, version, n FROM ota_version_sample WHERE product = ? AND module = ? AND at >= ?
		ORDER BY at DESC, version LIMIT ?) AS newest ORDER BY at, version`, product, module, millis(since), maxSamples)
}

func (o *OTA) versionCounts(ctx context.Context, q string, args ...any) (list []VersionCount, err error) {
	rows, err := o.Store.Query(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("ota: count versions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var c VersionCount
		var at int64
		if err := rows.Scan(&at, &c.Module, &c.Version, &c.N); err != nil {
			return nil, fmt.Errorf("ota: count versions: %w", err)
		}
		c.At = timeOf(at)
		list = append(list, c)
	}
	return list, nil
}

const (
	sampleEvery = time.Hour
	sampleLife  = 400 * 24 * time.Hour
)

// sampledVersions is of how many versions of a module an hour is noted: of the most common, so that devices which make versions up fill no store.
const sampledVersions = 100

// sample notes once an hour how many devices run which version, for all products. The first node to do so in an hour does it.
func (o *OTA) sample(ctx context.Context) error {
	at := o.now().Truncate(sampleEvery)
	if o.sampled.Equal(at) {
		return nil
	}
	var last int64
	if err := o.Store.QueryRow(ctx, `SELECT COALESCE(MAX(at), 0) FROM ota_version_sample`).Scan(&last); err != nil {
		return fmt.Errorf("ota: look for samples: %w", err)
	}
	if last < millis(at) {
		if err := o.sampleNow(ctx, at); err != nil {
			return err
		}
	}
	o.sampled = at
	return nil
}

func (o *OTA) sampleNow(ctx context.Context, at time.Time) error {
	rows, err := o.Store.Query(ctx, `SELECT d.product, v.module, v.version, COUNT(*) FROM module_version v JOIN device d ON d.id = v.device
		GROUP BY d.product, v.module, v.version ORDER BY d.product, v.module, COUNT(*) DESC, v.version`)
	if err != nil {
		return fmt.Errorf("ota: count versions: %w", err)
	}
	var ops [][]any
	of, noted := [2]string{}, 0 // product and module, and how many of its versions there are by now
	for rows.Next() {
		var product, module, version string
		var n int64
		if err = rows.Scan(&product, &module, &version, &n); err != nil {
			break
		}
		if of != [2]string{product, module} {
			of, noted = [2]string{product, module}, 0
		}
		if noted++; noted <= sampledVersions {
			ops = append(ops, []any{product, module, millis(at), version, n})
		}
	}
	if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("ota: count versions: %w", err)
	}
	err = o.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM ota_version_sample WHERE at < ?`, millis(at.Add(-sampleLife))); err != nil {
			return err
		}
		for _, args := range ops {
			if _, err := tx.Exec(ctx, `INSERT INTO ota_version_sample (product, module, at, version, n) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (product, module, at, version) DO NOTHING`, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ota: note versions: %w", err)
	}
	return nil
}
