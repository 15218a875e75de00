package update

import (
	"fmt"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// phase is where an update is. The numbers are on disk.
type phase int

const (
	offered    phase = iota + 1 // the manifest is to be fetched and verified
	asking                      // it is; the assignment is to be asked for
	accepted                    // it is there; window, consent, power and room are waited for
	staging                     // the target is being written
	staged                      // all images were read back
	arming                      // the boot loader is about to be told
	restarting                  // it was told; the next start is the trial
	trial                       // the new slot runs, and is not confirmed
	confirmed                   // it is; the hub is to be told
	reverting                   // it is not well; the next start is the old slot
	settled                     // ended without success; the hub is to be told
)

var phaseNames = []string{"", "offered", "asking", "accepted", "staging", "staged", "arming", "restarting", "trial", "confirmed", "reverting", "settled"}

func (p phase) String() string { return phaseNames[p] }

// maxTransitions is how often an update may go from one phase to another: what goes round in a circle ends.
const maxTransitions = 28

// plan is an update under way, as it is on disk.
type plan struct {
	Format      int    `cbor:"0,keyasint"`
	Phase       phase  `cbor:"1,keyasint"`
	Transitions int    `cbor:"2,keyasint"`
	Deployment  string `cbor:"3,keyasint"`
	Attempt     int    `cbor:"4,keyasint"`
	// Step is not below any that was reported: some are set aside at a time, so that not every report costs a write.
	Step        int64  `cbor:"5,keyasint"`
	Module      string `cbor:"6,keyasint"` // that was offered; the release may have more
	Version     string `cbor:"7,keyasint"`
	Digest      []byte `cbor:"8,keyasint"` // of the manifest
	ManifestURL string `cbor:"9,keyasint"`
	Envelope    []byte `cbor:"10,keyasint"`
	Assignment  []byte `cbor:"11,keyasint"`
	Asks        int    `cbor:"12,keyasint"` // assignments that were asked for because the sources of the one before had ended
	From        string `cbor:"13,keyasint"` // the slot that ran when the boot loader was told
	Net         int64  `cbor:"14,keyasint"` // bytes downloaded
	State       string `cbor:"15,keyasint"` // that was reported last, or with which it has settled
	Class       string `cbor:"16,keyasint"` // why it has settled or reverts
	Trials      int    `cbor:"17,keyasint"` // starts on trial
	// Done is how many bytes of a plain image are on the medium.
	Done int64 `cbor:"18,keyasint"`
	// Agreed tells that the owner has consented and is not to be asked again.
	Agreed bool   `cbor:"19,keyasint"`
	Stock  *stock `cbor:"20,keyasint,omitempty"`
	// Consent tells that the hub wants the owner to be asked.
	Consent bool `cbor:"21,keyasint,omitempty"`
	// Of is the module that Done is of, where the release has several.
	Of string `cbor:"22,keyasint,omitempty"`
}

// stock is an offer without a manifest.
type stock struct {
	URL  string `cbor:"1,keyasint"`
	MD5  string `cbor:"2,keyasint"`
	Size int64  `cbor:"3,keyasint"`
	// Sum is the SHA-256 of what was staged.
	Sum []byte `cbor:"4,keyasint"`
}

// planFormat is the version of docs/formats/device-update.md.
const planFormat = 1

// maxPlan bounds a plan's bytes: an envelope, an assignment and some text.
const maxPlan = 96 << 10

func (p *plan) encode() ([]byte, error) {
	p.Format = planFormat
	return canon.Marshal(p)
}

func parsePlan(b []byte) (*plan, error) {
	var p plan
	if err := canon.Unmarshal(b, maxPlan, &p); err != nil {
		return nil, fmt.Errorf("update: plan: %w", err)
	}
	if p.Format != planFormat || p.Phase < offered || p.Phase > settled {
		return nil, fmt.Errorf("update: plan of format %d in phase %d", p.Format, p.Phase)
	}
	return &p, nil
}

// The longest texts of an offer that is kept, in bytes: a plan with the largest envelope still has room.
const (
	maxText = 256
	maxURL  = 4 << 10
)

// bounded tells whether the offer that the plan is of is no longer than that.
func (p *plan) bounded() bool {
	short := len(p.Deployment) <= maxText && len(p.Module) <= maxText && len(p.Version) <= maxText && len(p.Digest) <= maxText && len(p.ManifestURL) <= maxURL
	if s := p.Stock; s != nil {
		short = short && len(s.URL) <= maxURL && len(s.MD5) <= maxText
	}
	return short
}

// back tells whether it is the way back to the release before, which the owner has asked for: no hub has offered it.
func (p *plan) back() bool { return p.Stock == nil && p.Deployment == "" }

func (p *plan) class() failure.Class { return failure.Class(p.Class) }

// cancellable tells whether the update may still be called off: the boot loader knows nothing of it.
func (p *plan) cancellable() bool { return p.Phase < arming }

// installed is what runs of a module since the last confirmed update.
type installed struct {
	_        struct{} `cbor:",toarray"`
	Module   string
	Version  string
	Sequence uint64
	Manifest []byte
	Image    []byte // SHA-256
	Size     uint64
}

func (i installed) manifest() (d manifest.Digest) {
	copy(d[:], i.Manifest)
	return d
}

func (i installed) payload() manifest.Payload {
	p := manifest.Payload{Size: i.Size}
	copy(p.Digest[:], i.Image)
	return p
}
