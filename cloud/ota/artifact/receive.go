package artifact

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// sums are what is known of bytes that went by.
type sums struct {
	size        int64
	sha256, md5 string
}

// counter is a reader that computes sums of what it reads.
type counter struct {
	r      io.Reader
	n      int64
	sha, m hash.Hash
}

func newCounter(r io.Reader) *counter { return &counter{r: r, sha: sha256.New(), m: md5.New()} }

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.sha.Write(p[:n])
	c.m.Write(p[:n])
	return n, err
}

func (c *counter) sums() sums {
	return sums{c.n, hex.EncodeToString(c.sha.Sum(nil)), hex.EncodeToString(c.m.Sum(nil))}
}

// Receive takes the image of a component. It is read to its end and is there only if it is the one that the manifest names, with the chunk index
// that the manifest names. One that is there already is not read.
func (r *Repository) Receive(ctx context.Context, rel *Release, component string, body io.Reader) error {
	c := rel.Manifest.Component(component)
	if c == nil {
		return fmt.Errorf("%w: the manifest has no image %q", ErrNoFile, component)
	}
	f, err := r.file(ctx, rel.ID, component, Image, "")
	if err != nil || f.State == Ready {
		return err
	}
	if err := r.reserve(ctx, f.Blob); err != nil {
		return err
	}
	v := newVerifier(ctx, c, body)
	defer v.stop()
	if _, err := r.Blobs.Put(ctx, f.Blob, v, -1); err != nil {
		return fmt.Errorf("artifact: store image: %w", err)
	}
	if err := r.putIndex(ctx, v.index); err != nil {
		return err
	}
	err = r.update(ctx, "note image", func(tx *store.Tx) error {
		if err := r.there(ctx, tx, f, v.sums()); err != nil || v.index == nil {
			return err
		}
		sum := sha256.Sum256(v.index)
		digest := hex.EncodeToString(sum[:])
		x := File{Release: f.Release, Component: f.Component, Kind: Index, Blob: blobName(Index, digest)}
		if err := r.there(ctx, tx, &x, sums{size: int64(len(v.index)), sha256: digest}); err != nil {
			return err
		}
		x.Kind, x.Blob = Pack, blobName(Pack, digest) // another product may have it
		return made(ctx, tx, &x)
	})
	r.kick() // there is a pack to make
	return err
}

// putIndex stores an index, under its digest; nil is none.
func (r *Repository) putIndex(ctx context.Context, index []byte) error {
	if index == nil {
		return nil
	}
	sum := sha256.Sum256(index)
	name := blobName(Index, hex.EncodeToString(sum[:]))
	if err := r.reserve(ctx, name); err != nil {
		return err
	}
	if _, err := r.Blobs.Put(ctx, name, bytes.NewReader(index), int64(len(index))); err != nil {
		return fmt.Errorf("artifact: store index: %w", err)
	}
	return nil
}

// verifier reads an image and ends with an error, not with io.EOF, when it was not that of the component. While it is read it is cut into
// chunks, so that the index is known at its end.
type verifier struct {
	*counter
	c     *manifest.Component
	index []byte // at the end, if the manifest names one

	pipe  *io.PipeWriter // nil without an index
	built chan builtIndex
	err   error // the end, once it was reached
}

type builtIndex struct {
	index *image.Index
	err   error
}

func newVerifier(ctx context.Context, c *manifest.Component, body io.Reader) *verifier {
	v := &verifier{counter: newCounter(body), c: c}
	if c.Index == nil {
		return v
	}
	pr, pw := io.Pipe()
	v.pipe, v.built = pw, make(chan builtIndex, 1)
	v.r = io.TeeReader(body, pw)
	go func() {
		b, err := image.Build(ctx, pr, nil)
		_ = pr.CloseWithError(err) // always nil
		if err != nil {
			v.built <- builtIndex{err: err}
			return
		}
		v.built <- builtIndex{index: b.Index}
	}()
	return v
}

// stop ends the cutting of an image that was not read to its end.
func (v *verifier) stop() {
	if v.pipe != nil && v.err == nil {
		_ = v.pipe.CloseWithError(io.ErrUnexpectedEOF) // always nil
		<-v.built
	}
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.counter.Read(p)
	if uint64(v.n) > v.c.Image.Size {
		return n, &RefusedError{"image " + v.c.Module, fmt.Errorf("%w: %w", ErrTooLarge, failure.New(failure.Hash, "more than %d bytes", v.c.Image.Size))}
	}
	if errors.Is(err, io.EOF) {
		v.err = io.EOF
		if bad := v.check(); bad != nil {
			v.err = &RefusedError{"image " + v.c.Module, bad}
		}
		err = v.err
	}
	return n, err
}

// check is at the end of the image.
func (v *verifier) check() error {
	var b builtIndex
	if v.pipe != nil {
		_ = v.pipe.Close() // always nil
		b = <-v.built
	}
	if got := v.sums(); uint64(got.size) != v.c.Image.Size || got.sha256 != v.c.Image.Digest.String() {
		return failure.New(failure.Hash, "%d bytes with the SHA-256 %s are not the manifest's %v", got.size, got.sha256, v.c.Image)
	}
	if v.pipe == nil {
		return nil
	}
	if b.err != nil {
		return b.err
	}
	index, err := b.index.Marshal()
	if err != nil {
		return err
	}
	if manifest.Digest(sha256.Sum256(index)) != v.c.Index.Digest {
		return failure.New(failure.Hash, "its chunk index is not the one that the manifest names")
	}
	v.index = index
	return nil
}
