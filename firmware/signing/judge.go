package signing

import (
	"crypto/subtle"
	"maps"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// Judge decides for a device what it may install. It is a value of what the device knows, and changes nothing.
type Judge struct {
	Root   *Root
	State  State
	Device manifest.Device
	// Running are the sequence numbers of what runs, by module, where they are not those that were confirmed last: the device was taken back.
	Running map[string]uint64
}

// Offer judges an envelope: signed by enough release keys of a root that has not ended, for this device, not older than
// what it has, and with all that it needs there. A device that takes an offer asks for an assignment with a nonce.
func (j Judge) Offer(envelope []byte, clock time.Time) (*Release, error) {
	if err := j.fresh(clock); err != nil {
		return nil, err
	}
	r, err := j.Root.VerifyEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	if err := r.For(j.known()); err != nil {
		return nil, err
	}
	return r, j.State.newer(r)
}

// fresh tells whether the root is still good.
func (j Judge) fresh(clock time.Time) error {
	if now := j.State.Now(clock); j.Root.Expired(now) {
		return failure.New(failure.Stale, "root: version %d was good until %v, and it is %v; a newer one is needed, unless the clock is wrong",
			j.Root.Version, j.Root.NotAfter, now.UTC().Truncate(time.Second))
	}
	return nil
}

// known is the device with the sequence numbers of what runs: rules ask for it.
func (j Judge) known() manifest.Device {
	d := manifest.Device{ID: j.Device.ID, Modules: maps.Clone(j.Device.Modules)}
	for name, m := range d.Modules {
		m.Sequence = j.State.Floor(m.Class, name).Sequence
		if n, ok := j.Running[name]; ok {
			m.Sequence = n
		}
		d.Modules[name] = m
	}
	return d
}

// Assignment judges the answer to a device's question for a release that Offer has let through: signed by a director key,
// for this device and this release, with the nonce of the question, newer than every one before, and not over. The State
// that it returns is to be stored before the device begins; with it the same assignment is refused.
func (j Judge) Assignment(r *Release, b []byte, clock time.Time) (*Assignment, State, error) {
	a, err := j.assignment(r, b, clock)
	if err != nil {
		return nil, j.State, err
	}
	s := j.State.Seen(a.Issued)
	s.Counter, s.Nonce = a.Counter, nil
	return a, s, nil
}

func (j Judge) assignment(r *Release, b []byte, clock time.Time) (*Assignment, error) {
	if err := j.fresh(clock); err != nil {
		return nil, err
	}
	a, err := j.Root.VerifyAssignment(b)
	if err != nil {
		return nil, err
	}
	now := j.State.Now(clock)
	switch {
	case a.Device != j.Device.ID:
		return nil, failure.New(failure.WrongDevice, "assignment: it is for device %s, this is %s", a.Device, j.Device.ID)
	case a.Manifest != r.Digest:
		return nil, failure.New(failure.Signature, "assignment: it is for manifest %v, offered was %v", a.Manifest, r.Digest)
	case len(j.State.Nonce) == 0:
		return nil, failure.New(failure.Stale, "assignment: the device has not asked for one, or has had its answer")
	case subtle.ConstantTimeCompare(a.Nonce, j.State.Nonce) != 1:
		return nil, failure.New(failure.Stale, "assignment: it answers another question")
	case a.Counter <= j.State.Counter:
		return nil, failure.New(failure.Stale, "assignment: counter %d, and %d was there", a.Counter, j.State.Counter)
	case now.After(a.NotAfter):
		return nil, failure.New(failure.Stale, "assignment: good until %v, and it is %v; unless the clock is wrong, the device has to ask again", a.NotAfter, now.UTC().Truncate(time.Second))
	}
	return a, nil
}
