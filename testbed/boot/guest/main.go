// Command guest is /init in the test machine: it loads modules, mounts the data, brings the network up, and does what /mode says.
//
//	panic   the kernel panics
//	arm     slot B is armed for two tries and the machine starts again, if A runs and B was never tried; else it is told what there is
//	hang    the watchdog is fed once, and nothing happens any more
//	agent   /agent runs, and the machine starts again when it ends
//
// Called as "/init reboot" it starts the machine again.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/hawser-iot/hawser/edge-agent/slot"
	"github.com/hawser-iot/hawser/testbed/boot"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "reboot" {
		restart()
		return
	}
	if err := run(); err != nil {
		say("failed: %v", err)
	}
	restart()
}

func say(format string, args ...any) { fmt.Printf("GUEST "+format+"\n", args...) }

func run() error {
	for dir, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs"} {
		if err := syscall.Mount(kind, dir, kind, 0, ""); err != nil && err != syscall.EBUSY {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	mode, err := os.ReadFile("/mode")
	if err != nil {
		return err
	}
	line, _ := os.ReadFile("/proc/cmdline")
	say("up %s mode %s", strings.TrimSpace(string(line)), mode)
	if string(mode) == "panic" {
		return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	}
	if err := loadModules(); err != nil {
		return err
	}
	if err := waitFor("/dev/vda4"); err != nil {
		return err
	}
	switch string(mode) {
	case "arm":
		return arm()
	case "hang":
		return hang()
	}
	if err := syscall.Mount("/dev/vda4", "/data", "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount /data: %w", err)
	}
	if err := network("eth0", [4]byte{10, 0, 2, 15}); err != nil {
		return err
	}
	cmd := exec.Command("/agent", "run", "--config", "/data/agent.yaml")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	say("the agent ended: %v", err)
	return nil
}

// watchdogSeconds is after how long a watchdog that nobody feeds starts the machine again.
const watchdogSeconds = 10

func hang() error {
	f, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	seconds := int32(watchdogSeconds)
	const setTimeout = 0xc0045706 // WDIOC_SETTIMEOUT
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), setTimeout, uintptr(unsafe.Pointer(&seconds))); errno != 0 {
		return errno
	}
	if _, err := f.Write([]byte{0}); err != nil {
		return err
	}
	say("hangs")
	for {
		time.Sleep(time.Hour)
	}
}

func loadModules() error {
	list, err := os.ReadFile("/modules")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		b, err := os.ReadFile("/" + name)
		if err != nil {
			return err
		}
		empty := []byte{0}
		if _, _, errno := syscall.Syscall(syscall.SYS_INIT_MODULE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&empty[0]))); errno != 0 && errno != syscall.EEXIST {
			return fmt.Errorf("%s: %w", name, errno)
		}
	}
	return nil
}

func waitFor(path string) error {
	for range 200 {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s did not appear", path)
}

func arm() error {
	u, err := slot.NewUBoot(slot.UBootConfig{
		Path: "/dev/vda", Copies: boot.Copies, Slots: slot.Names{"A", "B"}, Booted: slot.CommandLine("/proc/cmdline", "rauc.slot"),
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	s, err := u.Get(ctx)
	if err != nil {
		return err
	}
	say("booted %s order %v left %v", s.Booted, s.Order, s.Left)
	if s.Bootable("B") && s.Left["B"] == 3 {
		return u.Arm(ctx, "B", 2)
	}
	say("done")
	time.Sleep(time.Hour)
	return nil
}

// ifreq is struct ifreq with an address or flags.
type ifreq struct {
	name [16]byte
	data [24]byte
}

// network gives an interface an address in a network of 24 bits, and brings it up.
func network(name string, ip [4]byte) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	for _, dev := range []string{"lo", name} {
		var addr, mask, flags ifreq
		copy(addr.name[:], dev)
		mask.name, flags.name = addr.name, addr.name
		addr.data[0], mask.data[0] = syscall.AF_INET, syscall.AF_INET
		copy(addr.data[4:], ip[:])
		if dev == "lo" {
			copy(addr.data[4:], []byte{127, 0, 0, 1})
		}
		copy(mask.data[4:], []byte{255, 255, 255, 0})
		flags.data[0] = syscall.IFF_UP | syscall.IFF_RUNNING
		for _, r := range []struct {
			request uintptr
			arg     *ifreq
		}{{syscall.SIOCSIFADDR, &addr}, {syscall.SIOCSIFNETMASK, &mask}, {syscall.SIOCSIFFLAGS, &flags}} {
			if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), r.request, uintptr(unsafe.Pointer(r.arg))); errno != 0 {
				return fmt.Errorf("%s: %w", dev, errno)
			}
		}
	}
	return nil
}

func restart() {
	syscall.Sync()
	say("restarts")
	if err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART); err != nil {
		say("does not restart: %v", err)
	}
}
