package update

import (
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/hawser-iot/hawser/firmware/manifest"
)

// PlanRecord is the name of the record with the update under way, for those who show it.
const PlanRecord = planRecord

// Status is what a Store says of a device's firmware.
type Status struct {
	Root      uint64 // version of the root document, 0 without one
	Installed []Installed
	Plan      *PlanStatus // nil when there is no update
	// Slots are what was confirmed in each slot, as the record says that Rollback holds the device to; empty without one.
	Slots []SlotStatus
}

// Installed is what was confirmed last of a module.
type Installed struct {
	Module   string          `json:"module"`
	Version  string          `json:"version"`
	Sequence uint64          `json:"sequence"`
	Manifest manifest.Digest `json:"manifest"`
}

// SlotStatus is what was confirmed last in a slot.
type SlotStatus struct {
	Slot      string      `json:"slot"`
	Installed []Installed `json:"installed"`
}

// PlanStatus is how far an update is.
type PlanStatus struct {
	// Phase is offered, asking, accepted (it may wait), staging, staged, arming, restarting, trial, confirmed, reverting or settled.
	Phase      string
	Deployment string // "" for firmware without a manifest
	Attempt    int
	Module     string
	Version    string
	Digest     []byte // of the manifest
	State      string // that was reported last
	Class      string // why it has settled or goes back, or what it waits for
	// Back tells that it is the way back to the release before, which the owner wants.
	Back       bool
	Downloaded int64
}

// ReadStatus reads a Store. It changes nothing, so that it may be called beside an Updater.
func ReadStatus(store Store) (Status, error) {
	s := Status{Installed: []Installed{}}
	b, err := store.Load(trustRecord)
	if err != nil {
		return s, err
	}
	if len(b) > 0 {
		t, err := parseTrust(b)
		if err != nil {
			return s, err
		}
		if t.root != nil {
			s.Root = t.root.Version
		}
		s.Installed = t.list()
	}
	if b, err = store.Load(planRecord); err != nil {
		return s, err
	}
	if s.Plan, err = ParsePlanStatus(b); err != nil {
		return s, err
	}
	s.Slots = slotStatus(store)
	return s, nil
}

// slotStatus reads what is in the slots; the device's secret is not at hand to prove it. A record that can't be read says nothing here.
func slotStatus(store Store) []SlotStatus {
	list := []SlotStatus{}
	b, err := store.Load(slotsRecord)
	if err != nil || len(b) < sha256.Size {
		return list
	}
	s, err := parseSides(b[sha256.Size:])
	if err != nil {
		return list
	}
	for _, d := range s.sides {
		e := SlotStatus{Slot: d.Slot}
		for _, i := range d.Installed {
			e.Installed = append(e.Installed, i.status())
		}
		list = append(list, e)
	}
	return list
}

// ParsePlanStatus reads the record PlanRecord; nil if there is no update.
func ParsePlanStatus(record []byte) (*PlanStatus, error) {
	if len(record) == 0 {
		return nil, nil
	}
	p, err := parsePlan(record)
	if err != nil {
		return nil, err
	}
	return &PlanStatus{
		Phase: p.Phase.String(), Deployment: p.Deployment, Attempt: p.Attempt, Module: p.Module, Version: p.Version, Digest: p.Digest, State: p.State,
		Class: p.Class, Downloaded: p.Net, Back: p.back(),
	}, nil
}

// list is what is installed, by module.
func (t trust) list() []Installed {
	list := []Installed{}
	for _, name := range slices.Sorted(maps.Keys(t.installed)) {
		list = append(list, t.installed[name].status())
	}
	return list
}

func (i installed) status() Installed {
	return Installed{Module: i.Module, Version: i.Version, Sequence: i.Sequence, Manifest: i.manifest()}
}
