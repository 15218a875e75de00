//go:build linux && (amd64 || arm64)

package worker

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// callsLeft are the system calls that Go's runtime (and glibc's, in a build with cgo) needs to compute, collect its garbage and use open
// pipes, apart from clone, which may only start threads. All others fail with EPERM, so that a script that breaks out of
// its machine can open, connect to and start nothing.
var callsLeft = append([]uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_FCNTL,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MPROTECT, unix.SYS_MINCORE,
	unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_RESTART_SYSCALL,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_TGKILL, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_PPOLL,
	unix.SYS_GETRANDOM, unix.SYS_GETRUSAGE, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}, callsOfArch...)

// filterCalls leaves this process, all its threads, the system calls of callsLeft.
func filterCalls() error {
	const (
		nr, arch, flags = 0, 4, 16 // places in struct seccomp_data; flags is the lower half of the first argument
		load            = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal           = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		has             = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret             = unix.BPF_RET | unix.BPF_K
		denied          = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		absent          = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	)
	prog := []unix.SockFilter{
		{Code: load, K: arch},
		{Code: equal, K: auditArch, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS}, // calls by another table of numbers
		{Code: load, K: nr},
	}
	for _, call := range callsLeft {
		prog = append(prog, unix.SockFilter{Code: equal, K: call, Jf: 1}, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
	}
	prog = append(prog,
		unix.SockFilter{Code: equal, K: unix.SYS_CLONE3, Jf: 1}, // its flags cannot be seen: glibc takes clone instead
		unix.SockFilter{Code: ret, K: absent},
		unix.SockFilter{Code: equal, K: unix.SYS_CLONE, Jf: 3},
		unix.SockFilter{Code: load, K: flags},
		unix.SockFilter{Code: has, K: unix.CLONE_THREAD, Jf: 1},
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: ret, K: denied})
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	return nil
}
