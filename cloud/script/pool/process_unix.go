//go:build unix

package pool

import (
	"os"
	"syscall"
)

// attributes put a worker into a process group of its own, so that a signal to the hub's group, Ctrl-C, is not for it: it ends when
// the hub closes its input, however the hub ends.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killed tells whether somebody has killed the process.
func killed(s *os.ProcessState) bool {
	status, ok := s.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGKILL || status.Signal() == syscall.SIGTERM)
}
