package segment

import (
	"errors"
	"fmt"
)

// Kinds of damage, for errors.Is.
var (
	errTorn     = errors.New("torn tail")
	errHeader   = errors.New("bad header")
	errChecksum = errors.New("bad checksum")
	errLength   = errors.New("bad length")
	errContent  = errors.New("bad content")
	errVersion  = errors.New("unknown version")
)

// CorruptionError says where a segment is torn or damaged. What lies before Offset is whole; Lost bytes were cut off or
// left out.
type CorruptionError struct {
	Path   string
	Offset int64
	Lost   int64
	Err    error
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("segment %s at byte %d: %v (%d bytes lost)", e.Path, e.Offset, e.Err, e.Lost)
}

func (e *CorruptionError) Unwrap() error { return e.Err }
