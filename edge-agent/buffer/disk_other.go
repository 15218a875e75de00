//go:build !linux

package buffer

import (
	"errors"
	"io"
	"os"
)

func fdatasync(f *os.File) error { return f.Sync() }

func fallocate(*os.File, int64) error { return errors.ErrUnsupported }

// lockDir locks nothing here: agents run on Linux, other systems are for development.
func lockDir(dir string) (io.Closer, error) { return os.Open(dir) }

func isReadOnly(error) bool { return false }
