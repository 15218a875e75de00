package ota

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// Release is a signed release with the firmware that it is for tasks. Until all its files are there it is no firmware that tasks can bring.
type Release struct {
	*artifact.Release
	Description string
	Files       []artifact.File
	Ready       bool
}

// Progress tells what the release waits for.
func (r *Release) Progress() artifact.Progress { return artifact.ProgressOf(r.Files) }

// AddRelease takes a signed manifest. The release is complete when the images that it names have come in, and the hub has made of them what it
// serves. The same manifest once more is no error and returns what there is, so that an upload can go on where it was cut off.
func (o *OTA) AddRelease(ctx context.Context, product string, envelope []byte, description string) (*Release, error) {
	if len(description) > maxDescription {
		return nil, &ErrInvalid{"description", fmt.Sprintf("has more than %d bytes", maxDescription)}
	}
	if _, err := o.Registry.Product(ctx, product); err != nil {
		return nil, err
	}
	rel, err := o.Artifacts.Verify(ctx, product, envelope)
	if err != nil {
		return nil, err
	}
	if old, err := o.Artifacts.ByDigest(ctx, product, rel.Digest); !errors.Is(err, artifact.ErrNotFound) {
		if err != nil {
			return nil, err
		}
		return o.Release(ctx, product, old.ID)
	}
	lead := rel.Lead()
	if !word.MatchString(lead.Version) {
		return nil, &ErrInvalid{"version", "must be 1 to 32 of A-Z a-z 0-9 . _ -"}
	}
	rel.ID = int64(o.IDs.Next())
	f := &Firmware{ID: rel.ID, Product: product, Module: lead.Module, Version: lead.Version, Description: description, Created: timeOf(millis(o.now())), Signed: true}
	if err := o.reserve(ctx, f, func(tx *store.Tx) error { return o.Artifacts.Insert(ctx, tx, rel) }); err != nil {
		return nil, err
	}
	if err := o.finishReleases(ctx); err != nil { // everything may be here already
		return nil, err
	}
	return o.Release(ctx, product, rel.ID)
}

// PutImage takes the image of a component of a release. One that the hub has is not read.
func (o *OTA) PutImage(ctx context.Context, product string, id int64, component string, body io.Reader) (*Release, error) {
	rel, err := o.Release(ctx, product, id)
	if err != nil {
		return nil, err
	}
	if err := o.Artifacts.Receive(ctx, rel.Release, component, body); err != nil {
		return nil, err
	}
	if err := o.finishReleases(ctx); err != nil {
		return nil, err
	}
	return o.Release(ctx, product, id)
}

// Release is a release of a product.
func (o *OTA) Release(ctx context.Context, product string, id int64) (*Release, error) {
	list, err := o.releases(ctx, `product = ? AND signed = 1 AND state < 2 AND id = ?`, product, id)
	if err == nil && len(list) == 0 {
		err = ErrFirmwareNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

func (o *OTA) releases(ctx context.Context, where string, args ...any) (list []*Release, err error) {
	rows, err := o.Store.Query(ctx, `SELECT id, description, state FROM firmware WHERE `+where+` ORDER BY id DESC`, args...)
	if err != nil {
		return nil, fmt.Errorf("ota: list releases: %w", err)
	}
	var ids []int64
	for rows.Next() {
		var r Release
		var id, state int64
		if err := rows.Scan(&id, &r.Description, &state); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		r.Ready = state == 1
		list, ids = append(list, &r), append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("ota: list releases: %w", err)
	}
	there := list[:0]
	for i, r := range list {
		r.Release, err = o.Artifacts.Release(ctx, ids[i])
		if errors.Is(err, artifact.ErrNotFound) {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		if r.Files, err = o.Artifacts.Files(ctx, ids[i]); err != nil {
			return nil, err
		}
		there = append(there, r)
	}
	return there, nil
}

// finishReleases makes firmwares of the releases whose files are all there.
func (o *OTA) finishReleases(ctx context.Context) error {
	list, err := o.releases(ctx, `signed = 1 AND state = 0`)
	if err != nil {
		return err
	}
	for _, r := range list {
		if !r.Progress().Ready() {
			continue
		}
		if err := o.finish(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// finish lists a release as firmware. One with a single image is one for stock devices too.
func (o *OTA) finish(ctx context.Context, r *Release) error {
	var f Firmware
	f.Size = r.Size()
	for _, file := range r.Files {
		if file.Kind == artifact.Image && len(r.Manifest.Components) == 1 {
			f.MD5, f.SHA256, f.blob = file.MD5, file.SHA256, file.Blob
		}
	}
	err := o.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE firmware SET state = 1, size = ?, md5 = ?, sha256 = ?, blob = ? WHERE id = ? AND state = 0`, f.Size, f.MD5, f.SHA256, f.blob, r.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("ota: list release: %w", err)
	}
	return nil
}

// deliverable is a firmware that devices can be brought now: a release is complete, and the newest root document still takes it.
func (o *OTA) deliverable(ctx context.Context, product string, id int64) (*Firmware, error) {
	f, err := o.Firmware(ctx, product, id)
	if errors.Is(err, ErrFirmwareNotFound) {
		if _, err := o.Release(ctx, product, id); err == nil {
			return nil, ErrNotReady
		}
	}
	if err != nil || !f.Signed {
		return f, err
	}
	rel, err := o.Artifacts.Release(ctx, f.ID)
	if err == nil {
		_, err = o.Artifacts.Verify(ctx, product, rel.Envelope)
	}
	return f, err
}

// Roots are the root documents of a product, the oldest first, and whether its newest has a director key of the hub.
func (o *OTA) Roots(ctx context.Context, product string) (chain artifact.Chain, directed bool, err error) {
	if _, err := o.Registry.Product(ctx, product); err != nil {
		return nil, false, err
	}
	chain, err = o.Artifacts.Roots(ctx, product)
	if errors.Is(err, artifact.ErrNoRoot) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	_, directed, err = o.Artifacts.Signer(ctx, chain)
	return chain, directed, err
}

// AddRoot takes the root document that follows the newest of a product, or its first.
func (o *OTA) AddRoot(ctx context.Context, product string, doc []byte) (artifact.Chain, bool, error) {
	if _, err := o.Registry.Product(ctx, product); err != nil {
		return nil, false, err
	}
	if _, err := o.Artifacts.AddRoot(ctx, product, doc); err != nil {
		return nil, false, err
	}
	return o.Roots(ctx, product)
}

// Director is the hub's newest director key, which root documents are to name.
func (o *OTA) Director(ctx context.Context) (signing.PublicKey, error) {
	return o.Artifacts.Director(ctx)
}

// Directors are all director keys that the hub has or had.
func (o *OTA) Directors(ctx context.Context) ([]artifact.Director, error) {
	return o.Artifacts.Directors(ctx)
}

// RotateDirector makes the hub's next director key.
func (o *OTA) RotateDirector(ctx context.Context) (artifact.Director, error) {
	return o.Artifacts.RotateDirector(ctx)
}

// RetireDirector has the hub sign with a director key no more.
func (o *OTA) RetireDirector(ctx context.Context, id signing.KeyID, force bool) (artifact.Director, error) {
	return o.Artifacts.RetireDirector(ctx, id, force)
}
