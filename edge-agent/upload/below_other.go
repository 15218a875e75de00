//go:build !linux

package upload

import (
	"errors"
	"os"
	"path/filepath"
)

func below(root string, do func(r *os.Root) error) error {
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	return errors.Join(do(r), r.Close())
}

func openBelow(root, name string) (f *os.File, err error) {
	err = below(root, func(r *os.Root) error {
		f, err = r.Open(name)
		return err
	})
	return f, err
}

func removeBelow(root, name string) error {
	return below(root, func(r *os.Root) error { return r.Remove(name) })
}

func moveBelow(root, name, to string) error { return os.Rename(filepath.Join(root, name), to) }
