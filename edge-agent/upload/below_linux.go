package upload

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// atWorkingDir is AT_FDCWD.
const atWorkingDir = -0x64

// below calls do with the folder of a file, which lies under root, and with its name there. No link is followed on the way from root, whatever becomes
// one meanwhile. It costs 30 KiB less than os.Root.
func below(root, name string, do func(dir int, base string) error) error {
	const flags = syscall.O_RDONLY | syscall.O_DIRECTORY | syscall.O_CLOEXEC
	dir, err := syscall.Open(root, flags, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer func() { _ = syscall.Close(dir) }() // it was only looked at
	parts := strings.Split(filepath.ToSlash(name), "/")
	last := len(parts) - 1
	for _, p := range parts[:last] {
		next, err := syscall.Openat(dir, p, flags|syscall.O_NOFOLLOW, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: filepath.Join(root, name), Err: err}
		}
		_ = syscall.Close(dir)
		dir = next
	}
	if err := do(dir, parts[last]); err != nil {
		return &os.PathError{Op: "use", Path: filepath.Join(root, name), Err: err}
	}
	return nil
}

// openBelow opens a file, and does not wait should it be a pipe by now.
func openBelow(root, name string) (f *os.File, err error) {
	err = below(root, name, func(dir int, base string) error {
		fd, err := syscall.Openat(dir, base, syscall.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		if err == nil {
			f = os.NewFile(uintptr(fd), filepath.Join(root, name))
		}
		return err
	})
	return f, err
}

func removeBelow(root, name string) error { return below(root, name, syscall.Unlinkat) }

func moveBelow(root, name, to string) error {
	return below(root, name, func(dir int, base string) error { return syscall.Renameat(dir, base, atWorkingDir, to) })
}
