package s3blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/hawser-iot/hawser/cloud/blob"
)

// sourceError is an error of the reader that was given to Put: it ends it as it is.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64) (blob.Info, error) {
	key, err := s.key(name)
	if err != nil {
		return blob.Info{}, err
	}
	pooled := s.parts.Get().(*[]byte)
	defer s.parts.Put(pooled)
	buf := *pooled
	src := &source{r: r, size: size}
	n, err := src.fill(ctx, buf)
	switch {
	case errors.Is(err, io.EOF):
		_, err = s.core.PutObject(ctx, s.bucket, key, bytes.NewReader(buf[:n]), int64(n), "", "", options)
	case err == nil:
		err = s.putParts(ctx, key, src, buf)
	}
	if from, ok := errors.AsType[sourceError](err); ok {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", name, from.error)
	}
	if err != nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", name, translate(err))
	}
	return s.Stat(ctx, name)
}

var options = minio.PutObjectOptions{ContentType: "application/octet-stream"}

// abortWithin bounds how long the parts of a Put that failed are tried to be removed: its caller may have gone.
const abortWithin = 10 * time.Second

// putParts puts what is longer than a part, of which the first is in buf.
func (s *Store) putParts(ctx context.Context, key string, src *source, buf []byte) error {
	id, err := s.core.NewMultipartUpload(ctx, s.bucket, key, options)
	if err != nil {
		return err
	}
	list, err := s.sendParts(ctx, key, id, src, buf)
	if err == nil {
		_, err = s.core.CompleteMultipartUpload(ctx, s.bucket, key, id, list, options)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
		defer cancel()
		_ = s.core.AbortMultipartUpload(ctx, s.bucket, key, id) // else the service's lifecycle does
	}
	return err
}

func (s *Store) sendParts(ctx context.Context, key, id string, src *source, buf []byte) (list []minio.CompletePart, err error) {
	n, end := len(buf), false
	for no := 1; n > 0; no++ {
		p, err := s.core.PutObjectPart(ctx, s.bucket, key, id, no, bytes.NewReader(buf[:n]), int64(n), minio.PutObjectPartOptions{})
		if err != nil {
			return nil, err
		}
		list = append(list, minio.CompletePart{PartNumber: no, ETag: p.ETag})
		if end {
			return list, nil
		}
		if n, err = src.fill(ctx, buf); errors.Is(err, io.EOF) {
			end = true
		} else if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// source reads what was given to Put and holds it to the size that was announced.
type source struct {
	r    io.Reader
	n    int64
	size int64 // -1: not announced
}

// fill reads as much as b holds. At the end, which may be the first byte that is not there, it is io.EOF beside what was read; before it, nil.
func (s *source) fill(ctx context.Context, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		var k int
		k, err = s.r.Read(b[n:min(len(b), n+1<<20)])
		n += k
	}
	s.n += int64(n)
	switch {
	case s.size >= 0 && s.n > s.size, s.size >= 0 && errors.Is(err, io.EOF) && s.n != s.size:
		return n, sourceError{fmt.Errorf("%w: %d bytes announced", blob.ErrSize, s.size)}
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	}
	return n, sourceError{err}
}
