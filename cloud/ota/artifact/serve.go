package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Content is what a path below the link of a release stands for: a blob, or bytes that are at hand.
type Content struct {
	Blob string
	Data []byte // when Blob is ""
	Size int64
	ETag string // without quotes: a SHA-256
}

// served is a path of a release.
type served struct {
	release int64
	path    string
}

// maxPath bounds what is looked up, in bytes.
const maxPath = 256

// Content finds what a path stands for: manifest, image/C, index/C, pack/C, delta/C/BASE. ErrNoFile is for what is not there, or not yet.
func (r *Repository) Content(ctx context.Context, release int64, path string) (Content, error) {
	if len(path) > maxPath {
		return Content{}, ErrNoFile
	}
	key := served{release, path}
	if c, ok := r.served.Get(key); ok {
		return c, nil
	}
	ticket := r.served.Ticket(key)
	c, err := r.content(ctx, release, path)
	if err == nil {
		r.served.Fill(key, ticket, c)
	}
	return c, err
}

func (r *Repository) content(ctx context.Context, release int64, path string) (Content, error) {
	if path == "manifest" {
		return r.envelope(ctx, release)
	}
	kind, rest, _ := strings.Cut(path, "/")
	k, ok := ParseKind(kind)
	component, base, deep := strings.Cut(rest, "/")
	if !ok || deep != (k == Delta) {
		return Content{}, ErrNoFile
	}
	f, err := r.file(ctx, release, component, k, base)
	if err != nil {
		return Content{}, err
	}
	if f.State != Ready || f.SHA256 == "" {
		return Content{}, ErrNoFile
	}
	return Content{Blob: f.Blob, Size: f.Size, ETag: f.SHA256}, nil
}

func (r *Repository) envelope(ctx context.Context, release int64) (Content, error) {
	var b []byte
	err := r.Store.QueryRow(ctx, `SELECT envelope FROM ota_release WHERE id = ?`, release).Scan(&b)
	if errors.Is(err, store.ErrNoRows) {
		return Content{}, ErrNoFile
	}
	sum := sha256.Sum256(b)
	return Content{Data: b, Size: int64(len(b)), ETag: hex.EncodeToString(sum[:])}, err
}
