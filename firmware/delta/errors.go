package delta

import (
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/image"
)

// What can be wrong with the bytes of a pack: the same as with those of an image's.
var (
	ErrFormat  = image.ErrFormat
	ErrVersion = image.ErrVersion
	ErrLimit   = image.ErrLimit
	ErrDigest  = image.ErrDigest
)

// What can end Apply beside an error of the pack's format.
var (
	// ErrBudget says that the bytes that an update may fetch are spent.
	ErrBudget = failure.New(failure.Budget, "firmware/delta: byte budget spent")
	// ErrNoFetcher says that a chunk could not be made and there is nowhere to fetch it from.
	ErrNoFetcher = failure.New(failure.Hash, "firmware/delta: no full pack to fetch the chunk from")
	// ErrSource says that the delta pack could not be read on: the network, or the disk that it is on. Apply goes on when called again. Its
	// class is that of its cause, and Network where that has none.
	ErrSource = errors.New("firmware/delta: read the delta pack")
	// ErrTarget says that the new image could not be written.
	ErrTarget = failure.New(failure.FlashIO, "firmware/delta: write the new image")
)

// sourceError is ErrSource because of err.
func sourceError(err error) error {
	if failure.Of(err) == failure.Unclassified {
		err = &failure.Error{Class: failure.Network, Reason: err}
	}
	return fmt.Errorf("%w: %w", ErrSource, err)
}
