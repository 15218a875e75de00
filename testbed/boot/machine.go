package boot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// UBoot is Debian's build for qemu's virt machine.
const UBoot = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"

// Machine is a running one.
type Machine struct {
	cmd *exec.Cmd

	mu    sync.Mutex // guards the fields below
	lines []string
	more  chan struct{} // closed when there is another line
	ended bool
}

// Start turns a machine on. forwards are TCP addresses of the guest's network, and the command that each connection to them starts.
func Start(disk string, forwards map[string]string) (*Machine, error) {
	net := "user,id=n,restrict=on"
	for at, command := range forwards {
		net += ",guestfwd=tcp:" + at + "-cmd:" + command
	}
	m := &Machine{more: make(chan struct{})}
	m.cmd = exec.Command("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57", "-m", "512", "-nographic", "-monitor", "none", "-serial", "stdio",
		"-bios", UBoot, "-drive", "if=none,id=d,format=raw,cache=writethrough,file="+disk, "-device", "virtio-blk-pci,drive=d",
		"-netdev", net, "-device", "virtio-net-pci,netdev=n,romfile=", "-device", "i6300esb", "-action", "watchdog=reset")
	out, in := io.Pipe()
	m.cmd.Stdout, m.cmd.Stderr = in, in
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go m.read(out)
	go func() { _ = m.cmd.Wait(); _ = in.Close() }()
	return m, nil
}

func (m *Machine) read(out io.Reader) {
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		m.mu.Lock()
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			m.lines = append(m.lines, line)
		}
		m.ended = err != nil
		close(m.more)
		m.more = make(chan struct{})
		m.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// PowerOff cuts the power.
func (m *Machine) PowerOff() {
	_ = m.cmd.Process.Kill()
	for {
		m.mu.Lock()
		ended, more := m.ended, m.more
		m.mu.Unlock()
		if ended {
			return
		}
		<-more
	}
}

// Console is what was printed.
func (m *Machine) Console() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lines[:len(m.lines):len(m.lines)]
}

var errEnded = errors.New("the machine has ended")

// Wait waits for a line behind the first from lines that has text in it, and returns how many lines there were up to it.
func (m *Machine) Wait(ctx context.Context, from int, text string) (int, error) {
	for {
		m.mu.Lock()
		lines, more, ended := m.lines, m.more, m.ended
		m.mu.Unlock()
		for ; from < len(lines); from++ {
			if strings.Contains(lines[from], text) {
				return from + 1, nil
			}
		}
		if ended {
			return from, fmt.Errorf("wait for %q: %w", text, errEnded)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return from, fmt.Errorf("wait for %q: %w", text, context.Cause(ctx))
		}
	}
}

// Boots are the slots that U-Boot has started, in their order.
func (m *Machine) Boots() (slots []string) {
	for _, l := range m.Console() {
		if _, s, ok := strings.Cut(l, "BOOT slot "); ok && len(s) == 1 {
			slots = append(slots, s)
		}
	}
	return slots
}

// startTimeout is for one start, on a machine that others use too.
const startTimeout = 2 * time.Minute
