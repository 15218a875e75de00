package image

import (
	"fmt"

	"github.com/hawser-iot/hawser/firmware/failure"
)

// What can be wrong with bytes that are read. Each error of the package that is about them is one of these.
var (
	// ErrFormat says that bytes are not in the format, or not in its one spelling.
	ErrFormat = failure.New(failure.Hash, "firmware/image: malformed")
	// ErrVersion says that the bytes are of a version or an algorithm that this program does not know: a newer one has to be there first.
	ErrVersion = failure.New(failure.Dependency, "firmware/image: unknown version")
	// ErrLimit says that something is larger than the format allows.
	ErrLimit = failure.New(failure.Hash, "firmware/image: over the limit")
	// ErrDigest says that bytes are not those that the index, or the manifest, names.
	ErrDigest = failure.New(failure.Hash, "firmware/image: digest does not match")
)

// ChunkError is an error about one chunk of an image.
type ChunkError struct {
	No  int // its number, from 0
	Err error
}

func (e *ChunkError) Error() string { return fmt.Sprintf("chunk %d: %v", e.No, e.Err) }

func (e *ChunkError) Unwrap() error { return e.Err }
