package manifest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hawser-iot/hawser/firmware/failure"
)

// Device is what a manifest is held against: who the device is and what it has.
type Device struct {
	// ID is ProductSN.DeviceSN.
	ID string
	// Modules are what can be updated, by name.
	Modules map[string]Module
}

// Module is a part of a device that has a firmware of its own.
type Module struct {
	Vendor, Class UUID
	// Version and Sequence are of the manifest that is installed and confirmed; empty and 0 if none ever was.
	Version  string
	Sequence uint64
}

// For tells whether the manifest is for a device: WRONG_DEVICE for another vendor, class or a module that it has not, DEP
// when something has to be installed first.
func (m *Manifest) For(d Device) error {
	for _, c := range m.Components {
		have, ok := d.Modules[c.Module]
		switch {
		case !ok:
			return failure.New(failure.WrongDevice, "manifest: the device has no module %q; it has %q", c.Module, slices.Sorted(maps.Keys(d.Modules)))
		case have.Vendor != c.Vendor:
			return failure.New(failure.WrongDevice, "manifest: module %q is of vendor %v, the firmware is for %v", c.Module, have.Vendor, c.Vendor)
		case have.Class != c.Class:
			return failure.New(failure.WrongDevice, "manifest: module %q is of class %v, the firmware is for %v", c.Module, have.Class, c.Class)
		}
	}
	for _, c := range m.Components {
		if err := c.From.met(c.Module, d.Modules[c.Module]); err != nil {
			return err
		}
	}
	for _, r := range m.Requires {
		have, ok := d.Modules[r.Module]
		if !ok {
			return failure.New(failure.Dependency, "manifest: needs module %q %v, which the device does not have", r.Module, r.Rule)
		}
		if err := r.Rule.met(r.Module, have); err != nil {
			return err
		}
	}
	return nil
}

// met tells whether what is installed of a module is what the rule asks for.
func (r Rule) met(module string, have Module) error {
	if r.Sequence > have.Sequence {
		return failure.New(failure.Dependency, "manifest: needs module %q with a sequence number of at least %d first, it has %d", module, r.Sequence, have.Sequence)
	}
	if r.Comparison == 0 {
		return nil
	}
	v, err := ParseVersion(have.Version)
	if err != nil {
		return failure.New(failure.Dependency, "manifest: needs module %q %v%v, and what it has cannot be compared: %w", module, r.Comparison, r.Version, err)
	}
	if !r.Comparison.holds(v.Compare(r.Version)) {
		return failure.New(failure.Dependency, "manifest: needs module %q %v%v first, it has %s", module, r.Comparison, r.Version, have.Version)
	}
	return nil
}

// Takes tells whether a module with that version and sequence number is what the rule asks for.
func (r Rule) Takes(version string, sequence uint64) bool {
	return r.met("", Module{Version: version, Sequence: sequence}) == nil
}

// Complete tells whether images are those of the manifest, all of them: DEP when one is missing, HASH when one is another.
// What is staged is armed only as a whole, so that no device runs a mixture that nobody has signed.
func (m *Manifest) Complete(images map[string]Payload) error {
	for _, c := range m.Components {
		have, ok := images[c.Module]
		if !ok {
			return failure.New(failure.Dependency, "manifest: the image for module %q is missing; a release is installed whole", c.Module)
		}
		if have != c.Image {
			return failure.New(failure.Hash, "manifest: the image for module %q has the digest %v and %d bytes; signed are %v and %d", c.Module, have.Digest, have.Size, c.Image.Digest, c.Image.Size)
		}
	}
	for _, module := range slices.Sorted(maps.Keys(images)) {
		if m.Component(module) == nil {
			return failure.New(failure.Hash, "manifest: there is an image for module %q, which the release does not have", module)
		}
	}
	return nil
}

func (p Payload) String() string { return fmt.Sprintf("%v (%d bytes)", p.Digest, p.Size) }
