package update

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// slotsRecord is the name of the record of what is in the slots.
const slotsRecord = "slots"

const (
	slotsFormat = 1
	maxSlots    = 120 << 10
	// maxKept bounds the bytes of the envelopes that are kept. A release whose envelope has no room is not gone back to.
	maxKept = 96 << 10
	// slotsLabel is what the record's code is made of beside the record, so that no other one of the device's can stand for it.
	slotsLabel = "hawser slots 1\x00"
)

// ErrSlotRecord says that the record of what is in the slots was not written by this device, or is damaged.
var ErrSlotRecord = failure.New(failure.Signature, "update: the record of what is in the slots is not this device's")

// side is what was confirmed in one slot.
type side struct {
	_         struct{} `cbor:",toarray"`
	Slot      string
	Module    string      // that was offered
	Installed []installed // in ascending order of modules; what is not listed is the same in both slots
}

func (s *side) module(name string) *installed {
	i := slices.IndexFunc(s.Installed, func(i installed) bool { return i.Module == name })
	if i < 0 {
		return nil
	}
	return &s.Installed[i]
}

// slots is what is in the slots as far as that was confirmed, with the envelopes that say so. It is for the way back; an update needs it not.
type slots struct {
	sides     []side
	envelopes [][]byte
}

type wireSlots struct {
	Format    int      `cbor:"0,keyasint"`
	Sides     []side   `cbor:"1,keyasint"`
	Envelopes [][]byte `cbor:"2,keyasint"`
}

// encode is the record: a code under the device's secret, and CBOR.
func (s slots) encode(secret []byte) ([]byte, error) {
	w := wireSlots{Format: slotsFormat, Sides: append([]side{}, s.sides...), Envelopes: append([][]byte{}, s.envelopes...)}
	for i := range w.Sides { // there are two
		for j := range w.Sides[:i] {
			if w.Sides[i].Slot < w.Sides[j].Slot {
				w.Sides[i], w.Sides[j] = w.Sides[j], w.Sides[i]
			}
		}
	}
	b, err := canon.Marshal(w)
	return append(slotsCode(secret, b), b...), err
}

func slotsCode(secret, record []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(slotsLabel))
	h.Write(record)
	return h.Sum(nil)
}

func parseSlots(b, secret []byte) (s slots, err error) {
	if len(b) == 0 {
		return s, nil
	}
	if len(b) < sha256.Size || !hmac.Equal(b[:sha256.Size], slotsCode(secret, b[sha256.Size:])) {
		return s, fmt.Errorf("%w: its code is wrong", ErrSlotRecord)
	}
	return parseSides(b[sha256.Size:])
}

// parseSides reads what is behind the code.
func parseSides(b []byte) (s slots, err error) {
	var w wireSlots
	if err := canon.Unmarshal(b, maxSlots, &w); err != nil {
		return s, fmt.Errorf("%w: %w", ErrSlotRecord, err)
	}
	if w.Format != slotsFormat {
		return s, fmt.Errorf("%w: format %d, want %d", ErrSlotRecord, w.Format, slotsFormat)
	}
	for _, d := range w.Sides {
		for _, i := range d.Installed {
			if len(i.Image) != len(manifest.Digest{}) || len(i.Manifest) != len(manifest.Digest{}) {
				return s, fmt.Errorf("%w: digests of module %q", ErrSlotRecord, i.Module)
			}
		}
	}
	return slots{sides: w.Sides, envelopes: w.Envelopes}, nil
}

// side is what is in a slot, nil if nobody knows.
func (s *slots) side(slot string) *side {
	i := slices.IndexFunc(s.sides, func(d side) bool { return d.Slot == slot })
	if i < 0 {
		return nil
	}
	return &s.sides[i]
}

// other is what is in the slot that does not run, nil if nobody knows.
func (s *slots) other(running string) *side {
	i := slices.IndexFunc(s.sides, func(d side) bool { return d.Slot != running })
	if i < 0 {
		return nil
	}
	return &s.sides[i]
}

// put notes what is in a slot, and forgets envelopes that no slot needs. envelope is nil when there is none.
func (s *slots) put(d side, envelope []byte) {
	s.sides = append(slices.DeleteFunc(s.sides, func(o side) bool { return o.Slot == d.Slot }), d)
	list := s.envelopes
	if len(envelope) > 0 {
		list = append(list, envelope)
	}
	s.envelopes = nil
	room := maxKept
	for _, b := range slices.Backward(list) {
		e, err := manifest.ParseEnvelope(b)
		if err != nil || s.envelope(e.Digest()) != nil || !s.needs(e.Digest()) || len(b) > room {
			continue
		}
		room -= len(b)
		s.envelopes = append(s.envelopes, b)
	}
	slices.Reverse(s.envelopes)
}

func (s *slots) needs(d manifest.Digest) bool {
	return slices.ContainsFunc(s.sides, func(o side) bool {
		return slices.ContainsFunc(o.Installed, func(i installed) bool { return i.manifest() == d })
	})
}

// envelope is the one of a manifest, nil if it was not kept.
func (s *slots) envelope(d manifest.Digest) []byte {
	for _, b := range s.envelopes {
		if e, err := manifest.ParseEnvelope(b); err == nil && e.Digest() == d {
			return b
		}
	}
	return nil
}

func (u *Updater) loadSlots() (slots, error) {
	b, err := u.cfg.Store.Load(slotsRecord)
	if err != nil {
		return slots{}, fmt.Errorf("%w: %w", ErrSlotRecord, err)
	}
	return parseSlots(b, []byte(u.cfg.Secret.Reveal()))
}

// saveSlots writes the record, unless it is that already.
func (u *Updater) saveSlots(s slots) error {
	b, err := s.encode([]byte(u.cfg.Secret.Reveal()))
	if err != nil {
		return err
	}
	if old, err := u.cfg.Store.Load(slotsRecord); err == nil && bytes.Equal(old, b) {
		return nil
	}
	if err := u.cfg.Store.Save(slotsRecord, b); err != nil {
		return &storeError{err}
	}
	return nil
}

// knownSlots is the record, or an empty one in place of one that can't be read: there is no way back then.
func (u *Updater) knownSlots() slots {
	s, err := u.loadSlots()
	if err != nil {
		u.log.Warn("there is no way back to what is in the other slot", "err", err)
	}
	return s
}

// leave notes what runs now, which is what there will be to go back to, and forgets what is in the other slot: it is about to be written.
func (u *Updater) leave(slot string) error {
	if !u.cfg.WayBack {
		return nil
	}
	s := u.knownSlots()
	s.sides = nil
	if d, ok := u.here(slot); ok {
		s.put(d, nil)
	} else {
		s = slots{}
		u.log.Warn("there will be no way back: it is not known what runs now")
	}
	return u.saveSlots(s)
}

// here is what runs: all that was ever installed, and what the release is about to replace. It is false when the latter is not known.
func (u *Updater) here(slot string) (side, bool) {
	list := maps.Clone(u.trust.installed)
	if list == nil {
		list = map[string]installed{}
	}
	for _, i := range u.what().Images {
		if _, ok := list[i.Module]; ok {
			continue
		}
		p := u.running(i.Module)
		if p == (manifest.Payload{}) {
			return side{}, false
		}
		list[i.Module] = installed{Module: i.Module, Version: u.version(i.Module), Manifest: make([]byte, len(manifest.Digest{})), Image: p.Digest[:], Size: p.Size}
	}
	return side{Slot: slot, Module: u.plan.Module, Installed: byModule(list)}, true
}

func byModule(m map[string]installed) (list []installed) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[name])
	}
	return list
}

// arrive notes what was found well in the slot that runs.
func (u *Updater) arrive(slot string, now map[string]installed) error {
	if !u.cfg.WayBack {
		return nil
	}
	s := u.knownSlots()
	s.put(side{Slot: slot, Module: u.plan.Module, Installed: byModule(now)}, u.plan.Envelope)
	return u.saveSlots(s)
}
