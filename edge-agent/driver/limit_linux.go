package driver

import "golang.org/x/sys/unix"

// limit bounds a process's address space; 0 does not.
func limit(pid int, memory uint64) error {
	if memory == 0 {
		return nil
	}
	return unix.Prlimit(pid, unix.RLIMIT_AS, &unix.Rlimit{Cur: memory, Max: memory}, nil)
}
