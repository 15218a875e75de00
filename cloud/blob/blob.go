// Package blob is the contract for large immutable-by-habit bytes: firmware images, uploads, log segments. A blob is put
// whole under a name and read whole or in ranges; an implementation is a folder (fileblob) or a bucket.
//
// Every implementation promises, and cloud/blob/blobtest checks:
//
//   - A blob is seen whole or not at all: readers never meet one that is being written, a Put that fails leaves what was
//     there before, and a reader that has begun keeps reading the blob that it began with.
//   - What Put has acknowledged survives power loss.
//   - All methods are safe for concurrent use; of two concurrent Puts of a name one wins whole.
//
// It leaves to its users digests and encryption, who may read what, and retries: an implementation does not retry.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

var (
	// ErrNotFound: there is no blob of that name. Retrying does not help.
	ErrNotFound = errors.New("blob: not found")
	// ErrName: the name is not one that CheckName takes. Retrying does not help.
	ErrName = errors.New("blob: bad name")
	// ErrRange: the range does not begin within the blob. Retrying does not help.
	ErrRange = errors.New("blob: range outside of the blob")
	// ErrSize: the reader given to Put ended early or late. Retrying does not help.
	ErrSize = errors.New("blob: size differs from what was announced")
	// ErrUnavailable: the storage is full, read-only or away; the same call may succeed later.
	ErrUnavailable = errors.New("blob: storage unavailable")
)

// Info describes a blob.
type Info struct {
	Name     string
	Size     int64     // bytes
	Modified time.Time // when it was put
}

// Store is the contract.
type Store interface {
	// Put stores what r holds under name, replacing what was there. size is the number of bytes that r will give, -1 when
	// it is not known; another number is ErrSize. An error of r ends Put with it. Calling Put again with the same bytes is
	// harmless.
	Put(ctx context.Context, name string, r io.Reader, size int64) (Info, error)
	// Get reads length bytes from offset on, or to the end when length is -1 or reaches beyond it. An offset at the end
	// reads nothing; one beyond it, or below 0, is ErrRange. The reader must be closed; Info describes the whole blob.
	// ErrNotFound comes from Get, never from the reader.
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, Info, error)
	// Stat describes a blob without reading it.
	Stat(ctx context.Context, name string) (Info, error)
	// Delete removes a blob. One that is not there is no error, so that it may be called again.
	Delete(ctx context.Context, name string) error
}

// nameMax is the longest name, segmentMax the longest part of it between slashes, in bytes.
const (
	nameMax    = 512
	segmentMax = 128
)

// CheckName takes names of one or more segments with '/' between them. A segment has letters, digits, '.', '_' and '-' of
// ASCII, begins with no '.', and is 1 to 128 bytes long; the whole is at most 512 bytes. So a name is nowhere outside of
// its store, on no file system and in no URL.
func CheckName(name string) error {
	if len(name) > nameMax {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrName, len(name), nameMax)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || len(segment) > segmentMax || segment[0] == '.' || strings.ContainsFunc(segment, refused) {
			return fmt.Errorf("%w: %q: a segment is 1 to %d of A-Z a-z 0-9 . _ - and does not begin with a dot", ErrName, name, segmentMax)
		}
	}
	return nil
}

func refused(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-'
}

// Range checks the arguments of Get against a blob's size and returns how many bytes to read; it is for implementations.
func Range(size, offset, length int64) (int64, error) {
	if offset < 0 || offset > size || length < -1 {
		return 0, fmt.Errorf("%w: offset %d, length %d of %d bytes", ErrRange, offset, length, size)
	}
	if length == -1 || length > size-offset {
		length = size - offset
	}
	return length, nil
}
