package ota

import (
	"os"

	"golang.org/x/sys/unix"
)

// freeBytes is what a program may still write to the file system of f.
func freeBytes(f *os.File) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return 0, os.NewSyscallError("fstatfs", err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// dropCache forgets what the system remembers of f, so that it is read from the medium. A system that can't do so is right as far as it goes.
func dropCache(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
