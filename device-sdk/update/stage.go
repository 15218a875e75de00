package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// stager writes the images of a release to their targets. It is used by one goroutine.
type stager struct {
	u    *Updater
	d    *downloader
	size int64 // of all images
	done int64 // of those that are finished
}

// stage brings all images of a release to their targets and reads them back. What is there already is not downloaded.
func (s *stager) stage(ctx context.Context, m *manifest.Manifest) error {
	for _, c := range m.Components {
		s.size += int64(c.Image.Size)
	}
	images := map[string]manifest.Payload{}
	for i := range m.Components {
		c := &m.Components[i]
		p, err := s.component(ctx, c)
		if err != nil {
			return fmt.Errorf("module %s: %w", c.Module, err)
		}
		images[c.Module] = p
		s.done += int64(c.Image.Size)
	}
	return m.Complete(images)
}

// component brings one image to its target, and returns what can be read of it there.
func (s *stager) component(ctx context.Context, c *manifest.Component) (p manifest.Payload, err error) {
	t, err := s.u.cfg.Storage.Target(c.Module, int64(c.Image.Size))
	if err != nil {
		return p, flashError(err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if c.Index == nil {
		return s.plain(ctx, c, t)
	}
	x, err := s.index(ctx, c)
	if err != nil {
		return p, err
	}
	if err := s.apply(ctx, c, x, t); err != nil {
		return p, err
	}
	return s.readBack(ctx, t, c.Image.Size)
}

// index fetches the chunk index of an image. Its size is signed; one that no image of this size can have is not asked for.
func (s *stager) index(ctx context.Context, c *manifest.Component) (*image.Index, error) {
	if most := 64 + 40*(c.Image.Size/image.MinChunk+1); c.Index.Size > most || c.Index.Size > image.MaxIndex {
		return nil, fmt.Errorf("%w: an index of %d bytes for an image of %d", image.ErrLimit, c.Index.Size, c.Image.Size)
	}
	for {
		b, err := s.exact(ctx, "index/"+c.Module, int64(c.Index.Size))
		var x *image.Index
		if err == nil {
			x, err = image.ParseVerified(b, image.Digest(c.Index.Digest))
		}
		switch {
		case (errors.Is(err, image.ErrDigest) || errors.Is(err, errSize)) && s.d.distrust():
			continue
		case err == nil && x.Size != int64(c.Image.Size):
			err = fmt.Errorf("%w: the index is of an image of %d bytes, the manifest's has %d", image.ErrDigest, x.Size, c.Image.Size)
		}
		return x, err
	}
}

// exact reads the first size bytes of a file.
func (s *stager) exact(ctx context.Context, path string, size int64) ([]byte, error) {
	r, err := s.d.file(path, size).Range(ctx, 0, size)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, networkError(err)
	}
	return b, nil
}

// apply makes the image of what runs, of the delta pack if there is one, and of the full pack.
func (s *stager) apply(ctx context.Context, c *manifest.Component, x *image.Index, t Target) error {
	cfg := delta.Config{
		Index: x, Target: t,
		Fetch: &packs{d: s.d, path: "pack/" + c.Module, index: x},
		Bad: func(no int, err error) {
			s.u.log.Debug("a chunk could not be made of the old image", "module", c.Module, "chunk", no, "err", err)
		},
		Progress: func(done, _ int64) { s.progress(done) },
	}
	// What is there already is not downloaded again, and a delta pack is not looked for in vain.
	have, err := x.Verified(ctx, t)
	if err != nil || have == len(x.Chunks) {
		return err
	}
	base, err := s.u.cfg.Storage.Base(c.Module)
	if err == nil {
		defer base.Close() // it was only read
		cfg.Base = base
		if cfg.Pack, err = s.delta(ctx, c, x); err != nil {
			return err
		}
	} else if !errors.Is(err, ErrNoBase) {
		s.u.log.Warn("the running image can't be read, all is downloaded", "module", c.Module, "err", err)
	}
	_, err = delta.Apply(ctx, cfg)
	if cfg.Pack != nil && failure.Of(err) == failure.Hash && errors.Is(err, delta.ErrSource) {
		cfg.Pack = nil
		_, err = delta.Apply(ctx, cfg)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// delta opens the delta pack from the running image, nil if there is none that can be used.
func (s *stager) delta(ctx context.Context, c *manifest.Component, x *image.Index) (*delta.Pack, error) {
	base := s.u.running(c.Module)
	if base == (manifest.Payload{}) {
		return nil, nil
	}
	r, err := s.d.stat(ctx, "delta/"+c.Module+"/"+hex.EncodeToString(base.Digest[:]), true)
	if err == nil {
		var p *delta.Pack
		if p, err = delta.Open(ctx, r, x); err == nil {
			return p, nil
		}
	}
	switch class := failure.Of(err); {
	case isAbsent(err):
		s.u.log.Info("no delta pack from the running image", "module", c.Module)
	case class == failure.Network || class == failure.Server || class == failure.Budget || ctx.Err() != nil:
		return nil, err
	default:
		s.u.log.Warn("a delta pack can't be used", "module", c.Module, "class", string(class), "err", err)
	}
	return nil, nil
}

// plain downloads an image without an index, from where it was left.
func (s *stager) plain(ctx context.Context, c *manifest.Component, t Target) (p manifest.Payload, err error) {
	if have, err := s.turnTo(ctx, c, t); have != (manifest.Payload{}) || err != nil {
		return have, err
	}
	for {
		if err = s.copy(ctx, "image/"+c.Module, int64(c.Image.Size), t); err == nil {
			p, err = s.readBack(ctx, t, c.Image.Size)
		}
		if err == nil && p == c.Image || err != nil && !errors.Is(err, errSize) {
			return p, err
		}
		// It can't be told which part is wrong.
		if err := s.u.mark(0); err != nil {
			return p, err
		}
		if !s.d.distrust() {
			return p, err
		}
	}
}

// turnTo sees to it that plan.Done is of this image, where a release has several. What is returned is there already, from before a restart.
func (s *stager) turnTo(ctx context.Context, c *manifest.Component, t Target) (have manifest.Payload, err error) {
	plan := s.u.plan
	if len(s.u.release.Components) == 1 || plan.Of == c.Module {
		return have, nil
	}
	if plan.Of != "" {
		have, err = s.readBack(ctx, t, c.Image.Size)
		if ctx.Err() != nil || err == nil && have == c.Image {
			return have, err
		} // what can't be read, as behind the end of a file, is not there
	}
	plan.Done, plan.Of = 0, c.Module // which is written with the first mark
	return manifest.Payload{}, nil
}

// copy downloads a file of a known size to a target, from plan.Done on, which it moves on with every sync.
func (s *stager) copy(ctx context.Context, path string, size int64, t Target) error {
	at := min(s.u.plan.Done, size)
	if at == size {
		return nil
	}
	r, err := s.d.file(path, size).Range(ctx, at, size-at)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, 32<<10)
	unsynced := 0
	for at < size {
		n, err := io.ReadFull(r, buf[:min(int64(len(buf)), size-at)])
		if err != nil {
			return networkError(err)
		}
		if _, err := t.WriteAt(buf[:n], at); err != nil {
			return fmt.Errorf("%w: %w", delta.ErrTarget, err)
		}
		at += int64(n)
		s.progress(at)
		if unsynced += n; unsynced < delta.DefaultSyncEvery && at < size {
			continue
		}
		if err := t.Sync(); err != nil {
			return fmt.Errorf("%w: %w", delta.ErrTarget, err)
		}
		if err := s.u.mark(at); err != nil {
			return err
		}
		unsynced = 0
	}
	return nil
}

// readBack is the digest of what can be read of a target.
func (s *stager) readBack(ctx context.Context, t Target, size uint64) (p manifest.Payload, err error) {
	p.Digest, err = digestOf(ctx, t, int64(size))
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: read it back: %w", delta.ErrTarget, err)
	}
	p.Size = size
	return p, err
}

// digestOf is the SHA-256 of the first size bytes.
func digestOf(ctx context.Context, r io.ReaderAt, size int64) (d manifest.Digest, err error) {
	h := sha256.New()
	buf := make([]byte, 32<<10)
	for at := int64(0); at < size; {
		if ctx.Err() != nil {
			return d, context.Cause(ctx)
		}
		b := buf[:min(int64(len(buf)), size-at)]
		if n, err := r.ReadAt(b, at); n < len(b) {
			return d, err
		}
		h.Write(b)
		at += int64(len(b))
	}
	return manifest.Digest(h.Sum(nil)), nil
}

// progress tells how far the image in hand is.
func (s *stager) progress(done int64) {
	s.u.downloading(int((s.done+done)*1000/max(s.size, 1)), s.d.net)
}

// flashError gives an error of the storage its class.
func flashError(err error) error {
	if failure.Of(err) == failure.Unclassified {
		err = &failure.Error{Class: failure.FlashIO, Reason: err}
	}
	return err
}

// packs gives chunks of the full pack, of the first source whose pack has them as the index wants them.
type packs struct {
	d     *downloader
	path  string
	index *image.Index
	pack  *image.Pack // of the present sources; nil before the first use and after one was left
}

var _ delta.Fetcher = (*packs)(nil)

// Cost is nothing: what is downloaded is counted by the downloader.
func (p *packs) Cost(int) int64 { return 0 }

// Chunks implements delta.Fetcher.
func (p *packs) Chunks(ctx context.Context, numbers []int, each func(no int, b []byte) error) error {
	for {
		given := 0
		err := p.from(ctx, numbers, func(no int, b []byte) error {
			if err := each(no, b); err != nil {
				return &takerError{err}
			}
			given++
			return nil
		})
		numbers = numbers[given:]
		var taker *takerError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &taker):
			return taker.err
		case failure.Of(err) != failure.Hash || !p.d.distrust():
			return err
		}
		p.pack = nil
	}
}

func (p *packs) from(ctx context.Context, numbers []int, each func(no int, b []byte) error) error {
	if p.pack == nil {
		r, err := p.d.stat(ctx, p.path, false)
		if err != nil {
			return err
		}
		if p.pack, err = image.OpenPack(ctx, r, p.index); err != nil {
			return err
		}
	}
	return p.pack.Chunks(ctx, numbers, each)
}

// takerError is an error of those who take chunks, and none of the pack's.
type takerError struct{ err error }

func (e *takerError) Error() string { return e.err.Error() }
