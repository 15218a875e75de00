//go:build linux || darwin

package hub

import "syscall"

// diskFree is how many bytes are free in the file system of a folder; -1 where that cannot be told.
func diskFree(dir string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return -1
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
