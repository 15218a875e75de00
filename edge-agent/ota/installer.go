package ota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/slot"
)

// bootRecord is the name of what an installer remembers.
const bootRecord = "boot"

// armed is what an installer remembers: boot loaders do not tell a slot on trial from a good one.
type armed struct {
	// Slot was armed and is not confirmed; "" if none is.
	Slot string `json:"slot,omitempty"`
	// Restart says that what is in the slots has to be started before anything is believed of it.
	Restart bool `json:"restart,omitempty"`
}

// installer is update.Installer over a slot.Control.
type installer struct {
	boot    Boot
	storage *storage
	store   update.Store
	log     *slog.Logger
	restart func(ctx context.Context) error

	// mu guards the fields below, and is held during each call of the control.
	mu    sync.Mutex
	begun string // the slot that ran when the program began, for Boot.Used
	good  bool   // the slot that runs was marked good since the program began
	left  bool   // it was on trial, and is being left
}

var _ update.Installer = (*installer)(nil)

// errLeft: the owner or the engine goes back.
var errLeft = errors.New("ota: the slot that runs is being left")

// open finds which slot runs.
func (i *installer) open(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, err := i.boot.Control.Get(ctx)
	if err != nil {
		return err
	}
	i.begun = s.Booted
	a, err := i.load()
	if err != nil || !a.Restart {
		return err
	}
	if i.boot.Used {
		// What is current now may not be what runs: the program ended between both.
		if err := i.boot.Restart(ctx); err != nil {
			return fmt.Errorf("ota: restart of what is in slot %s: %w", s.Booted, err)
		}
	}
	a.Restart = false
	return i.save(a)
}

func (i *installer) load() (armed, error) {
	var a armed
	b, err := i.store.Load(bootRecord)
	if err != nil || len(b) == 0 {
		return a, err
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("ota: record %s: %w", bootRecord, err)
	}
	return a, nil
}

func (i *installer) save(a armed) error {
	b, err := json.Marshal(a)
	if err == nil {
		err = i.store.Save(bootRecord, b)
	}
	return err
}

// state is what runs, and what is remembered of it.
func (i *installer) stateLocked(ctx context.Context) (slot.State, armed, error) {
	s, err := i.boot.Control.Get(ctx)
	if err != nil {
		return s, armed{}, err
	}
	if i.boot.Used {
		s.Booted = i.begun
	}
	a, err := i.load()
	return s, a, err
}

// target is the slot that does not run.
func (i *installer) target(s slot.State) string {
	return i.boot.Slots[1-slices.Index(i.boot.Slots, s.Booted)]
}

// running is the slot that runs.
func (i *installer) running() (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, _, err := i.stateLocked(context.Background())
	return s.Booted, err
}

// Boot implements update.Installer. A slot that was not armed has all its tries from here on: it has come so far.
func (i *installer) Boot(ctx context.Context) (update.Boot, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, a, err := i.stateLocked(ctx)
	if err != nil {
		return update.Boot{}, err
	}
	b := update.Boot{Slot: s.Booted, Confirmed: a.Slot != s.Booted, Armed: a.Slot != "" && a.Slot != s.Booted && s.Next() == a.Slot}
	b.TriesLeft = uint64(max(s.Left[s.Next()], 0))
	if b.Confirmed && !b.Armed && !i.good {
		if err := i.boot.Control.Confirm(ctx, s.Booted); err != nil {
			return b, err
		}
		i.good = true
	}
	return b, nil
}

// Clear implements update.Installer.
func (i *installer) Clear(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, a, err := i.stateLocked(ctx)
	if err != nil {
		return err
	}
	if a.Slot == s.Booted {
		return errors.New("ota: the slot that runs is on trial, the other one is the way back")
	}
	if !s.Bootable(s.Booted) {
		if err := i.boot.Control.Confirm(ctx, s.Booted); err != nil {
			return err
		}
	}
	if to := i.target(s); s.Bootable(to) {
		if err := i.boot.Control.Revert(ctx, to); err != nil {
			return err
		}
	}
	if a == (armed{}) {
		return nil
	}
	return i.save(armed{})
}

// Arm implements update.Installer.
func (i *installer) Arm(ctx context.Context, r update.Release) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, a, err := i.stateLocked(ctx)
	if err != nil {
		return err
	}
	to := i.target(s)
	if err := errors.Join(i.storage.trim(r, to), i.storage.carry(ctx, r, s.Booted, to)); err != nil {
		return err
	}
	if want := (armed{Slot: to, Restart: i.boot.Used}); a != want {
		if err := i.save(want); err != nil {
			return err
		}
	}
	return i.boot.Control.Arm(ctx, to, i.boot.Tries)
}

// Restart implements update.Installer.
func (i *installer) Restart(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.restart(ctx); err != nil {
		return err
	}
	a, err := i.load()
	if err != nil || !a.Restart {
		return err
	}
	a.Restart = false
	return i.save(a)
}

// Confirm implements update.Installer.
func (i *installer) Confirm(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, a, err := i.stateLocked(ctx)
	if err != nil {
		return err
	}
	if i.left {
		return errLeft
	}
	if err := i.boot.Control.Confirm(ctx, s.Booted); err != nil {
		return err
	}
	if a == (armed{}) {
		return nil
	}
	return i.save(armed{})
}

// Revert implements update.Installer.
func (i *installer) Revert(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, a, err := i.stateLocked(ctx)
	if err != nil {
		return err
	}
	if a.Slot != s.Booted {
		return errors.New("ota: the slot that runs is not on trial")
	}
	if i.boot.Used && !a.Restart {
		a.Restart = true
		if err := i.save(a); err != nil {
			return err
		}
	}
	i.left = true // whoever finds it well from here on comes too late
	if !s.Bootable(s.Booted) {
		return nil // it was given up before
	}
	return i.boot.Control.Revert(ctx, s.Booted)
}
