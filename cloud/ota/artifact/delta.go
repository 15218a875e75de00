package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/image"
)

// plannedReleases is to how many of a product's newest releases deltas are made.
const plannedReleases = 3

// plan notes which deltas are to be made: to the newest releases of each product, from the images that the most of its devices say they run, as far
// as these images are here.
func (r *Repository) plan(ctx context.Context) error {
	if r.cfg.Deltas == 0 {
		return nil
	}
	targets, err := r.files(ctx, `f.kind = 1 AND f.state = 2 AND EXISTS (SELECT 1 FROM ota_release_file x
			WHERE x.release = f.release AND x.component = f.component AND x.kind = 2 AND x.state = 2)
		AND (SELECT COUNT(*) FROM ota_release newer WHERE newer.product = (SELECT product FROM ota_release o WHERE o.id = f.release) AND newer.id > f.release) < ?`, plannedReleases)
	if err != nil {
		return err
	}
	for i := range targets {
		if err := r.planFor(ctx, &targets[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Repository) planFor(ctx context.Context, target *File) error {
	bases, err := r.common(ctx, target)
	if err != nil {
		return err
	}
	index, err := r.file(ctx, target.Release, target.Component, Index, "")
	if err != nil {
		return err
	}
	for _, base := range bases {
		f := File{Release: target.Release, Component: target.Component, Kind: Delta, Base: base, Blob: blobName(Delta, base, index.SHA256), State: Waiting, Created: r.now()}
		err := r.update(ctx, "plan delta", func(tx *store.Tx) error { return r.insertFile(ctx, tx, &f) })
		if err != nil && !store.IsUnique(err) { // another node was faster
			return err
		}
	}
	return nil
}

// common are the images that the most devices of the product run of a component, which are here, and from which there is no delta yet.
func (r *Repository) common(ctx context.Context, target *File) (list []string, err error) {
	rows, err := r.Store.Query(ctx, `SELECT v.image FROM module_version v JOIN device d ON d.id = v.device
		WHERE d.product = (SELECT product FROM ota_release WHERE id = ?) AND v.module = ? AND v.image <> '' AND v.image <> ?
		AND EXISTS (SELECT 1 FROM ota_artifact a WHERE a.blob = 'ota/image/' || v.image AND a.state = 1)
		AND EXISTS (SELECT 1 FROM ota_release_file i JOIN ota_release o ON o.id = i.release WHERE i.blob = 'ota/image/' || v.image AND o.product = d.product)
		GROUP BY v.image ORDER BY COUNT(*) DESC, v.image LIMIT ?`, target.Release, target.Component, target.SHA256, r.cfg.Deltas)
	if err != nil {
		return nil, fmt.Errorf("artifact: read what devices run: %w", err)
	}
	for rows.Next() {
		var base string
		if err := rows.Scan(&base); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		list = append(list, base)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	have, err := r.files(ctx, `f.release = ? AND f.component = ? AND f.kind = 4`, target.Release, target.Component)
	if err != nil {
		return nil, err
	}
	return without(list, have), nil
}

// without are the bases from which there is no delta.
func without(bases []string, have []File) (list []string) {
	known := map[string]bool{}
	for _, f := range have {
		known[f.Base] = true
	}
	for _, b := range bases {
		if !known[b] {
			list = append(list, b)
		}
	}
	return list
}

// buildDelta makes the delta from an old image, in a few MiB of memory, and rests as it goes.
func (r *Repository) buildDelta(ctx context.Context, f *File) (sums, error) {
	to, err := r.file(ctx, f.Release, f.Component, Image, "")
	if err != nil {
		return sums{}, err
	}
	base, err := r.open(ctx, blobName(Image, f.Base))
	if err != nil {
		return sums{}, fmt.Errorf("old image: %w", err)
	}
	target, err := r.open(ctx, to.Blob)
	if err != nil {
		return sums{}, fmt.Errorf("new image: %w", err)
	}
	began := time.Now()
	rest := func(_, _ int) {
		d := time.Duration(float64(time.Since(began)) * r.cfg.Rest)
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
		began = time.Now()
	}
	return r.put(ctx, f.Blob, func(w io.Writer) error {
		_, err := delta.Diff(ctx, w, base, target, delta.DiffConfig{TempDir: r.cfg.TempDir, Progress: rest})
		return err
	})
}

// open reads an image once, for its index, and lets it be read again.
func (r *Repository) open(ctx context.Context, name string) (delta.Image, error) {
	body, _, err := r.Blobs.Get(ctx, name, 0, -1)
	if err != nil {
		return delta.Image{}, err
	}
	b, err := image.Build(ctx, body, nil)
	if err := errors.Join(err, body.Close()); err != nil {
		return delta.Image{}, err
	}
	return delta.Image{ReaderAt: blobReader{ctx, r.Blobs, name}, Built: *b}, nil
}

// blobReader reads a blob in any order. It lives as long as the call whose ctx it has.
type blobReader struct {
	ctx   context.Context
	blobs blob.Store
	name  string
}

// ReadAt implements io.ReaderAt.
func (b blobReader) ReadAt(p []byte, off int64) (int, error) {
	body, _, err := b.blobs.Get(b.ctx, b.name, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(body, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, errors.Join(err, body.Close())
}
