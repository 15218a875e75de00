package signing

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// State is what a device remembers, so that nothing old is taken for new. It is a value: the functions that change it
// return another, which the caller stores before it acts on it. A device begins with the zero value.
type State struct {
	// Floors are the highest sequence numbers that were confirmed, in order.
	Floors []Floor
	// Counter is the highest of an assignment that was accepted.
	Counter uint64
	// Time is the latest that the device knows to have been, in Unix seconds. A clock that says less is wrong.
	Time int64
	// Nonce is what the device has asked with and got no answer to; empty if it has not asked.
	Nonce []byte
}

// maxState bounds an encoded state.
const maxState = 16 << 10

// stateFormat is the version of docs/formats/assignment.md.
const stateFormat = 1

type wireState struct {
	Format  int              `cbor:"0,keyasint"`
	Floors  []wireStateFloor `cbor:"1,keyasint,omitempty"`
	Counter uint64           `cbor:"2,keyasint"`
	Time    int64            `cbor:"3,keyasint"`
	Nonce   []byte           `cbor:"4,keyasint,omitempty"`
}

type wireStateFloor struct {
	_        struct{} `cbor:",toarray"`
	Class    []byte
	Module   string
	Sequence uint64
	Manifest []byte
}

// Encode returns the state's bytes. Keeping them whole is the caller's affair; they hold no checksum. A state that could not be read again is an error.
func (s State) Encode() ([]byte, error) {
	w := wireState{Format: stateFormat, Counter: s.Counter, Time: s.Time, Nonce: s.Nonce}
	for _, f := range s.Floors {
		w.Floors = append(w.Floors, wireStateFloor{Class: f.Class[:], Module: f.Module, Sequence: f.Sequence, Manifest: f.Manifest[:]})
	}
	b, err := canon.Marshal(w)
	if err == nil && len(b) > maxState {
		err = fmt.Errorf("state: %w: %d floors make %d bytes, at most %d", canon.ErrTooLarge, len(s.Floors), len(b), maxState)
	}
	return b, err
}

// ParseState reads what Encode wrote.
func ParseState(b []byte) (State, error) {
	var w wireState
	if err := canon.Unmarshal(b, maxState, &w); err != nil {
		return State{}, fmt.Errorf("state: %w", err)
	}
	if w.Format != stateFormat || w.Time < 0 || w.Time > maxTime || len(w.Nonce) > MaxNonce {
		return State{}, fmt.Errorf("state: %w: format %d, time %d, nonce of %d bytes", ErrInvalid, w.Format, w.Time, len(w.Nonce))
	}
	s := State{Counter: w.Counter, Time: w.Time, Nonce: w.Nonce}
	for i, f := range w.Floors {
		if len(f.Class) != len(manifest.UUID{}) || len(f.Manifest) != len(manifest.Digest{}) {
			return State{}, fmt.Errorf("state: %w: floor %d", ErrInvalid, i)
		}
		s.Floors = append(s.Floors, Floor{manifest.UUID(f.Class), f.Module, f.Sequence, manifest.Digest(f.Manifest)})
		if i > 0 && s.Floors[i-1].compare(s.Floors[i]) >= 0 {
			return State{}, fmt.Errorf("state: %w: the floors are not in order", ErrInvalid)
		}
	}
	return s, nil
}

// Now is the time by a clock that may be wrong: a gateway without a battery starts in 1970.
func (s State) Now(clock time.Time) time.Time {
	if floor := time.Unix(s.Time, 0); clock.Before(floor) {
		return floor
	}
	return clock
}

// Seen raises the time floor to a time that the caller has of somebody it trusts; a clock of its own is none.
func (s State) Seen(t time.Time) State {
	s.Time = max(s.Time, min(t.Unix(), maxTime))
	return s
}

// Asked notes the nonce of a question. The answer to one before is no longer taken.
func (s State) Asked(nonce []byte) (State, error) {
	if len(nonce) < MinNonce || len(nonce) > MaxNonce {
		return s, fmt.Errorf("nonce of %d bytes, want %d to %d", len(nonce), MinNonce, MaxNonce)
	}
	s.Nonce = bytes.Clone(nonce)
	return s, nil
}

// Adopt takes over a root that has been verified to follow the old one: its floors, and when a director key is no longer
// one, what such a key can have spoilt. The counter and the time begin anew then, and so does the question: a device asks again, with a nonce that stands
// against replay.
func (s State) Adopt(old, next *Root) State {
	s.Floors = slices.Clone(s.Floors)
	for _, f := range next.Floors {
		s.Floors = setFloor(s.Floors, f)
	}
	for _, id := range old.Roles[RoleDirector].Keys {
		if !slices.Contains(next.Roles[RoleDirector].Keys, id) {
			s.Counter, s.Time, s.Nonce = 0, 0, nil
			break
		}
	}
	return s.Seen(next.Issued)
}

// Floor is the floor for a module of a class; its sequence number is 0 if nothing was ever confirmed.
func (s State) Floor(class manifest.UUID, module string) Floor {
	f := Floor{Class: class, Module: module}
	if i, ok := slices.BinarySearchFunc(s.Floors, f, Floor.compare); ok {
		return s.Floors[i]
	}
	return f
}

// newer tells whether a release may be installed over what was confirmed: ROLLBACK if not. The confirmed release itself may
// be installed again; another one with its number may not.
func (s State) newer(r *Release) error {
	for _, c := range r.Components {
		f := s.Floor(c.Class, c.Module)
		switch {
		case r.Sequence < f.Sequence:
			return failure.New(failure.Rollback, "manifest: sequence number %d of module %q is older than %d, which was confirmed", r.Sequence, c.Module, f.Sequence)
		case r.Sequence == f.Sequence && f.Manifest != r.Digest && f.Manifest != manifest.Digest{}:
			return failure.New(failure.Rollback, "manifest: another manifest with the sequence number %d was confirmed for module %q: %v", f.Sequence, c.Module, f.Manifest)
		}
	}
	return nil
}

// Confirmed raises the floors to a release. It is called after the device has booted it and found itself well, never
// before: a release that does not boot must leave the way back open.
func (s State) Confirmed(r *Release) State {
	s.Floors = slices.Clone(s.Floors)
	for _, c := range r.Components {
		if f := s.Floor(c.Class, c.Module); r.Sequence >= f.Sequence {
			s.Floors = setFloor(s.Floors, Floor{c.Class, c.Module, r.Sequence, r.Digest})
		}
	}
	return s
}
