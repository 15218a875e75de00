package ota

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/update"
)

// Status is what there is to tell about a device's firmware.
type Status struct {
	// Boot is nil when the agent does not run: the boot loader was not asked.
	Boot      *BootStatus        `json:"boot,omitempty"`
	Root      uint64             `json:"root,omitempty"`
	Installed []update.Installed `json:"installed"`
	Update    *Progress          `json:"update,omitempty"`
	// Slots are what was confirmed in each of them: Rollback goes to the one that does not run.
	Slots []update.SlotStatus `json:"slots,omitempty"`
	// Subdevices are those whose firmware the gateway takes.
	Subdevices []Subdevice `json:"subdevices,omitempty"`
}

// Subdevice is how the firmware of a sub-device is.
type Subdevice struct {
	Product   string             `json:"product"`
	Device    string             `json:"device"`
	Installed []update.Installed `json:"installed"`
	Update    *Progress          `json:"update,omitempty"`
	// Handing is what it was handed and has not said that it runs: a module and its version.
	Handing string `json:"handing,omitempty"`
	// Last is the last step that was noted: what became of the last update when its phase is "done".
	Last *Event `json:"last,omitempty"`
}

// ReadSubdevice reads what a store says of a sub-device.
func ReadSubdevice(product, device string, store update.Store) (Subdevice, error) {
	d := Subdevice{Product: product, Device: device}
	s, err := ReadStatus(store)
	if err != nil {
		return d, err
	}
	d.Installed, d.Update = s.Installed, s.Update
	list, err := History(store)
	if len(list) > 0 {
		d.Last = &list[len(list)-1]
	}
	return d, err
}

// BootStatus is what runs and what the next start does.
type BootStatus struct {
	Slot      string `json:"slot"`
	Confirmed bool   `json:"confirmed"`
	Armed     bool   `json:"armed"`
	TriesLeft uint64 `json:"triesLeft"`
}

// Progress is how far an update is.
type Progress struct {
	Phase      string `json:"phase"`
	Deployment string `json:"deployment,omitempty"`
	Attempt    int    `json:"attempt"`
	Module     string `json:"module"`
	Version    string `json:"version"`
	Manifest   string `json:"manifest,omitempty"`
	State      string `json:"state,omitempty"`
	Class      string `json:"class,omitempty"`
	Downloaded int64  `json:"downloaded"`
	// Rollback tells that the owner goes back to the release before.
	Rollback bool `json:"rollback,omitempty"`
}

// Waits tells whether the owner can still say something.
func (p *Progress) Waits() bool { return p.Phase == "accepted" }

// release is the name by which consent knows it.
func (p *Progress) release() string {
	if p.Manifest == "" {
		return p.Version
	}
	return p.Manifest
}

// ReadStatus reads what is on disk; the boot loader is not asked.
func ReadStatus(store update.Store) (Status, error) {
	u, err := update.ReadStatus(store)
	if err != nil {
		return Status{}, err
	}
	return Status{Root: u.Root, Installed: u.Installed, Update: progress(u.Plan), Slots: u.Slots}, nil
}

func progress(p *update.PlanStatus) *Progress {
	if p == nil {
		return nil
	}
	return &Progress{
		Phase: p.Phase, Deployment: p.Deployment, Attempt: p.Attempt, Module: p.Module, Version: p.Version,
		Manifest: hex.EncodeToString(p.Digest), State: p.State, Class: p.Class, Downloaded: p.Downloaded,
		Rollback: p.Back,
	}
}

// Status is the status of a running agent.
func (o *OTA) Status(ctx context.Context) (Status, error) {
	s, err := ReadStatus(o.store)
	if err != nil {
		return s, err
	}
	b, err := o.installer.Boot(ctx)
	if err != nil {
		return s, err
	}
	s.Boot = &BootStatus{Slot: b.Slot, Confirmed: b.Confirmed, Armed: b.Armed, TriesLeft: b.TriesLeft}
	return s, nil
}

// Agree is the owner's word to a running agent.
func (o *OTA) Agree(agreed bool) error {
	err := Consent(o.store, agreed)
	o.updater.Recheck()
	return err
}

// Rollback goes back to the slot before: it ends a trial, and a release that was confirmed it leaves for the one that ran before, which is then on trial. It returns
// when that has begun; errors are those of update.Updater.Rollback.
func (o *OTA) Rollback(ctx context.Context) error {
	b, err := o.installer.Boot(ctx)
	if err != nil {
		return err
	}
	if b.Confirmed {
		return o.updater.Rollback(ctx)
	}
	o.log.Warn("the owner goes back to the slot before")
	if err := o.installer.Revert(ctx); err != nil {
		return err
	}
	return o.installer.Restart(ctx)
}

// historyRecord is the name of the last events.
const (
	historyRecord = "history"
	maxHistory    = 64
)

// Event is a step of an update.
type Event struct {
	Time       time.Time `json:"time"`
	Phase      string    `json:"phase"` // "done" when the update is no longer there
	Deployment string    `json:"deployment,omitempty"`
	Module     string    `json:"module"`
	Version    string    `json:"version"`
	State      string    `json:"state,omitempty"`
	Class      string    `json:"class,omitempty"`
	Rollback   bool      `json:"rollback,omitempty"` // of the way back that the owner has asked for
}

// History are the last steps, the oldest first.
func History(store update.Store) ([]Event, error) {
	b, err := store.Load(historyRecord)
	if err != nil || len(b) == 0 {
		return []Event{}, err
	}
	var list []Event
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("ota: record %s: %w", historyRecord, err)
	}
	return list, nil
}

// History are the last steps of a running agent.
func (o *OTA) History() ([]Event, error) { return History(o.store) }

// Observe returns a Store that writes down the last steps of updates, keep of them.
func Observe(store update.Store, keep int, log *slog.Logger) update.Store {
	return &observed{Store: store, keep: keep, log: log}
}

// observed is a Store that writes down the steps of an update.
type observed struct {
	update.Store
	keep int
	log  *slog.Logger

	mu   sync.Mutex // guards last, and the order of writes
	last Event
}

// Load implements update.Store.
func (s *observed) Load(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Store.Load(name)
}

// Save implements update.Store.
func (s *observed) Save(name string, record []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Store.Save(name, record); err != nil {
		return err
	}
	if name == update.PlanRecord {
		s.noteLocked(record)
	}
	return nil
}

// noteLocked adds an event when the phase is another one. History is for people: that it can't be written stops nothing.
func (s *observed) noteLocked(record []byte) {
	e := s.last
	if e.Phase == "confirmed" {
		e.State = e.Phase
	}
	e.Phase = "done"
	if p, err := update.ParsePlanStatus(record); err != nil {
		return
	} else if p != nil {
		e = Event{Phase: p.Phase, Deployment: p.Deployment, Module: p.Module, Version: p.Version, State: p.State, Class: p.Class, Rollback: p.Back}
	}
	e.Time = time.Time{}
	if e == s.last || e.Phase == s.last.Phase && e.Deployment == s.last.Deployment {
		return
	}
	s.last = e
	list, err := History(s.Store)
	if err != nil {
		s.log.Warn("the history can't be read, it begins anew", "err", err)
		list = nil
	}
	e.Time = time.Now().UTC().Truncate(time.Second)
	list = append(list, e)
	b, err := json.Marshal(list[max(0, len(list)-s.keep):])
	if err == nil {
		err = s.Store.Save(historyRecord, b)
	}
	if err != nil {
		s.log.Warn("the history was not written", "err", err)
	}
}
