package artifact

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// Root is a root document of a product, as it was uploaded.
type Root struct {
	*signing.Root
	Document []byte
	Created  time.Time
}

// Chain is the root documents of a product, the oldest first, each verified by the one before.
type Chain []Root

// Newest is the last of the chain; it has at least one.
func (c Chain) Newest() Root { return c[len(c)-1] }

// After are the documents that a device with that version needs, in order.
func (c Chain) After(version uint64) Chain {
	i := slices.IndexFunc(c, func(r Root) bool { return r.Version > version })
	if i < 0 {
		return nil
	}
	return c[i:]
}

// Directs tells whether a key is a director key of the newest root.
func (c Chain) Directs(k signing.PublicKey) bool {
	return c.Newest().RoleOf(k.ID()) == signing.RoleDirector
}

// Roots are the root documents of a product; ErrNoRoot when there is none.
func (r *Repository) Roots(ctx context.Context, product string) (Chain, error) {
	var newest int64
	if err := r.Store.QueryRow(ctx, `SELECT COALESCE(MAX(version), 0) FROM product_root WHERE product = ?`, product).Scan(&newest); err != nil {
		return nil, fmt.Errorf("artifact: read roots: %w", err)
	}
	if newest == 0 {
		return nil, ErrNoRoot
	}
	if c, ok := r.roots.Get(product); ok && c.Newest().Version == uint64(newest) { // else another node has taken one
		return *c, nil
	}
	c, err := r.readRoots(ctx, product)
	if err == nil {
		r.roots.Put(product, &c)
	}
	return c, err
}

func (r *Repository) readRoots(ctx context.Context, product string) (c Chain, err error) {
	rows, err := r.Store.Query(ctx, `SELECT document, created_at FROM product_root WHERE product = ? ORDER BY version`, product)
	if err != nil {
		return nil, fmt.Errorf("artifact: read roots: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var doc []byte
		var created int64
		if err := rows.Scan(&doc, &created); err != nil {
			return nil, fmt.Errorf("artifact: read roots: %w", err)
		}
		root, err := c.verify(doc)
		if err != nil {
			return nil, fmt.Errorf("artifact: stored root of %s: %w", product, err)
		}
		c = append(c, Root{root, doc, time.UnixMilli(created).UTC()})
	}
	return c, nil
}

// verify reads the document that follows the chain; the first one is trusted for being signed by its own keys.
func (c Chain) verify(doc []byte) (*signing.Root, error) {
	if len(c) > 0 {
		return c.Newest().Next(doc)
	}
	root, err := signing.TrustRoot(doc)
	if err == nil && root.Version != 1 {
		err = failure.New(failure.Dependency, "version %d: the first root document is version 1", root.Version)
	}
	return root, err
}

// AddRoot takes the root document that follows the newest, or the first one of a product. The newest once more is no error and changes nothing.
func (r *Repository) AddRoot(ctx context.Context, product string, doc []byte) (Chain, error) {
	c, err := r.Roots(ctx, product)
	if err != nil && !errors.Is(err, ErrNoRoot) {
		return nil, err
	}
	root, err := c.verify(doc)
	if err != nil {
		return nil, &RefusedError{"root document", err}
	}
	if len(c) > 0 && root.Version == c.Newest().Version {
		return c, nil
	}
	if root.Expired(r.now()) {
		return nil, &RefusedError{"root document", failure.New(failure.Stale, "version %d ended on %s", root.Version, root.NotAfter.Format(time.DateOnly))}
	}
	err = r.update(ctx, "add root", func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO product_root (product, version, document, created_at) VALUES (?, ?, ?, ?)`, product, int64(root.Version), doc, r.now().UnixMilli())
		return err
	})
	if store.IsUnique(err) {
		return nil, fmt.Errorf("artifact: %w: another root document was added at the same moment: try again", store.ErrUnavailable)
	}
	if err != nil {
		return nil, err
	}
	return r.Roots(ctx, product)
}
