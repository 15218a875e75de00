package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/firmware/failure"
)

// Source is where the bytes of a pack come from: a file, or a server that answers range requests.
type Source interface {
	// Size is how long the whole is.
	Size() int64
	// Range reads n bytes at off, within Size. The reader may end early or, against what was asked, late: callers read no more than n.
	// It may be called again for the same bytes. Its errors are those of the place that the bytes come from, and are passed on.
	Range(ctx context.Context, off, n int64) (io.ReadCloser, error)
}

// FileSource is a Source of size bytes that are at hand.
func FileSource(r io.ReaderAt, size int64) Source { return fileSource{r, size} }

type fileSource struct {
	r    io.ReaderAt
	size int64
}

func (s fileSource) Size() int64 { return s.size }

func (s fileSource) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(s.r, off, n)), nil
}

// ReadRange fills b from off. A Source that ends before that is io.ErrUnexpectedEOF.
func ReadRange(ctx context.Context, src Source, off int64, b []byte) error {
	r, err := src.Range(ctx, off, int64(len(b)))
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.ReadFull(r, b); err != nil {
		return readError(err)
	}
	return nil
}

// readError is a pack that can't be read on. An end that comes too early is an error that nobody takes for a good end, and a cause without
// a class is the network's.
func readError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	err = fmt.Errorf("read the pack: %w", err)
	if failure.Of(err) == failure.Unclassified {
		err = &failure.Error{Class: failure.Network, Reason: err}
	}
	return err
}
