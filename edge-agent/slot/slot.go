// Package slot speaks with what decides which of several slots is started: a boot loader's environment, two links in a folder, or a
// program of the user's.
//
// All of them are behind Control, with one promise: every call is decided by one write that is made whole or not at all, so that whatever
// happens in between there is a slot that starts; and the last slot that starts is never given up. The environments' bytes are drawn in
// docs/formats/bootenv.md, the rest in docs/agent-ota.md; slottest holds every driver to the contract.
//
// What is in a slot, and when it is good, is the caller's affair.
package slot

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Control decides which slot is started. Its methods may be called again after a crash or an error: what is there already is not written
// twice. They are not safe for use by several goroutines or programs at a time.
type Control interface {
	// Get reads what is, and changes nothing.
	Get(ctx context.Context) (State, error)
	// Arm makes slot the first to be started, tries times before the next in the order has its turn. The slot that runs is next in the order, with
	// all its tries. A slot that runs can't be armed: ErrBooted.
	Arm(ctx context.Context, slot string, tries int) error
	// Confirm makes slot the first to be started, with all its tries: it is good.
	Confirm(ctx context.Context, slot string) error
	// Revert takes slot out of what is started: it is bad, or about to be overwritten. ErrLast if nothing would be left.
	Revert(ctx context.Context, slot string) error
}

// State is what a boot loader will do, and what it has done.
type State struct {
	// Booted is the slot that runs.
	Booted string
	// Order are the slots that are started, the first one first; those behind it have their turn when it has no tries left.
	Order []string
	// Left is how often each slot of Order is still tried.
	Left map[string]int
}

// Next is the slot that is started next, "" if there is none.
func (s State) Next() string {
	if len(s.Order) == 0 {
		return ""
	}
	return s.Order[0]
}

// Bootable tells whether slot is started at all.
func (s State) Bootable(slot string) bool { return slices.Contains(s.Order, slot) }

var (
	// ErrUnknown is returned for a slot that there is not.
	ErrUnknown = errors.New("slot: there is no such slot")
	// ErrBooted is returned by Arm for the slot that runs.
	ErrBooted = errors.New("slot: the slot runs")
	// ErrLast is returned by Revert for the only slot that is started.
	ErrLast = errors.New("slot: no other slot would be started")
	// ErrNotBooted means that it can't be told which slot runs.
	ErrNotBooted = errors.New("slot: which slot runs is not known")
	// ErrInvalid is wrapped by errors about bytes that are not in the form that they should have.
	ErrInvalid = errors.New("slot: not in the right form")
)

// MaxTries bounds tries: one hexadecimal digit, as boot scripts have it.
const MaxTries = 9

// Names are the slots of a device, 2 to 8 of them.
type Names []string

// Check tells what is wrong with the names: 1 to 16 of A-Z a-z 0-9 _ each.
func (n Names) Check() error {
	if len(n) < 2 || len(n) > 8 {
		return fmt.Errorf("slot: %d slots, want 2 to 8", len(n))
	}
	for i, name := range n {
		if !plain(name) || len(name) > 16 {
			return fmt.Errorf("slot: the name %q must be 1 to 16 of A-Z a-z 0-9 _", name)
		}
		if slices.Contains(n[:i], name) {
			return fmt.Errorf("slot: %s is there twice", name)
		}
	}
	return nil
}

// known tells whether there is such a slot.
func (n Names) known(name string) error {
	if !slices.Contains(n, name) {
		return fmt.Errorf("%w: %q; there are %q", ErrUnknown, name, []string(n))
	}
	return nil
}

// plain tells whether a name has only letters, digits and _.
func plain(name string) bool {
	for _, c := range []byte(name) {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return name != ""
}

// checkArm is what every driver asks before it arms a slot.
func checkArm(n Names, s State, name string, tries int) error {
	if err := n.known(name); err != nil {
		return err
	}
	if tries < 1 || tries > MaxTries {
		return fmt.Errorf("slot: %d tries, want 1 to %d", tries, MaxTries)
	}
	if s.Booted == name {
		return fmt.Errorf("%w: %s", ErrBooted, name)
	}
	return nil
}

// checkRevert is what every driver asks before it gives a slot up.
func checkRevert(n Names, s State, name string) error {
	if err := n.known(name); err != nil {
		return err
	}
	if !slices.ContainsFunc(s.Order, func(o string) bool { return o != name }) {
		return fmt.Errorf("%w: %s", ErrLast, name)
	}
	return nil
}

// first returns order with name in front.
func first(name string, order []string) []string {
	return append([]string{name}, without(name, order)...)
}

// without returns order without name.
func without(name string, order []string) []string {
	return slices.DeleteFunc(slices.Clone(order), func(o string) bool { return o == name })
}
