package depot

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// ErrNotKnown is returned for a device whose firmware the gateway does not take.
var ErrNotKnown = errors.New("depot: the gateway takes no firmware for that sub-device")

// Status is how the firmware of each sub-device is, in the order of their names. One whose records can't be read is logged and left out.
func (p *Depot) Status() []ota.Subdevice {
	p.mu.Lock()
	wards := make(map[string]*ward)
	for d, w := range p.wards {
		wards[d.ClientID()] = w
	}
	p.mu.Unlock()
	list := []ota.Subdevice{}
	for _, id := range slices.Sorted(maps.Keys(wards)) {
		w := wards[id]
		d, err := ota.ReadSubdevice(w.device.Product, w.device.SN, w.shelf)
		if err != nil {
			w.log.Error("the firmware of a sub-device can't be told", "err", err)
			continue
		}
		d.Handing = w.shelf.handed()
		list = append(list, d)
	}
	return list
}

// handed is what the sub-device was handed and has not said that it runs; "" if there is nothing.
func (s *shelf) handed() string {
	st := s.now()
	if !s.armed() || st.Failed || st.Taken == len(st.Lots) {
		return ""
	}
	return st.Lots[st.Taken].Module + " " + st.Lots[st.Taken].Version
}

// Consent is the owner's word about the update of a sub-device.
func (p *Depot) Consent(d ident.Device, agreed bool) error {
	w := p.ward(d)
	if w == nil {
		return fmt.Errorf("%w: %s", ErrNotKnown, d)
	}
	err := ota.Consent(w.shelf, agreed)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.updater != nil {
		w.updater.Recheck()
	}
	return err
}

// History are the last steps of a sub-device's updates, the oldest first.
func (p *Depot) History(d ident.Device) ([]ota.Event, error) {
	w := p.ward(d)
	if w == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotKnown, d)
	}
	return ota.History(w.shelf)
}

// Records are what a depot with the folder dir has written about a sub-device, for when none runs.
func Records(dir string, d ident.Device) (update.Store, error) {
	path := filepath.Join(dir, "records", d.ClientID())
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotKnown, d)
	}
	return update.OpenFiles(path)
}
