package update

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// The records of a Store.
const (
	trustRecord = "trust"
	planRecord  = "update"
)

// trust is what the device believes and remembers. It is changed by way of save only, which writes it first.
type trust struct {
	root      *signing.Root // nil when the device has none: it then takes no signed firmware
	state     signing.State
	installed map[string]installed
}

type wireTrust struct {
	Format    int         `cbor:"0,keyasint"`
	Root      []byte      `cbor:"1,keyasint"`
	State     []byte      `cbor:"2,keyasint"`
	Installed []installed `cbor:"3,keyasint"`
}

const (
	trustFormat = 1
	maxTrust    = 48 << 10
)

func (t trust) encode() ([]byte, error) {
	w := wireTrust{Format: trustFormat, Root: []byte{}, Installed: []installed{}}
	var err error
	if t.root != nil {
		if w.Root, err = t.root.Encode(); err != nil {
			return nil, err
		}
	}
	if w.State, err = t.state.Encode(); err != nil {
		return nil, err
	}
	for _, m := range slices.Sorted(maps.Keys(t.installed)) {
		w.Installed = append(w.Installed, t.installed[m])
	}
	b, err := canon.Marshal(w)
	if err == nil && len(b) > maxTrust {
		err = fmt.Errorf("update: trust: %w: %d bytes, at most %d", canon.ErrTooLarge, len(b), maxTrust)
	}
	return b, err
}

// parseTrust reads what encode wrote. The root was verified before it was written.
func parseTrust(b []byte) (trust, error) {
	t := trust{installed: map[string]installed{}}
	var w wireTrust
	if err := canon.Unmarshal(b, maxTrust, &w); err != nil {
		return t, fmt.Errorf("update: trust: %w", err)
	}
	if w.Format != trustFormat {
		return t, fmt.Errorf("update: trust: format %d, want %d", w.Format, trustFormat)
	}
	var err error
	if len(w.Root) > 0 {
		if t.root, err = signing.TrustRoot(w.Root); err != nil {
			return t, fmt.Errorf("update: trust: %w", err)
		}
	}
	if t.state, err = signing.ParseState(w.State); err != nil {
		return t, fmt.Errorf("update: trust: %w", err)
	}
	for _, i := range w.Installed {
		if len(i.Image) != len(manifest.Digest{}) || len(i.Manifest) != len(manifest.Digest{}) {
			return t, fmt.Errorf("update: trust: digests of module %q", i.Module)
		}
		t.installed[i.Module] = i
	}
	return t, nil
}

// adopt takes over a root that follows the present one.
func (t trust) adopt(next *signing.Root) trust {
	t.state = t.state.Adopt(t.root, next)
	t.root = next
	return t
}

// loadTrust reads the record, or begins one. shipped is the root in the program: one that is newer came with a verified image, and is adopted.
func (u *Updater) loadTrust(shipped *signing.Root) error {
	b, err := u.cfg.Store.Load(trustRecord)
	if err != nil {
		return err
	}
	t := trust{root: shipped, installed: map[string]installed{}}
	if b != nil {
		if t, err = parseTrust(b); err != nil {
			return err
		}
	}
	u.trust = t
	switch {
	case shipped == nil:
	case t.root == nil:
		t.root = shipped
		return u.saveTrust(t)
	case shipped.Version > t.root.Version:
		return u.saveTrust(t.adopt(shipped))
	}
	return nil
}

// saveTrust writes t and then believes it.
func (u *Updater) saveTrust(t trust) error {
	b, err := t.encode()
	if err != nil {
		return err
	}
	if err := u.cfg.Store.Save(trustRecord, b); err != nil {
		return &storeError{err}
	}
	u.trust = t
	return nil
}

// judge is what the device decides with.
func (u *Updater) judge() signing.Judge {
	d := manifest.Device{ID: u.cfg.Device, Modules: map[string]manifest.Module{}}
	for name, m := range u.cfg.Modules {
		d.Modules[name] = manifest.Module{Vendor: m.Vendor, Class: m.Class, Version: u.version(name)}
	}
	return signing.Judge{Root: u.trust.root, State: u.trust.state, Device: d, Running: u.sequences()}
}

// version is what runs of a module.
func (u *Updater) version(module string) string {
	if i, ok := u.trust.installed[module]; ok {
		return i.Version
	}
	return u.cfg.Modules[module].Version
}

// sequences are the numbers of what was installed and runs: behind the way back they are below the floors.
func (u *Updater) sequences() map[string]uint64 {
	m := map[string]uint64{}
	for name, i := range u.trust.installed {
		m[name] = i.Sequence
	}
	return m
}

// sequence is the number of what runs of a module; the floor where nothing was installed yet.
func (u *Updater) sequence(module string) uint64 {
	if i, ok := u.trust.installed[module]; ok {
		return i.Sequence
	}
	return u.trust.state.Floor(u.cfg.Modules[module].Class, module).Sequence
}

// now is the time as far as the device knows it.
func (u *Updater) now() time.Time { return u.trust.state.Now(u.cfg.Now()) }
