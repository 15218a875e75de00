package slot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HookConfig names a program that speaks for a boot loader that this package does not know.
type HookConfig struct {
	// Command is the program and its first arguments.
	Command []string
	Slots   Names
	// Timeout is how long it may take; 0 is 30 s.
	Timeout time.Duration
}

// Hook is the Control that asks a program: with "get" it prints "booted A", "order A B" and "left A 3" lines; with "arm B 3", "confirm B" and "revert B"
// it does that. It ends with 0, or says on standard error what went wrong. It is called again after a crash.
type Hook struct{ cfg HookConfig }

var _ Control = (*Hook)(nil)

// maxHook bounds what a hook prints.
const maxHook = 4 << 10

// NewHook checks cfg; it starts nothing.
func NewHook(cfg HookConfig) (*Hook, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if len(cfg.Command) == 0 || cfg.Command[0] == "" {
		return nil, errors.New("slot: the hook has no command")
	}
	return &Hook{cfg}, cfg.Slots.Check()
}

// Get implements Control.
func (h *Hook) Get(ctx context.Context) (State, error) {
	out, err := h.call(ctx, "get")
	if err != nil {
		return State{}, err
	}
	s, err := ParseHook(out)
	if err != nil {
		return State{}, err
	}
	s.Booted, err = booted(func() (string, error) { return s.Booted, nil }, h.cfg.Slots)
	return s, err
}

// ParseHook reads what a hook prints for get.
func ParseHook(b []byte) (State, error) {
	s := State{Left: make(map[string]int)}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case f[0] == "booted" && len(f) == 2:
			s.Booted = f[1]
		case f[0] == "order":
			s.Order = f[1:]
		case f[0] == "left" && len(f) == 3:
			n, err := strconv.ParseUint(f[2], 10, 16)
			if err != nil {
				return State{}, fmt.Errorf("%w: the hook said %.60q", ErrInvalid, line)
			}
			s.Left[f[1]] = int(n)
		default:
			return State{}, fmt.Errorf("%w: the hook said %.60q", ErrInvalid, line)
		}
	}
	s.Order = slices.DeleteFunc(s.Order, func(o string) bool { n, ok := s.Left[o]; return ok && n == 0 })
	return s, nil
}

// Arm implements Control.
func (h *Hook) Arm(ctx context.Context, slot string, tries int) error {
	s, err := h.Get(ctx)
	if err != nil {
		return err
	}
	if err := checkArm(h.cfg.Slots, s, slot, tries); err != nil {
		return err
	}
	_, err = h.call(ctx, "arm", slot, strconv.Itoa(tries))
	return err
}

// Confirm implements Control.
func (h *Hook) Confirm(ctx context.Context, slot string) error {
	if err := h.cfg.Slots.known(slot); err != nil {
		return err
	}
	_, err := h.call(ctx, "confirm", slot)
	return err
}

// Revert implements Control.
func (h *Hook) Revert(ctx context.Context, slot string) error {
	s, err := h.Get(ctx)
	if err != nil {
		return err
	}
	if err := checkRevert(h.cfg.Slots, s, slot); err != nil {
		return err
	}
	_, err = h.call(ctx, "revert", slot)
	return err
}

func (h *Hook) call(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.cfg.Command[0], append(slices.Clone(h.cfg.Command[1:]), args...)...)
	cmd.WaitDelay = time.Second
	var out, errs bounded
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("slot: hook %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), nil
}

// bounded keeps the first maxHook bytes.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, maxHook-b.Len()))])
	return len(p), nil
}
