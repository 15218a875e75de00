package buffer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

func fdatasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// fallocate costs no writes of zeros: the file system notes which blocks were never written, and reads them as zeros.
func fallocate(f *os.File, size int64) error {
	for {
		if err := syscall.Fallocate(int(f.Fd()), 0, 0, size); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// lockDir locks the folder itself: that works on a read-only disk too, and leaves no file.
func lockDir(dir string) (io.Closer, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = d.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("buffer: lock %s: %w", dir, err)
	}
	return d, nil
}

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }
