package depot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/hawser-iot/hawser/device-sdk/update"
)

// shelf is what an Updater needs of one sub-device: two places for images on the gateway's disk, and what stands for its boot loader. "The next
// start" is the handover: before it the sub-device runs what is in one slot, and when it has said that it runs the new version, what is in the other.
type shelf struct {
	update.Store
	room    *room
	id      string
	handing chan struct{} // holds one token: what is armed is to be handed over

	mu    sync.Mutex // guards state
	state shelfState
}

// shelfState is the record "shelf".
type shelfState struct {
	Slot string `json:"slot"`
	Lots []lot  `json:"lots,omitempty"` // are handed over one after the other, or were
	// Taken is how many of them the sub-device runs. When it does not take one, Failed is set, and what it has taken is taken back.
	Taken  int  `json:"taken,omitempty"`
	Failed bool `json:"failed,omitempty"`
	Took   bool `json:"took,omitempty"` // the sub-device has said that it runs all that was armed
	// Has are the images in Slot.
	Has []lot `json:"has,omitempty"`
}

// had is what the sub-device ran of a module before, as far as the image is in its slot.
func (st *shelfState) had(module string) (lot, bool) {
	i := slices.IndexFunc(st.Has, func(l lot) bool { return l.Module == module })
	if i < 0 {
		return lot{}, false
	}
	return st.Has[i], true
}

// disarm forgets what is handed over.
func (st *shelfState) disarm() { st.Lots, st.Taken, st.Failed, st.Took = nil, 0, false, false }

// lot is an image to be handed over.
type lot struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	SHA256  []byte `json:"sha256"`
	Size    int64  `json:"size"`
}

var (
	_ update.Storage   = (*shelf)(nil)
	_ update.Installer = (*shelf)(nil)
	_ update.Store     = (*shelf)(nil)
)

const shelfRecord = "shelf"

func openShelf(r *room, id string, files update.Store) (*shelf, error) {
	s := &shelf{Store: files, room: r, id: id, handing: make(chan struct{}, 1), state: shelfState{Slot: "A"}}
	b, err := files.Load(shelfRecord)
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &s.state)
	}
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", shelfRecord, err)
	}
	plan, err := files.Load(update.PlanRecord)
	if err != nil {
		return nil, err
	}
	r.enrol(id, s.state.Slot, len(plan) > 0)
	return s, nil
}

// Save implements update.Store. It sees when an update is over, and when one has all it needs.
func (s *shelf) Save(name string, record []byte) error {
	if err := s.Store.Save(name, record); err != nil {
		return err
	}
	if name != update.PlanRecord {
		return nil
	}
	p, err := update.ParsePlanStatus(record)
	if err != nil {
		return nil // it is the Updater's own affair
	}
	if p == nil {
		s.room.idle(s.id)
	} else if p.Phase != "staging" && p.Phase != "accepted" && p.Phase != "asking" {
		s.room.pass(s.id)
	}
	return nil
}

// change writes the record, if edit changes it. edit replaces lists, and does not change them in place.
func (s *shelf) change(edit func(st *shelfState)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state
	edit(&next)
	old, err := json.Marshal(s.state)
	if err != nil {
		return err
	}
	b, err := json.Marshal(next)
	if err != nil || bytes.Equal(b, old) {
		return err
	}
	if err := s.Store.Save(shelfRecord, b); err != nil {
		return err
	}
	s.state = next
	return nil
}

func (s *shelf) now() shelfState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func other(slot string) string {
	if slot == "A" {
		return "B"
	}
	return "A"
}

// armed tells whether something is to be handed over.
func (s *shelf) armed() bool {
	st := s.now()
	return len(st.Lots) > 0 && !st.Took
}

// judge notes what came of a handover.
func (s *shelf) judge(took bool) error {
	return s.change(func(st *shelfState) {
		if st.Took = took; !took {
			st.disarm()
		}
	})
}

// step notes that the sub-device runs the image that it was handed last, or does not.
func (s *shelf) step(ok bool) error {
	return s.change(func(st *shelfState) {
		switch {
		case st.Failed:
			st.Taken--
		case ok:
			st.Taken++
		default:
			st.Failed = true
		}
	})
}

// Base implements update.Storage.
func (s *shelf) Base(module string) (update.Base, error) {
	return s.room.base(s.id, s.now().Slot, module)
}

// Target implements update.Storage.
func (s *shelf) Target(module string, size int64) (update.Target, error) {
	return s.room.target(s.id, other(s.now().Slot), module, size)
}

// Boot implements update.Installer.
func (s *shelf) Boot(context.Context) (update.Boot, error) {
	st := s.now()
	if st.Took {
		return update.Boot{Slot: other(st.Slot)}, nil
	}
	return update.Boot{Slot: st.Slot, Confirmed: true, Armed: len(st.Lots) > 0}, nil
}

// Clear implements update.Installer.
func (s *shelf) Clear(context.Context) error {
	return s.change(func(st *shelfState) { st.disarm() })
}

// Arm implements update.Installer.
func (s *shelf) Arm(_ context.Context, r update.Release) error {
	var lots []lot
	for _, i := range r.Images {
		lots = append(lots, lot{Module: i.Module, Version: i.Version, SHA256: i.Digest[:], Size: int64(i.Size)})
	}
	return s.change(func(st *shelfState) {
		st.disarm()
		st.Lots = lots
	})
}

// Restart implements update.Installer: the Updater is ended, and the handover begins.
func (s *shelf) Restart(context.Context) error {
	select {
	case s.handing <- struct{}{}:
	default:
	}
	return nil
}

// Confirm implements update.Installer. The images before go, but for those of modules that the release does not have. They are moved before that is
// written: an agent that is killed in between does it again.
func (s *shelf) Confirm(context.Context) error {
	if st := s.now(); st.Took {
		s.room.settle(s.id, other(st.Slot))
	}
	return s.change(func(st *shelfState) {
		if !st.Took {
			return
		}
		has := slices.Clone(st.Lots)
		for _, l := range st.Has {
			if !slices.ContainsFunc(has, func(o lot) bool { return o.Module == l.Module }) {
				has = append(has, l)
			}
		}
		st.disarm()
		st.Slot, st.Has = other(st.Slot), has
	})
}

// Revert implements update.Installer. It is not called: what a sub-device has said that it runs is confirmed.
func (s *shelf) Revert(ctx context.Context) error { return s.Clear(ctx) }
