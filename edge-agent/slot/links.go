package slot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The names beside the slots in the folder of Links.
const (
	linkCurrent  = "current"
	linkFallback = "fallback"
	fileTries    = "tries"
)

// LinksConfig says where the slots of files are.
type LinksConfig struct {
	// Dir has a folder for each slot.
	Dir   string
	Slots Names
	// Booted tells which slot runs; nil means the one that current points to, for files that are used from there.
	Booted func() (string, error)
}

// Links is the Control of slots that are folders: the link current points to the one that is started, fallback to the one that is started when it
// fails, and the file tries says how often the current one may still be started: "b 2". A program that starts what is in a slot calls
// Start; where nobody does, tries count nothing, and whoever armed the slot reverts it.
type Links struct {
	cfg   LinksConfig
	files files
}

var _ Control = (*Links)(nil)

// NewLinks checks cfg. The first of the slots is the current one where there is none.
func NewLinks(cfg LinksConfig) (*Links, error) {
	if err := cfg.Slots.Check(); err != nil {
		return nil, err
	}
	for _, name := range cfg.Slots {
		if name == linkCurrent || name == linkFallback || name == fileTries {
			return nil, fmt.Errorf("slot: no slot can be called %s", name)
		}
	}
	l := &Links{cfg: cfg}
	if l.cfg.Booted == nil {
		l.cfg.Booted = func() (string, error) { return l.target(linkCurrent) }
	}
	return l, nil
}

func (l *Links) path(name string) string { return filepath.Join(l.cfg.Dir, name) }

// target is the slot that a link points to, "" if there is no such link.
func (l *Links) target(name string) (string, error) {
	to, err := os.Readlink(l.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		if name == linkCurrent {
			return l.cfg.Slots[0], nil
		}
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("slot: %w", err)
	}
	if err := l.cfg.Slots.known(to); err != nil {
		return "", fmt.Errorf("%w: %s points elsewhere: %w", ErrInvalid, l.path(name), err)
	}
	return to, nil
}

// tries is what the file says of a slot; without a word the slot is confirmed, and has MaxTries, which are not counted.
func (l *Links) tries(slot string) (left int, counted bool, err error) {
	b, err := os.ReadFile(l.path(fileTries))
	if errors.Is(err, fs.ErrNotExist) {
		return MaxTries, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("slot: %w", err)
	}
	return parseTries(string(b), slot)
}

func parseTries(text, slot string) (left int, counted bool, err error) {
	name, number, ok := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
	n, err := strconv.ParseUint(number, 10, 8)
	if !ok || err != nil || n > MaxTries {
		return 0, false, fmt.Errorf("%w: tries %.40q", ErrInvalid, text)
	}
	if name != slot {
		return MaxTries, false, nil
	}
	return int(n), true, nil
}

// Get implements Control.
func (l *Links) Get(context.Context) (State, error) {
	var s State
	current, err := l.target(linkCurrent)
	if err != nil {
		return s, err
	}
	fallback, err := l.target(linkFallback)
	if err != nil {
		return s, err
	}
	left, _, err := l.tries(current)
	if err != nil {
		return s, err
	}
	if s.Booted, err = booted(l.cfg.Booted, l.cfg.Slots); err != nil {
		return s, err
	}
	s.Left = make(map[string]int)
	if left > 0 || fallback == "" || fallback == current {
		s.Order, s.Left[current] = []string{current}, max(left, 1)
	}
	if fallback != "" && fallback != current {
		s.Order, s.Left[fallback] = append(s.Order, fallback), MaxTries
	}
	return s, nil
}

// Arm implements Control. What it writes before it moves current is of no account until then.
func (l *Links) Arm(ctx context.Context, slot string, tries int) error {
	s, err := l.Get(ctx)
	if err != nil {
		return err
	}
	running := s.Booted
	if l.armed(s, slot) && s.Booted == slot {
		return nil // files that are used from current run as soon as they are armed
	}
	if err := checkArm(l.cfg.Slots, s, slot, tries); err != nil {
		return err
	}
	if s.Next() == slot {
		return l.setTries(slot, tries)
	}
	if s.Next() != running {
		if err := l.Confirm(ctx, running); err != nil {
			return err
		}
	}
	if err := l.setTries(slot, tries); err != nil {
		return err
	}
	if err := l.files.link(running, l.path(linkFallback)); err != nil {
		return err
	}
	return l.files.link(slot, l.path(linkCurrent))
}

// armed tells whether a slot is on trial.
func (l *Links) armed(s State, slot string) bool {
	_, counted, err := l.tries(slot)
	return err == nil && s.Next() == slot && counted
}

func (l *Links) setTries(slot string, n int) error {
	text := fmt.Sprintf("%s %d\n", slot, n)
	if b, err := os.ReadFile(l.path(fileTries)); err == nil && string(b) == text {
		return nil
	}
	return l.files.replace(l.path(fileTries), []byte(text), 0o644)
}

// Confirm implements Control.
func (l *Links) Confirm(_ context.Context, slot string) error {
	if err := l.cfg.Slots.known(slot); err != nil {
		return err
	}
	current, err := l.target(linkCurrent)
	if err != nil {
		return err
	}
	if current != slot {
		if err := l.files.link(current, l.path(linkFallback)); err != nil {
			return err
		}
	}
	if err := l.files.link(slot, l.path(linkCurrent)); err != nil {
		return err
	}
	return l.files.remove(l.path(fileTries))
}

// Revert implements Control.
func (l *Links) Revert(ctx context.Context, slot string) error {
	s, err := l.Get(ctx)
	if err != nil {
		return err
	}
	if err := checkRevert(l.cfg.Slots, s, slot); err != nil {
		return err
	}
	current, err := l.target(linkCurrent)
	if err != nil {
		return err
	}
	if current == slot {
		if err := l.files.link(without(slot, s.Order)[0], l.path(linkCurrent)); err != nil {
			return err
		}
	}
	if err := l.files.remove(l.path(linkFallback)); err != nil {
		return err
	}
	return l.files.remove(l.path(fileTries))
}

// Start is what starts a slot asks: it returns the slot that is to be started now and counts the start, or goes back to the one before when none is left. When it can't
// write what it has to note, it returns the one before together with the error: a start that is not counted could be made for ever.
func (l *Links) Start(context.Context) (string, error) {
	current, err := l.target(linkCurrent)
	if err != nil {
		return "", err
	}
	left, counted, err := l.tries(current)
	if errors.Is(err, ErrInvalid) {
		// The file is there on trial only, and something has to start: what ran before.
		left, counted, err = 0, true, nil
	}
	if err != nil {
		return "", err
	}
	fallback, err := l.target(linkFallback)
	if err != nil {
		return "", err
	}
	if !counted || fallback == "" || fallback == current {
		return current, nil
	}
	if left == 0 {
		return fallback, l.fallBack(fallback)
	}
	if err := l.setTries(current, left-1); err != nil {
		return fallback, err
	}
	return current, nil
}

func (l *Links) fallBack(to string) error {
	if err := l.files.link(to, l.path(linkCurrent)); err != nil {
		return err
	}
	if err := l.files.remove(l.path(linkFallback)); err != nil {
		return err
	}
	return l.files.remove(l.path(fileTries))
}

// Fallback is the slot that ran before the current one and is whole, "" if there is none.
func (l *Links) Fallback() string {
	name, err := l.target(linkFallback)
	if err != nil {
		return ""
	}
	return name
}
