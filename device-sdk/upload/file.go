package upload

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// File is what is sent.
type File struct {
	Name        string // as the hub lists it
	Class       string // what it is: a word of a-z 0-9 . _ -, or empty
	ContentType string
	// Key finds the session again; the digest when empty. Another content under the same key begins anew.
	Key    string
	Size   int64
	SHA256 [32]byte
	Data   io.ReaderAt
	// Changed says that Data is no longer what SHA256 is of, as ErrChanged; nil when it cannot be.
	Changed func() error

	stored atomic.Int64 // as the hub said last
	close  func() error
}

// Open opens a file of the disk and makes its digest. A file that is written meanwhile is ErrChanged.
func Open(path string) (*File, error) {
	src, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("upload: %w", err)
	}
	return FileOf(src, func() (os.FileInfo, error) { return os.Stat(path) })
}

// FileOf is Open for a file that is open already, and is closed with it; now says what is in its place.
func FileOf(src *os.File, now func() (os.FileInfo, error)) (f *File, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, src.Close())
		}
	}()
	was, err := src.Stat()
	if err != nil {
		return nil, fmt.Errorf("upload: %w", err)
	}
	if !was.Mode().IsRegular() {
		return nil, fmt.Errorf("upload: %s is no regular file", src.Name())
	}
	f = &File{Name: filepath.Base(src.Name()), Size: was.Size(), Data: src, close: src.Close}
	f.Changed = func() error { return unchanged(was, now) }
	if f.SHA256, err = f.sum(0, f.Size); err != nil {
		return nil, fmt.Errorf("upload: %w", err)
	}
	return f, f.Changed()
}

// unchanged compares what is in the place of a file with what was there.
func unchanged(was os.FileInfo, look func() (os.FileInfo, error)) error {
	now, err := look()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	if now.Size() != was.Size() || !now.ModTime().Equal(was.ModTime()) || !os.SameFile(now, was) {
		return fmt.Errorf("%w: %s", ErrChanged, was.Name())
	}
	return nil
}

// Close closes what Open opened.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	return f.close()
}

func (f *File) changed() error {
	if f.Changed == nil {
		return nil
	}
	return f.Changed()
}

// sum is the digest of a piece.
func (f *File) sum(from, to int64) (sum [32]byte, err error) {
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f.Data, from, to-from))
	if err == nil && n != to-from {
		err = ErrChanged
	}
	h.Sum(sum[:0])
	return sum, err
}

// guard ends a request that makes no progress.
type guard struct {
	timer *time.Timer
	stall time.Duration
}

func newGuard(stall time.Duration, cancel func()) *guard {
	return &guard{timer: time.AfterFunc(stall, cancel), stall: stall}
}

func (g *guard) progress() { g.timer.Reset(g.stall) }
func (g *guard) stop()     { g.timer.Stop() }
