package blob

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Multipart is what a Store can do besides that takes a blob in parts, from several places and over any time, and lets others put parts
// without its bytes passing through the hub. A bucket can, a folder needs not: what comes in pieces there is put together by who uses it.
//
// A begun blob is nowhere until Assemble, and then there whole. Its parts are numbered from 1; all but the last have at least 5 MiB. Errors
// are those of Store; ErrNotFound also for an id that has ended, by Assemble, Abort or the service's own clearing up.
type Multipart interface {
	// Begin begins a blob and returns the id of the attempt. Calling it again begins another.
	Begin(ctx context.Context, name string) (id string, err error)
	// PartURL is a URL with headers that let whoever has them PUT one part of size bytes that has this SHA-256, and no other, while life lasts.
	PartURL(ctx context.Context, name, id string, p Part, life time.Duration) (url string, header http.Header, err error)
	// PutPart puts a part, as a PUT to PartURL does. Part.SHA256 is what r must have.
	PutPart(ctx context.Context, name, id string, p Part, r io.Reader) error
	// Parts are those that are stored, by number.
	Parts(ctx context.Context, name, id string) ([]Part, error)
	// Assemble makes the blob of the parts.
	Assemble(ctx context.Context, name, id string, parts []Part) error
	// Abort removes what has come. An id that has ended is no error.
	Abort(ctx context.Context, name, id string) error
}

// Part is a piece of a blob.
type Part struct {
	No     int
	Size   int64
	SHA256 [32]byte
	// Tag is the store's own word for it, which Parts gives and Assemble needs.
	Tag string
}
