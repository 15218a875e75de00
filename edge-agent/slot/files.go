package slot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// files changes names so that a power cut leaves the old one or the new one.
type files struct {
	// before is asked before each change, in tests.
	before func(what string) error
}

func (f files) ask(what string) error {
	if f.before == nil {
		return nil
	}
	return f.before(what)
}

// replace gives path the content b.
func (f files) replace(path string, b []byte, mode fs.FileMode) error {
	tmp := path + ".new"
	if err := f.ask("write " + tmp); err != nil {
		return err
	}
	if err := writeSynced(tmp, b, mode); err != nil {
		return fmt.Errorf("slot: %w", err)
	}
	return f.rename(tmp, path)
}

// link makes path a link to target.
func (f files) link(target, path string) error {
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	}
	tmp := path + ".new"
	if err := f.ask("link " + tmp); err != nil {
		return err
	}
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("slot: %w", err)
	}
	if err := os.Symlink(target, tmp); err != nil {
		return fmt.Errorf("slot: %w", err)
	}
	return f.rename(tmp, path)
}

func (f files) rename(tmp, path string) error {
	if err := f.ask("rename " + path); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("slot: %w", err)
	}
	return f.syncDir(path)
}

// remove takes path away, if it is there.
func (f files) remove(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := f.ask("remove " + path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("slot: %w", err)
	}
	return f.syncDir(path)
}

// syncDir makes the folder of path last.
func (f files) syncDir(path string) error {
	if err := f.ask("sync " + filepath.Dir(path)); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("slot: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("slot: sync %s: %w", d.Name(), err)
	}
	return nil
}

func writeSynced(path string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
