package artifact

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// Release is a signed release of a product.
type Release struct {
	ID       int64
	Product  string
	Manifest *manifest.Manifest
	Digest   manifest.Digest
	Root     uint64 // version of the root document that it was verified with
	Envelope []byte
	Created  time.Time
}

// Size is the sum of the images' bytes.
func (r *Release) Size() (n int64) {
	for i := range r.Manifest.Components {
		n += int64(r.Manifest.Components[i].Image.Size)
	}
	return n
}

// Lead is the component that a release is known by where there is room for one: default, or the first.
func (r *Release) Lead() *manifest.Component {
	if c := r.Manifest.Component("default"); c != nil {
		return c
	}
	return &r.Manifest.Components[0]
}

// Verify reads an envelope and holds it to the product's newest root document. Nothing is stored.
func (r *Repository) Verify(ctx context.Context, product string, envelope []byte) (*Release, error) {
	chain, err := r.Roots(ctx, product)
	if err != nil {
		return nil, err
	}
	root := chain.Newest()
	if root.Expired(r.now()) {
		return nil, &RefusedError{"manifest", failure.New(failure.Stale, "root document %d ended on %s", root.Version, root.NotAfter.Format(time.DateOnly))}
	}
	signed, err := root.VerifyEnvelope(envelope)
	if err != nil {
		return nil, &RefusedError{"manifest", err}
	}
	if signed.Sequence > math.MaxInt64 {
		return nil, &RefusedError{"manifest", failure.New(failure.Rollback, "sequence number %d: nothing could follow", signed.Sequence)}
	}
	for _, c := range signed.Components {
		if c.Image.Size > uint64(r.cfg.MaxSize) {
			return nil, fmt.Errorf("%w: image %q has %d bytes, at most %d are allowed", ErrTooLarge, c.Module, c.Image.Size, r.cfg.MaxSize)
		}
	}
	return &Release{Product: product, Manifest: signed.Manifest, Digest: signed.Digest, Root: root.Version, Envelope: envelope, Created: r.now()}, nil
}

// Insert adds a release that Verify has returned, in a transaction of the caller's. What there is of its files already is linked.
func (r *Repository) Insert(ctx context.Context, tx *store.Tx, rel *Release) error {
	_, err := tx.Exec(ctx, `INSERT INTO ota_release (id, product, digest, sequence, root, envelope, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		rel.ID, rel.Product, rel.Digest.String(), int64(rel.Manifest.Sequence), int64(rel.Root), rel.Envelope, rel.Created.UnixMilli())
	if err != nil {
		return err
	}
	for i := range rel.Manifest.Components {
		for _, f := range filesOf(&rel.Manifest.Components[i]) {
			f.Release, f.Created = rel.ID, rel.Created
			if err := r.insertFile(ctx, tx, &f); err != nil {
				return err
			}
		}
	}
	return nil
}

// filesOf are the files that a component has beside its deltas.
func filesOf(c *manifest.Component) []File {
	list := []File{{Component: c.Module, Kind: Image, Blob: blobName(Image, c.Image.Digest.String())}}
	if c.Index == nil {
		return list
	}
	index := c.Index.Digest.String()
	return append(list, File{Component: c.Module, Kind: Index, Blob: blobName(Index, index), State: Waiting},
		File{Component: c.Module, Kind: Pack, Blob: blobName(Pack, index), State: Waiting})
}

func (r *Repository) insertFile(ctx context.Context, tx *store.Tx, f *File) error {
	// The blob is claimed first, so that whoever removes it at the same moment sees this or is seen.
	if _, err := tx.Exec(ctx, `UPDATE ota_artifact SET used_at = ? WHERE blob = ? AND state < 2`, f.Created.UnixMilli(), f.Blob); err != nil {
		return err
	}
	var there int64
	q, args := `SELECT COUNT(*) FROM ota_artifact WHERE blob = ? AND state = 1`, []any{f.Blob}
	switch f.Kind {
	case Image: // who knows only the digest of an image of another product must not get it by a manifest that names it
		q += ` AND EXISTS (SELECT 1 FROM ota_release_file x JOIN ota_release o ON o.id = x.release JOIN ota_release mine ON mine.product = o.product
			WHERE x.blob = ota_artifact.blob AND x.state = 2 AND mine.id = ?)`
		args = append(args, f.Release)
	case Index, Pack: // nor who knows only that of its index: it must have been made of the image that this release has
		q += ` AND EXISTS (SELECT 1 FROM ota_release_file x JOIN ota_release_file i ON i.release = x.release AND i.component = x.component AND i.kind = 1 AND i.state = 2
			JOIN ota_release_file mine ON mine.blob = i.blob AND mine.kind = 1 AND mine.state = 2 AND mine.release = ? AND mine.component = ?
			WHERE x.blob = ota_artifact.blob AND x.state = 2)`
		args = append(args, f.Release, f.Component)
	}
	if err := tx.QueryRow(ctx, q, args...).Scan(&there); err != nil {
		return err
	}
	if there > 0 {
		f.State = Ready
	}
	_, err := tx.Exec(ctx, `INSERT INTO ota_release_file (release, component, kind, base, blob, state, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		f.Release, f.Component, int64(f.Kind), f.Base, f.Blob, int64(f.State), f.Created.UnixMilli())
	return err
}

// Release is the release with that id.
func (r *Repository) Release(ctx context.Context, id int64) (*Release, error) {
	return r.release(ctx, `id = ?`, id)
}

// ByDigest is the release of a product with that manifest.
func (r *Repository) ByDigest(ctx context.Context, product string, d manifest.Digest) (*Release, error) {
	return r.release(ctx, `product = ? AND digest = ?`, product, d.String())
}

func (r *Repository) release(ctx context.Context, where string, args ...any) (*Release, error) {
	var rel Release
	var root, created int64
	err := r.Store.QueryRow(ctx, `SELECT id, product, root, envelope, created_at FROM ota_release WHERE `+where, args...).
		Scan(&rel.ID, &rel.Product, &root, &rel.Envelope, &created)
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("artifact: read release: %w", err)
	}
	rel.Root, rel.Created = uint64(root), time.UnixMilli(created).UTC()
	e, err := manifest.ParseEnvelope(rel.Envelope)
	if err == nil {
		rel.Digest = e.Digest()
		rel.Manifest, err = e.Unverified() // it was verified when it came in
	}
	if err != nil {
		return nil, fmt.Errorf("artifact: stored release %d: %w", rel.ID, err)
	}
	return &rel, nil
}

// Delete removes a release in a transaction of the caller's. Its blobs go later, when no other release needs them.
func (r *Repository) Delete(ctx context.Context, tx *store.Tx, id int64) error {
	if _, err := tx.Exec(ctx, `UPDATE ota_artifact SET used_at = ? WHERE blob IN (SELECT blob FROM ota_release_file WHERE release = ?)`, r.now().UnixMilli(), id); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM ota_release_file WHERE release = ?`, id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM ota_release WHERE id = ?`, id)
	r.served.Clear() // links to it end here at once
	return err
}
