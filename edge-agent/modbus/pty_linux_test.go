package modbus

import (
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// line returns the two ends of a serial line.
func line(t *testing.T) (a, b string) {
	t.Helper()
	m1, a := pty(t)
	m2, b := pty(t)
	var wg sync.WaitGroup
	for from, to := range map[*os.File]*os.File{m1: m2, m2: m1} {
		wg.Go(func() { _, _ = io.Copy(to, from) })
	}
	t.Cleanup(func() {
		m1.Close()
		m2.Close()
		wg.Wait()
	})
	return a, b
}

// pty opens a pseudo terminal without echo; its other side is at the path. The side is kept open, so that reading the master goes on while nobody
// else has it.
func pty(t *testing.T) (master *os.File, path string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	path = fmt.Sprintf("/dev/pts/%d", n)
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	term, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err == nil {
		term.Iflag, term.Oflag, term.Lflag = 0, 0, 0
		err = unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, term)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, path
}
