// Package fileblob keeps blobs as files in a folder.
//
// The blob a/b is the file a/b@ below the folder; the '@', which no name has, lets a blob a stand beside a blob a/b. A blob
// is written to a file in .tmp, synced, renamed into place, and its folder synced. Folders that became empty stay.
//
// The folder belongs to one process at a time; fileblob does not lock it, because the hub's data folder is locked already.
package fileblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hawser-iot/hawser/cloud/blob"
)

const (
	tmpDir = ".tmp"
	suffix = "@"
	// copySize is how much is copied between two looks at the context.
	copySize = 1 << 20
)

// Store is a folder of blobs.
type Store struct{ dir string }

var _ blob.Store = (*Store)(nil)

// Open makes dir when it is absent and removes what an earlier process left half written.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("blob folder: %w", err)
	}
	tmp := filepath.Join(dir, tmpDir)
	if err := os.RemoveAll(tmp); err != nil {
		return nil, fmt.Errorf("blob folder %s: %w", dir, translate(err))
	}
	if err := os.MkdirAll(tmp, 0o750); err != nil {
		return nil, fmt.Errorf("blob folder %s: %w", dir, translate(err))
	}
	return &Store{dir: dir}, nil
}

// path returns the file of a blob.
func (s *Store) path(name string) (string, error) {
	if err := blob.CheckName(name); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, filepath.FromSlash(name)+suffix), nil
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64) (blob.Info, error) {
	path, err := s.path(name)
	if err != nil {
		return blob.Info{}, err
	}
	tmp, err := s.write(ctx, r, size)
	if err != nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", name, translate(err))
	}
	if err := s.place(tmp, path); err != nil {
		_ = os.Remove(tmp) // else Open does
		return blob.Info{}, fmt.Errorf("put blob %s: %w", name, translate(err))
	}
	return s.Stat(ctx, name)
}

// write copies r into a synced temporary file and returns its path; on an error there is none.
func (s *Store) write(ctx context.Context, r io.Reader, size int64) (path string, err error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, tmpDir), "put-*")
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(f.Name()) // else Open does
		}
	}()
	if size >= 0 {
		r = io.LimitReader(r, size+1) // one more shows that there is more
	}
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		k, err := io.CopyN(f, r, copySize)
		n += k
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	if size >= 0 && n != size {
		return "", fmt.Errorf("%w: %d bytes announced", blob.ErrSize, size)
	}
	return f.Name(), f.Sync()
}

// place renames the temporary file to path, making and syncing folders as needed.
func (s *Store) place(tmp, path string) error {
	dir := filepath.Dir(path)
	made, err := s.makeDirs(dir)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	for _, d := range append(made, dir) {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// makeDirs makes dir and returns the folders that got a new entry by it.
func (s *Store) makeDirs(dir string) (changed []string, err error) {
	for d := dir; d != s.dir; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			break
		}
		changed = append(changed, filepath.Dir(d))
	}
	return changed, os.MkdirAll(dir, 0o750)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Info, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, blob.Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, blob.Info{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, blob.Info{}, fmt.Errorf("get blob %s: %w", name, translate(err))
	}
	info, n, err := ranged(f, name, offset, length)
	if err != nil {
		return nil, blob.Info{}, errors.Join(fmt.Errorf("get blob %s: %w", name, translate(err)), f.Close())
	}
	return &reader{Reader: io.LimitReader(f, n), f: f}, info, nil
}

// ranged moves f to offset and returns how many bytes to read.
func ranged(f *os.File, name string, offset, length int64) (blob.Info, int64, error) {
	stat, err := f.Stat()
	if err != nil {
		return blob.Info{}, 0, err
	}
	n, err := blob.Range(stat.Size(), offset, length)
	if err != nil {
		return blob.Info{}, 0, err
	}
	_, err = f.Seek(offset, io.SeekStart)
	return info(name, stat), n, err
}

// reader reads a range of a file.
type reader struct {
	io.Reader
	f *os.File
}

func (r *reader) Close() error { return r.f.Close() }

// WriteTo lets io.Copy hand the range to the kernel (sendfile) where both sides can.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	if rf, ok := w.(io.ReaderFrom); ok {
		return rf.ReadFrom(r.Reader)
	}
	return io.Copy(w, r.Reader)
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	path, err := s.path(name)
	if err != nil {
		return blob.Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return blob.Info{}, err
	}
	stat, err := os.Stat(path)
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat blob %s: %w", name, translate(err))
	}
	return info(name, stat), nil
}

func info(name string, stat fs.FileInfo) blob.Info {
	return blob.Info{Name: name, Size: stat.Size(), Modified: stat.ModTime()}
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = os.Remove(path)
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err = translate(err); err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("delete blob %s: %w", name, err)
	}
	return nil
}

// translate turns the file system's errors into the contract's, with what to do.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w", blob.ErrNotFound, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: free space on its file system: %w", blob.ErrUnavailable, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: give the hub's user write access: %w", blob.ErrUnavailable, err)
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
	default:
		return err
	}
}
