package artifact

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// Errors of director keys.
var (
	// ErrRotating is returned when the hub has a next director key already.
	ErrRotating = errors.New("artifact: the hub has two director keys already: put the newer into the root documents, and retire the older")
	// ErrNoDirector is returned for a director key that the hub does not have, or has retired.
	ErrNoDirector = errors.New("artifact: no such director key")
	// ErrLastDirector is returned for the retirement of the only one.
	ErrLastDirector = errors.New("artifact: it is the hub's only director key: make the next one first")
)

// DirectorInUseError is returned for the retirement of a key without which devices of some products would take nothing from this hub.
type DirectorInUseError struct{ Products int }

func (e *DirectorInUseError) Error() string {
	return fmt.Sprintf("artifact: the newest root documents of %d products name none of the hub's other director keys: set root documents that do", e.Products)
}

// directorKey is one that the hub can sign with.
type directorKey struct {
	id      int64
	created time.Time
	signing.PrivateKey
}

// Director is a director key of the hub as others see it.
type Director struct {
	Key     signing.PublicKey
	Created time.Time
	Retired time.Time // zero: it may sign
	Signs   int       // products whose assignments it signs
	Named   int       // products whose newest root document names it
}

// Director is the hub's newest director key, which root documents are to name. One is made when it is asked for the first time.
func (r *Repository) Director(ctx context.Context) (signing.PublicKey, error) {
	list, err := r.directors(ctx)
	if err == nil && len(list) == 0 {
		if err = r.makeDirector(ctx, 0); err == nil {
			list, err = r.directors(ctx) // another node may have been faster
		}
	}
	if err != nil {
		return signing.PublicKey{}, err
	}
	return list[0].Public(), nil
}

// Signer is the key that signs assignments of a product's releases: the hub's newest of those that its newest root document names. A device with an older one
// walks on to that first. ok is false when there is none.
func (r *Repository) Signer(ctx context.Context, chain Chain) (k signing.PrivateKey, ok bool, err error) {
	list, err := r.directors(ctx)
	if err != nil {
		return k, false, err
	}
	i := signer(list, chain)
	if i < 0 {
		return k, false, nil
	}
	return list[i].PrivateKey, true, nil
}

func signer(list []directorKey, chain Chain) int {
	return slices.IndexFunc(list, func(k directorKey) bool { return chain.Directs(k.Public()) })
}

// directors are the keys that are not retired, the newest first.
func (r *Repository) directors(ctx context.Context) (list []directorKey, err error) {
	rows, err := r.Store.Query(ctx, `SELECT id, secret, created_at FROM director_key ORDER BY id DESC`)
	if err != nil {
		return nil, fmt.Errorf("artifact: read director keys: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var id, created int64
		var sealed []byte
		if err := rows.Scan(&id, &sealed, &created); err != nil {
			return nil, fmt.Errorf("artifact: read director keys: %w", err)
		}
		b, err := r.Store.Unseal(store.DirectorKey, id, sealed)
		if err != nil {
			return nil, fmt.Errorf("artifact: director key: %w", err)
		}
		k, err := signing.ParsePrivateKey(b, "")
		if err != nil {
			return nil, fmt.Errorf("artifact: director key: %w", err)
		}
		list = append(list, directorKey{id, time.UnixMilli(created).UTC(), k})
	}
	return list, nil
}

// makeDirector makes the key that follows the one with that id. When another node has made it at the same moment, that one stands.
func (r *Repository) makeDirector(ctx context.Context, after int64) error {
	k, err := signing.GenerateKey(nil)
	if err != nil {
		return fmt.Errorf("artifact: make director key: %w", err)
	}
	b, err := signing.MarshalPrivateKey(k, "") // the keyring seals it
	if err != nil {
		return fmt.Errorf("artifact: make director key: %w", err)
	}
	return r.update(ctx, "keep director key", func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO director_key (id, secret, created_at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			after+1, r.Store.Seal(store.DirectorKey, after+1, b), r.now().UnixMilli())
		return err
	})
}

// RotateDirector makes the hub's next director key beside the present one. It signs for a product from the root document on that names it.
func (r *Repository) RotateDirector(ctx context.Context) (Director, error) {
	if _, err := r.Director(ctx); err != nil { // there is a first one
		return Director{}, err
	}
	list, err := r.directors(ctx)
	switch {
	case err != nil:
		return Director{}, err
	case len(list) > 1:
		return Director{}, ErrRotating
	}
	if err := r.makeDirector(ctx, list[0].id); err != nil {
		return Director{}, err
	}
	all, err := r.Directors(ctx)
	if err != nil {
		return Director{}, err
	}
	r.Log.Info("the hub has a next director key", "key", all[0].Key.ID().String())
	return all[0], nil
}

// Directors are all director keys that the hub has or had, those that may sign first, the newest first.
func (r *Repository) Directors(ctx context.Context) (all []Director, err error) {
	if _, err := r.Director(ctx); err != nil { // there is a first one
		return nil, err
	}
	list, err := r.directors(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		all = append(all, Director{Key: k.Public(), Created: k.created})
	}
	err = r.eachChain(ctx, func(c Chain) {
		if i := signer(list, c); i >= 0 {
			all[i].Signs++
		}
		for i := range all {
			if c.Directs(all[i].Key) {
				all[i].Named++
			}
		}
	})
	if err != nil {
		return nil, err
	}
	retired, err := r.retired(ctx)
	return append(all, retired...), err
}

func (r *Repository) retired(ctx context.Context) (list []Director, err error) {
	rows, err := r.Store.Query(ctx, `SELECT public, created_at, retired_at FROM director_retired ORDER BY retired_at DESC, key_id`)
	if err != nil {
		return nil, fmt.Errorf("artifact: read retired director keys: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var public []byte
		var created, retired int64
		if err := rows.Scan(&public, &created, &retired); err != nil {
			return nil, fmt.Errorf("artifact: read retired director keys: %w", err)
		}
		d := Director{Created: time.UnixMilli(created).UTC(), Retired: time.UnixMilli(retired).UTC()}
		if copy(d.Key[:], public) != len(d.Key) {
			return nil, fmt.Errorf("artifact: a retired director key has %d bytes", len(public))
		}
		list = append(list, d)
	}
	return list, nil
}

// eachChain calls do with the root documents of every product that has some.
func (r *Repository) eachChain(ctx context.Context, do func(Chain)) error {
	rows, err := r.Store.Query(ctx, `SELECT DISTINCT product FROM product_root`)
	if err != nil {
		return fmt.Errorf("artifact: read roots: %w", err)
	}
	var products []string
	for rows.Next() {
		var product string
		if err := rows.Scan(&product); err != nil {
			return errors.Join(err, rows.Close())
		}
		products = append(products, product)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("artifact: read roots: %w", err)
	}
	for _, product := range products {
		switch c, err := r.Roots(ctx, product); {
		case errors.Is(err, ErrNoRoot): // the product is just being deleted
		case err != nil:
			return err
		default:
			do(c)
		}
	}
	return nil
}

// RetireDirector has the hub sign with a key no more, and forget its private half. One that the devices of some product still need is refused unless force is
// set: they take nothing from this hub then, until they have a root document that names another.
func (r *Repository) RetireDirector(ctx context.Context, id signing.KeyID, force bool) (Director, error) {
	list, err := r.directors(ctx)
	if err != nil {
		return Director{}, err
	}
	i := slices.IndexFunc(list, func(k directorKey) bool { return k.Public().ID() == id })
	switch {
	case i < 0:
		return Director{}, ErrNoDirector
	case len(list) == 1:
		return Director{}, ErrLastDirector
	}
	k, others, needed := list[i], slices.Delete(slices.Clone(list), i, i+1), 0
	err = r.eachChain(ctx, func(c Chain) {
		if c.Directs(k.Public()) && signer(others, c) < 0 {
			needed++
		}
	})
	if err != nil {
		return Director{}, err
	}
	if needed > 0 && !force {
		return Director{}, &DirectorInUseError{needed}
	}
	d, public := Director{Key: k.Public(), Created: k.created, Retired: time.UnixMilli(r.now().UnixMilli()).UTC()}, k.Public()
	err = r.update(ctx, "retire director key", func(tx *store.Tx) error {
		var left int64
		// All are locked first, so that two that are retired at the same moment are not the last two.
		if _, err := tx.Exec(ctx, `UPDATE director_key SET created_at = created_at`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM director_key WHERE id = ?`, k.id); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM director_key`).Scan(&left); err != nil {
			return err
		}
		if left == 0 {
			return ErrLastDirector
		}
		_, err := tx.Exec(ctx, `INSERT INTO director_retired (key_id, public, created_at, retired_at) VALUES (?, ?, ?, ?) ON CONFLICT (key_id) DO NOTHING`,
			id.String(), public[:], d.Created.UnixMilli(), d.Retired.UnixMilli())
		return err
	})
	if err != nil {
		return Director{}, err
	}
	r.Log.Info("a director key is retired", "key", id.String(), "forced", needed > 0)
	return d, nil
}
