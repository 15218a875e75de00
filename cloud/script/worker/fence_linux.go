package worker

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// What a worker may have of the kernel beside memory. RLIMIT_CPU is of the whole process's life; the hub replaces a worker long
// before.
const (
	maxFiles = 32
	// MaxCPU is for how long a worker may run at all, in seconds of processor time.
	MaxCPU = 3600
)

// fence puts bounds around this process that it cannot take away again: memory, processor time, files and, where this
// machine's kernel has it, a list of system calls. It tells which hold.
func fence(memory uint64) wire.Ready {
	data, space := sizes()
	limits := []struct {
		what  int
		limit uint64
	}{
		// Of what the process has now, and as much again as a call may have: garbage of earlier calls is not collected at once. The
		// address space has more room, since Go reserves some without using it.
		{unix.RLIMIT_DATA, data + 2*memory},
		{unix.RLIMIT_AS, space + 4*memory + 256<<20},
		{unix.RLIMIT_CPU, MaxCPU},
		{unix.RLIMIT_NOFILE, maxFiles},
		{unix.RLIMIT_FSIZE, 0},
		{unix.RLIMIT_CORE, 0},
	}
	ready := wire.Ready{Limits: true}
	for _, l := range limits {
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.limit, Max: l.limit}); err != nil {
			ready.Limits = false
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return ready
	}
	ready.Seccomp = filterCalls() == nil
	return ready
}

// sizes are the bytes of data and of address space that the process has now.
func sizes() (data, space uint64) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 64 << 20, 2 << 30
	}
	return field(b, "VmData:"), field(b, "VmSize:")
}

// field is a line "name:   123 kB" in bytes.
func field(status []byte, name string) uint64 {
	_, rest, _ := bytes.Cut(status, []byte(name))
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	kib, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		return 1 << 30
	}
	return kib << 10
}

// cpuTime is the processor time that this process has taken.
func cpuTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
