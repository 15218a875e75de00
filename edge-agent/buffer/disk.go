package buffer

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// disk is what the buffer needs of a file system; tests put one in its place that loses power.
type disk interface {
	MkdirAll(dir string) error
	// Lock keeps other processes out of the folder until the Closer is closed; ErrInUse when one is in.
	Lock(dir string) (io.Closer, error)
	// Names lists a folder; fs.ErrNotExist when it is absent.
	Names(dir string) ([]string, error)
	// Dirs lists the folders in a folder.
	Dirs(dir string) ([]string, error)
	// ReadFile returns a whole file, or its beginning and an error.
	ReadFile(name string) ([]byte, error)
	Open(name string) (file, error)
	// Create makes or empties a file.
	Create(name string) (file, error)
	Remove(name string) error
	// Rename makes the new name last: it syncs the folder.
	Rename(from, to string) error
	SyncDir(dir string) error
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Allocate makes an empty file size zeros long and its blocks the file's own, and makes that last.
	Allocate(size int64) error
	// Sync makes what was written last; the times of the file need not.
	Sync() error
}

type osDisk struct{}

func (osDisk) MkdirAll(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func (osDisk) Lock(dir string) (io.Closer, error) { return lockDir(dir) }

func (osDisk) Names(dir string) (names []string, err error) {
	list, err := os.ReadDir(dir)
	for _, e := range list {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (osDisk) Dirs(dir string) (names []string, err error) {
	list, err := os.ReadDir(dir)
	for _, e := range list {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (osDisk) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// Open opens for writing too; on a disk that is read-only, for reading.
func (osDisk) Open(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if isReadOnly(err) || errors.Is(err, fs.ErrPermission) {
		f, err = os.Open(name)
	}
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osDisk) Create(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osDisk) Remove(name string) error { return os.Remove(name) }

func (osDisk) Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func (osDisk) SyncDir(dir string) error { return syncDir(dir) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return fdatasync(f.File) }

func (f osFile) Allocate(size int64) error {
	if err := fallocate(f.File, size); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	} else if err == nil {
		return f.Sync()
	}
	return fillZero(f, size)
}

// fillZero is Allocate by writing.
func fillZero(f file, size int64) error {
	zeros := make([]byte, min(size, 64<<10))
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}
