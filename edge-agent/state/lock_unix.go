//go:build unix

package state

import (
	"os"
	"syscall"
)

// inUse reports whether another process has the file open, which bbolt locks.
func inUse(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}
