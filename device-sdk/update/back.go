package update

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// Why the device does not go back. Each is wrapped with the reason.
var (
	// ErrNoWayBack says that nobody knows what is in the other slot, or that it can't be told whether it may run.
	ErrNoWayBack = errors.New("update: there is nothing to go back to")
	// ErrUnderWay says that an update goes on: it uses the other slot, or the device is on trial already.
	ErrUnderWay = errors.New("update: an update is under way")
	// ErrBelowFloor says that what is in the other slot is older than the root document lets devices run.
	ErrBelowFloor = failure.New(failure.Rollback, "update: the root document allows no release as old as that")
	// ErrSlotChanged says that the other slot no longer holds what was confirmed in it.
	ErrSlotChanged = failure.New(failure.Hash, "update: the other slot does not hold what has run in it")
)

// errNotOneOf is a release that was kept for a module and does not have its image.
var errNotOneOf = failure.New(failure.Signature, "update: the release that was kept does not have the image")

// Rollback leaves the release that runs, though it was confirmed, for the one that ran before it: what is in the other slot is started on trial, and is confirmed or
// left again as every release is. It returns nil when that has begun. It needs Config.WayBack, and Run.
//
// The other slot must hold what was confirmed in it, byte for byte, signed by keys that still are release keys, and not below the floors of the root document
// (ErrBelowFloor). The device's own floors against what a hub offers stay where they are: the release that was left can be offered again, an older one can not.
func (u *Updater) Rollback(ctx context.Context) error {
	if !u.cfg.WayBack {
		return fmt.Errorf("%w: Config.WayBack is not set", ErrNoWayBack)
	}
	answer := make(chan error, 1)
	if u.busy.Load() || !u.mail.wish(answer) {
		return ErrUnderWay
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		u.mail.unwish(answer)
		return context.Cause(ctx)
	}
}

// answerWish tells who has asked for the way back that there is none now.
func (u *Updater) answerWish(err error) {
	if answer := u.mail.wished(); answer != nil {
		answer <- err
	}
}

// granted begins the way back if somebody has asked for it. An error is one of the Store's.
func (u *Updater) granted(ctx context.Context) (begun bool, err error) {
	answer := u.mail.wished()
	if answer == nil {
		return false, nil
	}
	err = u.goBack(ctx)
	answer <- err
	if fatal := (*storeError)(nil); errors.As(err, &fatal) {
		return false, err
	}
	if err != nil {
		u.log.Warn("the device does not go back", "class", string(failure.Of(err)), "err", err)
	}
	return err == nil, nil
}

// goBack makes the plan of the way back, if the other slot may run.
func (u *Updater) goBack(ctx context.Context) error {
	boot, err := u.cfg.Installer.Boot(ctx)
	switch {
	case err != nil:
		return flashError(err)
	case !boot.Confirmed || boot.Armed:
		return fmt.Errorf("%w: slot %s is on trial, or the other one is about to be", ErrUnderWay, boot.Slot)
	}
	d, err := u.mayRun(ctx, boot.Slot, true)
	if err != nil {
		return err
	}
	if err := u.powered(ctx); err != nil {
		return err
	}
	lead := d.module(d.Module)
	if lead == nil {
		lead = &d.Installed[0]
	}
	p := &plan{Phase: arming, Attempt: 1, Module: lead.Module, Version: lead.Version, From: boot.Slot}
	if lead.manifest() != (manifest.Digest{}) {
		p.Digest = lead.Manifest
	}
	u.log.Warn("the owner goes back to the release before", "from", u.version(lead.Module), "to", lead.Version, "slot", d.Slot)
	return u.start(p)
}

// mayRun is what is in the slot that does not run, if the device may go back to it. read tells whether the slot is to be read.
func (u *Updater) mayRun(ctx context.Context, running string, read bool) (*side, error) {
	s, err := u.loadSlots()
	if err != nil {
		return nil, err
	}
	now, d := s.side(running), s.other(running)
	switch {
	case d == nil || len(d.Installed) == 0:
		return nil, fmt.Errorf("%w: it is not known what is in the other slot", ErrNoWayBack)
	case now == nil || !u.runs(now):
		// An older record of this device's, or one of the time before its records were lost.
		return nil, fmt.Errorf("%w: the record of the slots is not of the release that runs", ErrSlotRecord)
	}
	for i := range d.Installed {
		m := &d.Installed[i]
		err := u.mayRunModule(&s, m)
		if err == nil && read {
			err = u.holds(ctx, m)
		}
		if err != nil {
			return nil, fmt.Errorf("module %s %s: %w", m.Module, m.Version, err)
		}
	}
	return d, nil
}

// runs tells whether a side is what the device knows to run.
func (u *Updater) runs(d *side) bool {
	for name, have := range u.trust.installed {
		if i := d.module(name); i == nil || !i.same(have) {
			return false
		}
	}
	return true
}

func (i installed) same(j installed) bool {
	return i.Version == j.Version && i.Sequence == j.Sequence && i.Size == j.Size && bytes.Equal(i.Manifest, j.Manifest) && bytes.Equal(i.Image, j.Image)
}

// mayRunModule holds the release of a module to the root's floors and keys.
func (u *Updater) mayRunModule(s *slots, i *installed) error {
	m, known := u.cfg.Modules[i.Module]
	if !known {
		return failure.New(failure.WrongDevice, "update: the device has no such module")
	}
	if have, ok := u.trust.installed[i.Module]; ok && i.same(have) {
		return nil // it is the same in both slots
	}
	if err := u.aboveFloor(m, i); err != nil {
		return err
	}
	return u.signed(s, m, i)
}

// holds reads the other slot of a module.
func (u *Updater) holds(ctx context.Context, i *installed) error {
	t, err := u.cfg.Storage.Target(i.Module, int64(i.Size))
	if err != nil {
		return flashError(err)
	}
	got, err := digestOf(ctx, t, int64(i.Size))
	switch err = errors.Join(err, t.Close()); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrSlotChanged, err)
	case got != i.payload().Digest:
		return fmt.Errorf("%w: it has the SHA-256 %v, want %v", ErrSlotChanged, got, i.payload().Digest)
	}
	return nil
}

// aboveFloor holds a sequence number to the floor that the root document signs; what was shipped has the number 0.
func (u *Updater) aboveFloor(m Module, i *installed) error {
	if u.trust.root == nil {
		return nil
	}
	for _, f := range u.trust.root.Floors {
		if f.Class == m.Class && f.Module == i.Module && i.Sequence < f.Sequence {
			return fmt.Errorf("%w: its sequence number is %d, and version %d of the document says %d", ErrBelowFloor, i.Sequence, u.trust.root.Version, f.Sequence)
		}
	}
	return nil
}

// signed tells whether the present release keys have signed the image. What was shipped, or taken without a manifest, nobody has.
func (u *Updater) signed(s *slots, m Module, i *installed) error {
	if i.manifest() == (manifest.Digest{}) {
		return nil
	}
	if u.trust.root == nil {
		return fmt.Errorf("%w: there is no root document to verify its manifest with", ErrNoWayBack)
	}
	b := s.envelope(i.manifest())
	if b == nil {
		return fmt.Errorf("%w: its manifest was not kept", ErrNoWayBack)
	}
	r, err := u.trust.root.VerifyEnvelope(b)
	if err != nil {
		return err
	}
	c := r.Component(i.Module)
	if c == nil || r.Digest != i.manifest() || r.Sequence != i.Sequence || c.Image != i.payload() || c.Vendor != m.Vendor || c.Class != m.Class {
		return errNotOneOf
	}
	return nil
}

// release is the side for those who arm it: all that the record has, so that nothing of it is brought over from the slot that runs.
func (d *side) release() (r Release) {
	for _, i := range d.Installed {
		r.Images = append(r.Images, Image{Module: i.Module, Version: i.Version, Payload: i.payload()})
		if i.Module == d.Module {
			r.Digest, r.Sequence = i.manifest(), i.Sequence
		}
	}
	return r
}

// armBack is arm for the way back. What is in the slot is looked at once more after a power cut.
func (u *Updater) armBack(ctx context.Context) error {
	d, err := u.mayRun(ctx, u.plan.From, u.resumed)
	if err != nil {
		return err
	}
	if err := u.powered(ctx); err != nil {
		return err
	}
	if err := u.cfg.Installer.Arm(ctx, d.release()); err != nil {
		return u.notArmed(ctx, err)
	}
	return nil
}

// knownBack tells whether what runs on trial is what the way back was to lead to.
func (u *Updater) knownBack(slot string) (*side, error) {
	s, err := u.loadSlots()
	if err != nil {
		return nil, err
	}
	d := s.side(slot)
	if d == nil || len(d.Installed) == 0 {
		return nil, fmt.Errorf("%w: slot %s is not in it", ErrSlotRecord, slot)
	}
	if i := d.module(u.plan.Module); i == nil || i.Version != u.plan.Version || len(u.plan.Digest) > 0 && !bytes.Equal(i.Manifest, u.plan.Digest) {
		return nil, fmt.Errorf("%w: slot %s has another release", ErrSlotRecord, slot)
	}
	return d, nil
}

// confirmBack notes that what is in the slot runs again. The floors stay.
func (u *Updater) confirmBack(slot string) error {
	d, err := u.knownBack(slot)
	if err != nil {
		return err
	}
	t := u.trust
	t.installed = map[string]installed{}
	for _, i := range d.Installed {
		t.installed[i.Module] = i
	}
	if err := u.saveTrust(t); err != nil {
		return err
	}
	u.announceAgain()
	return u.move(confirmed)
}
