package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockName is the file in the data folder whose lock says that a hub uses it. The kernel drops the lock with the process,
// however it ends; the process id inside only serves the message.
const lockName = "hawser.lock"

// dirLock is the hold on a data folder.
type dirLock struct{ f *os.File }

// lockDir makes dir when it is absent and locks it.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, dirError("make data folder", dir, err)
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, dirError("lock data folder", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &InUseError{Dir: dir, PID: readPID(f)}
		}
		return nil, dirError("lock data folder", dir, err)
	}
	if err := writePID(f); err != nil {
		return nil, errors.Join(dirError("lock data folder", dir, err), f.Close())
	}
	return &dirLock{f}, nil
}

func readPID(f *os.File) int {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0) // an unreadable id leaves it out of the message
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return 0
	}
	return pid
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// release drops the lock; nil holds none. The file stays: removing it would race with the next holder.
func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}

// dirError says what to do about an error of the data folder.
func dirError(doing, dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s %s: %w: give the hub's user write access to it, or name another folder: %w", doing, dir, ErrReadOnly, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s %s: %w: free space on its file system: %w", doing, dir, ErrFull, err)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s %s: %w: it must be a folder: %w", doing, dir, ErrConfig, err)
	default:
		return fmt.Errorf("%s %s: %w", doing, dir, err)
	}
}
