package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/slot"
)

// How a launched agent knows its slot, and by what it was launched.
const (
	envSlot     = "HAWSER_AGENT_SLOT"
	envLauncher = "HAWSER_AGENT_LAUNCHER"
)

// ProgramName is of the agent's program in the folder of each slot.
const ProgramName = "hawser-agent"

// launchedSlot is the slot whose program this one is.
func launchedSlot() (string, error) {
	if s := os.Getenv(envSlot); s != "" {
		return s, nil
	}
	return "", fmt.Errorf("%w: the agent was not started by `hawser-agent launch`", slot.ErrNotBooted)
}

// Launch replaces this program by that of the slot that is to be started in dir, with args. It is what a boot loader is to a device: it counts a start
// that is on trial before it makes it. Where that can't be counted, or there is no program that starts, the slot before is started, and what was wrong is told on errOut. It
// returns only when there is nothing to start; started again, it has counted.
func Launch(ctx context.Context, dir string, slots []string, args []string, errOut io.Writer) error {
	l, err := slot.NewLinks(slot.LinksConfig{Dir: dir, Slots: slots})
	if err != nil {
		return err
	}
	name, err := l.Start(ctx)
	var failed error
	for _, name := range []string{name, l.Fallback()} {
		if err != nil {
			fmt.Fprintln(errOut, "hawser-agent: launch:", err)
			failed, err = errors.Join(failed, err), nil
		}
		if name != "" {
			err = start(dir, name, args)
		}
	}
	return errors.Join(failed, err)
}

// start replaces this program by that of a slot. It returns when it can't.
func start(dir, slot string, args []string) (err error) {
	self := os.Getenv(envLauncher)
	if self == "" {
		if self, err = os.Executable(); err != nil {
			return err
		}
	}
	program := filepath.Join(dir, slot, ProgramName)
	env := append(without(os.Environ(), envSlot, envLauncher), envSlot+"="+slot, envLauncher+"="+self)
	if err := syscall.Exec(program, append([]string{program}, args...), env); err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	return nil
}

// Relaunch replaces this program by itself, or by its launcher so that this starts the slot that is current now. dir, slots and args are Launch's.
func Relaunch(cfg Config, args []string) error {
	launcher := os.Getenv(envLauncher)
	env := without(os.Environ(), envSlot, envLauncher)
	if cfg.Firmware == nil || cfg.Firmware.Boot.Kind != "agent" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		return syscall.Exec(self, append([]string{self}, args...), env)
	}
	if launcher == "" {
		return ErrRestart // whoever has started it for the launcher does so again
	}
	b := cfg.Firmware.Boot
	again := append([]string{launcher, "launch", "--dir", b.Path, "--slots", strings.Join(b.Slots, ","), "--"}, args...)
	return syscall.Exec(launcher, again, env)
}

// without is env without the named variables.
func without(env []string, names ...string) (out []string) {
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		drop := false
		for _, n := range names {
			drop = drop || n == name
		}
		if !drop {
			out = append(out, e)
		}
	}
	return out
}

// restartWithin is how long a command that restarts may take.
const restartWithin = 5 * time.Minute

// restartBy is how what is in the slots is started anew. What the command prints goes where the agent's own log goes: a service that it leaves behind may have that
// open for ever, and is neither waited for nor cut off.
func restartBy(kind string, command []string) func(ctx context.Context) error {
	if len(command) == 0 && kind != "agent" {
		command = []string{"reboot"}
	}
	return func(ctx context.Context) error {
		if kind == "agent" {
			return nil // the program ends, and is launched again
		}
		within, cancel := context.WithTimeout(ctx, restartWithin)
		defer cancel()
		cmd := exec.CommandContext(within, command[0], command[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		// A device that goes down ends the command too: that is no failure.
		if err := cmd.Run(); err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", strings.Join(command, " "), err)
		}
		return nil
	}
}

// ErrRestart is returned by Run when the program is to be started anew by Relaunch.
var ErrRestart = errors.New("agent: the program is to be started anew")
