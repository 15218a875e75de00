package ota

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/slot"
	"github.com/hawser-iot/hawser/firmware/failure"
)

// spare is how much of a file system an update leaves free.
const spare = 1 << 20

// storage is update.Storage over the paths of the modules.
type storage struct {
	modules []Module
	slots   slot.Names
	open    func(path string, size int64) (Medium, error)
	running func() (string, error)
}

var _ update.Storage = (*storage)(nil)

func (s *storage) path(module string, other bool) (string, error) {
	m := s.module(module)
	if m == nil {
		return "", failure.New(failure.WrongDevice, "ota: there is no module %q", module)
	}
	runs, err := s.running()
	if err != nil {
		return "", err
	}
	if other {
		runs = s.slots[1-slices.Index(s.slots, runs)]
	}
	return m.Paths[runs], nil
}

// Base implements update.Storage.
func (s *storage) Base(module string) (update.Base, error) {
	path, err := s.path(module, false)
	if err != nil {
		return nil, err
	}
	f, err := s.open(path, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, update.ErrNoBase
	}
	return f, err
}

// Target implements update.Storage.
func (s *storage) Target(module string, size int64) (update.Target, error) {
	path, err := s.path(module, true)
	if err != nil {
		return nil, err
	}
	return s.open(path, size)
}

// openMedium opens a partition or a file: for reading if size is negative, and otherwise for an image of size bytes. A file is made if need be. What is in it
// stays as it is: it may still be started, or gone back to.
func openMedium(path string, size int64) (Medium, error) {
	if size < 0 {
		return opened(os.Open(path))
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(filepath.Clean(path), "/dev/"):
		// A file there would be one in memory, which no boot loader knows of.
		return nil, failure.New(failure.FlashIO, "ota: there is no such device: %w", err)
	case errors.Is(err, fs.ErrNotExist):
		if err = makeFile(path); err == nil {
			info, err = os.Stat(path)
		}
	}
	if err != nil {
		return nil, err
	}
	m, err := opened(os.OpenFile(path, os.O_RDWR, 0))
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		err = m.fit(size)
	} else if m.size < size {
		// This does not heal by waiting: SPACE is for what does.
		err = failure.New(failure.FlashIO, "ota: the image has %d bytes, and %s only %d", size, path, m.size)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func opened(f *os.File, err error) (medium, error) {
	if err != nil {
		return medium{}, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return medium{}, errors.Join(err, f.Close())
	}
	return medium{f, size}, nil
}

// makeFile makes an empty program file, and what is above it.
func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	err = errors.Join(f.Sync(), f.Close())
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		err = errors.Join(err, syncDir(dir))
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type medium struct {
	*os.File
	size int64
}

// Size implements Medium.
func (m medium) Size() int64 { return m.size }

// fit looks whether what is longer than the file has room.
func (m medium) fit(size int64) error {
	if m.size >= size {
		return nil
	}
	free, err := freeBytes(m.File)
	if need := size - m.size; err == nil && free < need+spare {
		return failure.New(failure.Space, "ota: %s needs %d bytes more and %d are free", m.Name(), need, free)
	}
	return err
}

// Sync implements update.Target. What is read afterwards comes from the medium.
func (m medium) Sync() error {
	if err := m.File.Sync(); err != nil {
		return err
	}
	dropCache(m.File)
	return nil
}

// trim takes off what a file has behind the image.
func (m medium) trim(size int64) error {
	info, err := m.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() <= size {
		return err
	}
	return errors.Join(m.Truncate(size), m.File.Sync())
}

// trim ends the files of a release in a slot where its images end.
func (s *storage) trim(r update.Release, slot string) error {
	for _, i := range r.Images {
		m := s.module(i.Module)
		if m == nil {
			continue
		}
		f, err := s.open(m.Paths[slot], int64(i.Size))
		if err != nil {
			return fmt.Errorf("ota: module %s: %w", i.Module, err)
		}
		if err := errors.Join(trim(f, int64(i.Size)), f.Close()); err != nil {
			return fmt.Errorf("ota: module %s: %w", i.Module, err)
		}
	}
	return nil
}

func trim(m Medium, size int64) error {
	if f, ok := m.(medium); ok {
		return f.trim(size)
	}
	return nil
}

// carry brings the modules that a release does not have to the slot that is armed: it is started whole.
func (s *storage) carry(ctx context.Context, r update.Release, from, to string) error {
	for _, m := range s.modules {
		if slices.ContainsFunc(r.Images, func(i update.Image) bool { return i.Module == m.Name }) {
			continue
		}
		if err := s.copyImage(ctx, m.Paths[from], m.Paths[to]); err != nil {
			return fmt.Errorf("ota: module %s, which the release leaves as it is: %w", m.Name, err)
		}
	}
	return nil
}

// copyImage makes what is at to the same as what is at from, and reads it back. Blocks that are the same are not written.
func (s *storage) copyImage(ctx context.Context, from, to string) error {
	src, err := s.open(from, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the device was shipped without it
	}
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	dst, err := s.open(to, src.Size())
	if err != nil {
		return err
	}
	err = trim(dst, src.Size())
	if err == nil {
		err = copyBlocks(ctx, src, dst, src.Size(), true)
	}
	if err == nil {
		err = dst.Sync()
	}
	if err == nil {
		err = copyBlocks(ctx, src, dst, src.Size(), false)
	}
	return errors.Join(err, dst.Close())
}

// copyBlocks writes blocks that differ, or returns an error for the first.
func copyBlocks(ctx context.Context, src io.ReaderAt, dst update.Target, size int64, write bool) error {
	a, b := make([]byte, 32<<10), make([]byte, 32<<10)
	for off := int64(0); off < size; off += int64(len(a)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(int64(len(a)), size-off)
		if _, err := io.ReadFull(io.NewSectionReader(src, off, n), a[:n]); err != nil {
			return err
		}
		if m, err := dst.ReadAt(b[:n], off); err != nil && !errors.Is(err, io.EOF) {
			return err
		} else if int64(m) == n && bytes.Equal(a[:n], b[:n]) {
			continue
		}
		if !write {
			return failure.New(failure.FlashIO, "at byte %d something else is read than was written", off)
		}
		if _, err := dst.WriteAt(a[:n], off); err != nil {
			return err
		}
	}
	return nil
}
