package slot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// GRUBConfig says where GRUB's environment block is and what its slots are called.
type GRUBConfig struct {
	// Path is the block: a file, usually grub/grubenv on the boot partition.
	Path  string
	Slots Names
	// Booted tells which slot runs; see CommandLine.
	Booted func() (string, error)
}

// GRUB is the Control of a GRUB whose configuration goes by ORDER ("A B"), A_OK and A_TRY, the variables of RAUC: it starts the first slot of the order
// whose OK is 1 and whose TRY is 0, after it has set TRY to 1. There is one try, whatever Arm is told.
type GRUB struct {
	cfg   GRUBConfig
	files files
}

var _ Control = (*GRUB)(nil)

// NewGRUB checks cfg; it reads nothing.
func NewGRUB(cfg GRUBConfig) (*GRUB, error) {
	if err := cfg.Slots.Check(); err != nil {
		return nil, err
	}
	return &GRUB{cfg: cfg}, nil
}

// Get implements Control.
func (g *GRUB) Get(context.Context) (State, error) {
	s, _, err := g.read()
	return s, err
}

func (g *GRUB) read() (State, Variables, error) {
	b, err := os.ReadFile(g.cfg.Path)
	if err != nil {
		return State{}, nil, fmt.Errorf("read the environment: %w", err)
	}
	v, err := ParseGRUB(b)
	if err != nil {
		return State{}, nil, fmt.Errorf("%s: %w", g.cfg.Path, err)
	}
	s := State{Left: make(map[string]int)}
	if s.Booted, err = booted(g.cfg.Booted, g.cfg.Slots); err != nil {
		return State{}, nil, err
	}
	for _, o := range strings.Fields(v.Get("ORDER")) {
		// The slot that runs has TRY set by this start, and is as good as it was before.
		free := v.Get(o+"_TRY") != "1" || o == s.Booted
		if v.Get(o+"_OK") == "1" && free && slices.Contains(g.cfg.Slots, o) && !slices.Contains(s.Order, o) {
			s.Order, s.Left[o] = append(s.Order, o), 1
		}
	}
	return s, v, nil
}

// Arm implements Control.
func (g *GRUB) Arm(_ context.Context, slot string, tries int) error {
	return g.change(func(s State, v Variables) (Variables, error) {
		if err := checkArm(g.cfg.Slots, s, slot, tries); err != nil {
			return nil, err
		}
		v = v.Set("ORDER", strings.Join(first(slot, first(s.Booted, s.Order)), " "))
		return mark(mark(v, s.Booted, "1"), slot, "1"), nil
	})
}

// Confirm implements Control.
func (g *GRUB) Confirm(_ context.Context, slot string) error {
	return g.change(func(s State, v Variables) (Variables, error) {
		if err := g.cfg.Slots.known(slot); err != nil {
			return nil, err
		}
		return mark(v.Set("ORDER", strings.Join(first(slot, s.Order), " ")), slot, "1"), nil
	})
}

// Revert implements Control.
func (g *GRUB) Revert(_ context.Context, slot string) error {
	return g.change(func(s State, v Variables) (Variables, error) {
		if err := checkRevert(g.cfg.Slots, s, slot); err != nil {
			return nil, err
		}
		rest := without(slot, s.Order)
		// What is left is what the next start must find untried.
		return mark(mark(v.Set("ORDER", strings.Join(rest, " ")), rest[0], "1"), slot, "0"), nil
	})
}

// mark sets whether a slot is good; its try is free again.
func mark(v Variables, slot, ok string) Variables { return v.Set(slot+"_OK", ok).Set(slot+"_TRY", "0") }

// change replaces the block by what edit makes of it, if it is something else.
func (g *GRUB) change(edit func(State, Variables) (Variables, error)) error {
	s, was, err := g.read()
	if err != nil {
		return err
	}
	v, err := edit(s, was)
	if err != nil || v.Equal(was) {
		return err
	}
	b, err := EncodeGRUB(v)
	if err != nil {
		return err
	}
	path, err := filepath.EvalSymlinks(g.cfg.Path) // GRUB's own place may be elsewhere, as on the EFI partition
	if err != nil {
		return fmt.Errorf("slot: %w", err)
	}
	return g.files.replace(path, b, 0o644)
}
