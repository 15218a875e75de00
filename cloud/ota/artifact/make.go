package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/image"
)

// claim is for how long a node that makes a file has it to itself. A node that dies leaves it to others after that; one that takes longer claims anew.
const claim = 2 * time.Minute

// Run makes packs and deltas, one at a time, until ctx ends.
func (r *Repository) Run(ctx context.Context) error {
	poll := time.NewTicker(r.cfg.Poll)
	defer poll.Stop()
	for {
		if err := r.work(ctx); err != nil && ctx.Err() == nil {
			r.Log.Warn("packs and deltas wait, it is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-poll.C:
		}
	}
}

// work makes what there is to be made.
func (r *Repository) work(ctx context.Context) error {
	if err := r.plan(ctx); err != nil {
		return err
	}
	for {
		f, err := r.claimFile(ctx)
		if err != nil || f == nil {
			return err
		}
		if err := r.make(ctx, f); err != nil {
			return err
		}
	}
}

// claimFile takes the file that is to be made next: indexes and packs first, because devices wait for them. nil is none.
func (r *Repository) claimFile(ctx context.Context) (*File, error) {
	for {
		now := r.now()
		list, err := r.files(ctx, `f.state = 1 AND f.until < ? AND EXISTS (SELECT 1 FROM ota_release_file i
			WHERE i.release = f.release AND i.component = f.component AND i.kind = 1 AND i.state = 2) ORDER BY f.kind, f.created_at, f.release LIMIT 1`, now.UnixMilli())
		if err != nil || len(list) == 0 {
			return nil, err
		}
		if ok, err := r.claim(ctx, &list[0], now); ok || err != nil {
			return &list[0], err
		}
	}
}

// claim has a file for this node; ok is false when another was faster.
func (r *Repository) claim(ctx context.Context, f *File, now time.Time) (ok bool, err error) {
	err = r.update(ctx, "claim file", func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `UPDATE ota_release_file SET until = ? WHERE release = ? AND component = ? AND kind = ? AND base = ? AND state = 1 AND until < ?`,
			now.Add(claim).UnixMilli(), f.Release, f.Component, int64(f.Kind), f.Base, now.UnixMilli())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		ok = n > 0
		return err
	})
	return ok, err
}

// make makes a file and notes what came of it. Its error is one that is worth another try.
func (r *Repository) make(ctx context.Context, f *File) error {
	stop := r.keepClaim(ctx, f)
	defer stop()
	s, err := r.build(ctx, f)
	if err == nil {
		err = r.update(ctx, "note file", func(tx *store.Tx) error { return r.there(ctx, tx, f, s) })
	}
	switch {
	case err == nil:
		r.made.WithLabelValues(f.Kind.String(), "ok").Inc()
		r.bytes.WithLabelValues(f.Kind.String()).Add(float64(s.size))
		r.done()
		r.Log.Info("made for a release", "kind", f.Kind.String(), "release", f.Release, "component", f.Component, "base", f.Base, "bytes", s.size)
		return nil
	case ctx.Err() != nil, errors.Is(err, blob.ErrUnavailable), store.IsTemporary(err), errors.Is(err, ErrBusy):
		return err // it is tried again when the claim has ended
	}
	r.made.WithLabelValues(f.Kind.String(), "failed").Inc()
	r.Log.Error("cannot be made for a release", "kind", f.Kind.String(), "release", f.Release, "component", f.Component, "base", f.Base, "err", err)
	return r.update(ctx, "note failure", func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE ota_release_file SET state = ?, reason = ? WHERE release = ? AND component = ? AND kind = ? AND base = ? AND state = 1`,
			int64(Failed), err.Error(), f.Release, f.Component, int64(f.Kind), f.Base)
		return err
	})
}

// keepClaim claims f again and again until the function that it returns is called.
func (r *Repository) keepClaim(ctx context.Context, f *File) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(claim / 4):
			}
			err := r.update(ctx, "claim file", func(tx *store.Tx) error {
				_, err := tx.Exec(ctx, `UPDATE ota_release_file SET until = ? WHERE release = ? AND component = ? AND kind = ? AND base = ? AND state = 1`,
					r.now().Add(claim).UnixMilli(), f.Release, f.Component, int64(f.Kind), f.Base)
				return err
			})
			if err != nil && ctx.Err() == nil {
				r.Log.Debug("claim not kept", "err", err)
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// build makes the bytes of a file and stores them.
func (r *Repository) build(ctx context.Context, f *File) (sums, error) {
	if err := r.reserve(ctx, f.Blob); err != nil {
		return sums{}, err
	}
	if f.Kind == Delta {
		return r.buildDelta(ctx, f)
	}
	src, err := r.image(ctx, f)
	if err != nil {
		return sums{}, err
	}
	defer func() { _ = src.Close() }() // it was only read
	if f.Kind == Index {
		return r.buildIndex(ctx, f, src)
	}
	return r.put(ctx, f.Blob, func(w io.Writer) error {
		p, err := image.WritePack(ctx, w, src)
		if err != nil {
			return err
		}
		return matches(p.Index, f)
	})
}

// image reads the image that a file is made of.
func (r *Repository) image(ctx context.Context, f *File) (io.ReadCloser, error) {
	i, err := r.file(ctx, f.Release, f.Component, Image, "")
	if err != nil {
		return nil, err
	}
	body, _, err := r.Blobs.Get(ctx, i.Blob, 0, -1)
	return body, err
}

// matches tells whether an index is that of the blob's name, which is the manifest's.
func matches(x *image.Index, f *File) error {
	d, err := x.Digest()
	if err == nil && blobName(f.Kind, d.String()) != f.Blob {
		err = failure.New(failure.Hash, "the image's chunk index is not the one that the manifest names")
	}
	return err
}

func (r *Repository) buildIndex(ctx context.Context, f *File, src io.Reader) (sums, error) {
	b, err := image.Build(ctx, src, nil)
	if err != nil {
		return sums{}, err
	}
	if err := matches(b.Index, f); err != nil {
		return sums{}, err
	}
	index, err := b.Index.Marshal()
	if err != nil {
		return sums{}, err
	}
	sum := sha256.Sum256(index)
	return sums{size: int64(len(index)), sha256: hex.EncodeToString(sum[:])}, r.putIndex(ctx, index)
}

// put stores what write writes, unless that ends with an error.
func (r *Repository) put(ctx context.Context, name string, write func(w io.Writer) error) (sums, error) {
	pr, pw := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := write(pw)
		_ = pw.CloseWithError(err) // always nil; without an error the reader ends
		wrote <- err
	}()
	c := newCounter(pr)
	_, err := r.Blobs.Put(ctx, name, c, -1)
	_ = pr.CloseWithError(io.ErrClosedPipe) // always nil
	if bad := <-wrote; bad != nil && !errors.Is(bad, io.ErrClosedPipe) {
		return sums{}, bad
	}
	if err != nil {
		return sums{}, fmt.Errorf("artifact: store %s: %w", name, err)
	}
	s := c.sums()
	s.md5 = ""
	return s, nil
}
