package slot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// UBootConfig says where a U-Boot environment is and what its slots are called.
type UBootConfig struct {
	// Path is a file, a block device or an MTD character device.
	Path   string
	Copies Copies
	Slots  Names
	// Tries is how often a good slot is tried, 3 if it is 0.
	Tries int
	// Booted tells which slot runs; see CommandLine.
	Booted func() (string, error)
	// Open opens Path; nil is OpenPlace.
	Open func(path string) (Place, error)
}

// UBoot is the Control of a U-Boot whose boot script goes by BOOT_ORDER ("A B") and BOOT_A_LEFT (a hexadecimal number of starts), the variables of
// RAUC: the script takes the first slot of the order that has any left, counts it down, saves the environment and starts it.
type UBoot struct{ cfg UBootConfig }

var _ Control = (*UBoot)(nil)

// NewUBoot checks cfg; it reads nothing.
func NewUBoot(cfg UBootConfig) (*UBoot, error) {
	if cfg.Tries == 0 {
		cfg.Tries = 3
	}
	if cfg.Open == nil {
		cfg.Open = OpenPlace
	}
	if err := errors.Join(cfg.Slots.Check(), cfg.Copies.Check()); err != nil {
		return nil, err
	}
	if cfg.Tries < 1 || cfg.Tries > MaxTries {
		return nil, fmt.Errorf("slot: %d tries, want 1 to %d", cfg.Tries, MaxTries)
	}
	return &UBoot{cfg}, nil
}

func leftName(slot string) string { return "BOOT_" + slot + "_LEFT" }

// Get implements Control.
func (u *UBoot) Get(context.Context) (s State, err error) {
	err = u.with(func(e environment) error {
		now, err := e.read()
		if err == nil {
			s, err = u.state(now.vars)
		}
		return err
	})
	return s, err
}

// state reads the variables as the boot script does. What is not set is what the script sets: all slots, with all their tries.
func (u *UBoot) state(v Variables) (State, error) {
	name, err := booted(u.cfg.Booted, u.cfg.Slots)
	if err != nil {
		return State{}, err
	}
	s := State{Booted: name, Left: make(map[string]int)}
	order := strings.Fields(v.Get("BOOT_ORDER"))
	if len(order) == 0 {
		order = u.cfg.Slots
	}
	for _, o := range order {
		left, err := u.left(v, o)
		if err != nil {
			return State{}, err
		}
		if left > 0 && slices.Contains(u.cfg.Slots, o) && !slices.Contains(s.Order, o) {
			s.Order, s.Left[o] = append(s.Order, o), left
		}
	}
	return s, nil
}

func (u *UBoot) left(v Variables, slot string) (int, error) {
	text := v.Get(leftName(slot))
	if text == "" {
		return u.cfg.Tries, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 16)
	if err != nil {
		return 0, fmt.Errorf("%w: %s=%.20q is no hexadecimal number", ErrInvalid, leftName(slot), text)
	}
	return int(n), nil
}

// Arm implements Control.
func (u *UBoot) Arm(_ context.Context, slot string, tries int) error {
	return u.change(func(s State, v Variables) (Variables, error) {
		if err := checkArm(u.cfg.Slots, s, slot, tries); err != nil {
			return nil, err
		}
		v = v.Set("BOOT_ORDER", strings.Join(first(slot, first(s.Booted, s.Order)), " "))
		return u.setLeft(u.setLeft(v, s.Booted, u.cfg.Tries), slot, tries), nil
	})
}

// Confirm implements Control.
func (u *UBoot) Confirm(_ context.Context, slot string) error {
	return u.change(func(s State, v Variables) (Variables, error) {
		if err := u.cfg.Slots.known(slot); err != nil {
			return nil, err
		}
		v = v.Set("BOOT_ORDER", strings.Join(first(slot, s.Order), " "))
		return u.setLeft(v, slot, u.cfg.Tries), nil
	})
}

// Revert implements Control.
func (u *UBoot) Revert(_ context.Context, slot string) error {
	return u.change(func(s State, v Variables) (Variables, error) {
		if err := checkRevert(u.cfg.Slots, s, slot); err != nil {
			return nil, err
		}
		v = v.Set("BOOT_ORDER", strings.Join(without(slot, s.Order), " "))
		return u.setLeft(v, slot, 0), nil
	})
}

func (u *UBoot) setLeft(v Variables, slot string, n int) Variables {
	return v.Set(leftName(slot), strconv.FormatInt(int64(n), 16))
}

// change writes what edit makes of the variables, if it is something else.
func (u *UBoot) change(edit func(State, Variables) (Variables, error)) error {
	return u.with(func(e environment) error {
		now, err := e.read()
		if err != nil {
			return err
		}
		s, err := u.state(now.vars)
		if err != nil {
			return err
		}
		v, err := edit(s, now.vars)
		if err != nil || v.Equal(now.vars) {
			return err
		}
		return e.write(now, v)
	})
}

func (u *UBoot) with(do func(environment) error) error {
	p, err := u.cfg.Open(u.cfg.Path)
	if err != nil {
		return fmt.Errorf("open the environment: %w", err)
	}
	err = do(environment{u.cfg.Copies, p})
	if c, ok := p.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}
