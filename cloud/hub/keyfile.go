package hub

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// checkKeyFile finds out before the first key is made whether it could be written, because the key exists only once.
func checkKeyFile(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("--bootstrap-key-file %s: %w", path, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("--bootstrap-key-file %s: %s is not a folder", path, filepath.Dir(path))
	}
	return nil
}

// keepKey hands the owner's first key over: into the file, or once onto w.
func keepKey(path, key string, w io.Writer) error {
	if path == "" {
		_, err := fmt.Fprintf(w, "\nThe owner's API key, shown this once:\n\n    %s\n\n", key)
		return err
	}
	if err := writeSecret(path, key+"\n"); err != nil {
		// Better on the terminal than lost.
		fmt.Fprintf(w, "\nThe owner's API key, which could not be written to %s:\n\n    %s\n\n", path, key)
		return fmt.Errorf("--bootstrap-key-file: %w", err)
	}
	return nil
}

// writeSecret replaces a file whole, readable by this user only, and safe from power loss when it returns.
func writeSecret(path, text string) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // it was only synced
	return dir.Sync()
}
