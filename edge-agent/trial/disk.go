package trial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// disk changes files so that a power cut leaves the old one or the new one.
type disk struct {
	// before is asked before each change, in tests.
	before func(what string) error
	// wait is how long a lock is waited for; lockWait when zero.
	wait time.Duration
}

// Replace writes a file so that it is there whole or not at all, readable for its owner only.
func Replace(path string, b []byte) error { return disk{}.replace(path, b) }

func (d disk) ask(what string) error {
	if d.before == nil {
		return nil
	}
	return d.before(what)
}

func (d disk) replace(path string, b []byte) error {
	if err := d.ask("write " + path); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".trial-*")
	if err != nil {
		return fmt.Errorf("trial: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = d.rename(f.Name(), path)
	}
	if err != nil {
		if e := os.Remove(f.Name()); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return fmt.Errorf("trial: %w", err)
	}
	return nil
}

// rename needs no room on the disk.
func (d disk) rename(from, to string) error {
	if err := d.ask("rename " + to); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return d.sync(to)
}

// remove takes a file away, if it is there.
func (d disk) remove(path string) error {
	if err := d.ask("remove " + path); err != nil {
		return err
	}
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.sync(path)
	}
	if err != nil {
		return fmt.Errorf("trial: %w", err)
	}
	return nil
}

// sync makes the folder of path last.
func (d disk) sync(path string) error {
	if err := d.ask("sync the folder of " + path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
