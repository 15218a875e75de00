package signing

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// Limits of an assignment.
const (
	MaxAssignment = 4 << 10 // bytes
	MaxSources    = 8
	maxSource     = 512 // bytes of a URL
	maxName       = 128 // bytes of an id
	MinNonce      = 16
	MaxNonce      = 32
	maxMinutes    = 7 * 24 * 60
)

// Assignment is the hub's word that one device is to install one manifest now.
type Assignment struct {
	Device   string          `json:"device"` // ProductSN.DeviceSN
	Manifest manifest.Digest `json:"manifest"`
	Rollout  string          `json:"rollout"`
	// Execution is this attempt of the device; its reports carry it.
	Execution string `json:"execution"`
	// Nonce is what the device asked with. It shows that the assignment is no older than the question.
	Nonce []byte `json:"nonce"`
	// Counter only grows for a device.
	Counter uint64 `json:"counter"`
	// Issued and NotAfter bound the time in which the device may begin.
	Issued   time.Time `json:"issued"`
	NotAfter time.Time `json:"notAfter"`
	// Window is when it may be installed; nil is at any time.
	Window *Window `json:"window,omitempty"`
	// Sources are where the images are, the best first.
	Sources []string `json:"sources"`
	// Budget is how many bytes may be downloaded; 0 is any number.
	Budget uint64 `json:"byteBudget,omitempty"`
}

// Window is a time that comes again: minutes from each time that cron names, in a time zone.
type Window struct {
	Zone    string `json:"tz"`   // an IANA name; empty is the device's own
	Cron    string `json:"cron"` // five fields
	Minutes uint64 `json:"minutes"`
}

// assignmentFormat is the version of docs/formats/assignment.md.
const assignmentFormat = 1

type wireAssignment struct {
	Format    int         `cbor:"0,keyasint"`
	Device    string      `cbor:"1,keyasint"`
	Manifest  []byte      `cbor:"2,keyasint"`
	Rollout   string      `cbor:"3,keyasint"`
	Execution string      `cbor:"4,keyasint"`
	Nonce     []byte      `cbor:"5,keyasint"`
	Counter   uint64      `cbor:"6,keyasint"`
	NotAfter  int64       `cbor:"7,keyasint"`
	Window    *wireWindow `cbor:"8,keyasint,omitempty"`
	Sources   []string    `cbor:"9,keyasint"`
	Budget    uint64      `cbor:"10,keyasint,omitempty"`
	Issued    int64       `cbor:"11,keyasint"`
}

type wireWindow struct {
	_       struct{} `cbor:",toarray"`
	Zone    string
	Cron    string
	Minutes uint64
}

// Check tells what is wrong with an assignment, whoever has signed it and whomever it is for.
func (a *Assignment) Check() error {
	switch {
	case a.Manifest == manifest.Digest{}:
		return invalid("assignment", "no manifest digest")
	case len(a.Nonce) < MinNonce || len(a.Nonce) > MaxNonce:
		return invalid("assignment", "nonce of %d bytes, want %d to %d", len(a.Nonce), MinNonce, MaxNonce)
	case a.Counter == 0:
		return invalid("assignment", "counter 0; the first is 1")
	case a.Issued.Unix() <= 0 || a.Issued.Unix() > maxTime || a.NotAfter.Unix() > maxTime || !a.NotAfter.After(a.Issued):
		return invalid("assignment", "issued %v, not after %v", a.Issued, a.NotAfter)
	case len(a.Sources) > MaxSources:
		return invalid("assignment", "%d sources, at most %d", len(a.Sources), MaxSources)
	}
	for what, text := range map[string]string{"device": a.Device, "rollout": a.Rollout, "execution": a.Execution} {
		if text == "" || len(text) > maxName {
			return invalid("assignment", "%s of %d bytes, want 1 to %d", what, len(text), maxName)
		}
	}
	for _, s := range a.Sources {
		if u, err := url.Parse(s); err != nil || len(s) > maxSource || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return invalid("assignment", "source %.60q is no URL of http or https with at most %d bytes", s, maxSource)
		}
	}
	return a.Window.Check()
}

// Check tells what is wrong with a window; nil is none, with which nothing is.
func (w *Window) Check() error {
	switch {
	case w == nil:
		return nil
	case w.Minutes == 0 || w.Minutes > maxMinutes:
		return invalid("assignment", "window of %d minutes, want 1 to %d", w.Minutes, maxMinutes)
	case len(w.Zone) > maxName || len(w.Cron) > maxName || len(strings.Fields(w.Cron)) != 5 || strings.Join(strings.Fields(w.Cron), " ") != w.Cron:
		return invalid("assignment", "window %.60q, want five fields of cron with a blank between", w.Cron)
	}
	return nil
}

// Sign returns the assignment as a COSE_Sign1.
func (a *Assignment) Sign(k PrivateKey) ([]byte, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	w := wireAssignment{
		Format: assignmentFormat, Device: a.Device, Manifest: a.Manifest[:], Rollout: a.Rollout, Execution: a.Execution, Nonce: a.Nonce,
		Counter: a.Counter, NotAfter: a.NotAfter.Unix(), Sources: a.Sources, Budget: a.Budget, Issued: a.Issued.Unix(),
	}
	if w.Sources == nil {
		w.Sources = []string{}
	}
	if a.Window != nil {
		w.Window = &wireWindow{Zone: a.Window.Zone, Cron: a.Window.Cron, Minutes: a.Window.Minutes}
	}
	payload, err := canon.Marshal(w)
	if err != nil {
		return nil, err
	}
	b, err := sign(k, payload, forAssignment, true)
	if err == nil && len(b) > MaxAssignment {
		err = invalid("assignment", "%d bytes, at most %d", len(b), MaxAssignment)
	}
	return b, err
}

// UnverifiedAssignment is what an assignment says, and the key it names, for those who only want to show it.
func UnverifiedAssignment(b []byte) (*Assignment, KeyID, error) {
	a, s, err := readAssignment(b)
	if err != nil {
		return nil, KeyID{}, err
	}
	return a, s.id, nil
}

// IsAssignment tells whether b begins as an assignment does.
func IsAssignment(b []byte) bool { return len(b) > 2 && b[0] == 0xd2 && b[1] == 0x84 }

func readAssignment(b []byte) (*Assignment, *signature, error) {
	if len(b) > MaxAssignment {
		return nil, nil, refuse("assignment", fmt.Errorf("%w: %d bytes, at most %d", canon.ErrTooLarge, len(b), MaxAssignment))
	}
	s, err := parseSignature(b)
	if err != nil {
		return nil, nil, refuse("assignment", err)
	}
	var w wireAssignment
	if err := canon.Unmarshal(s.message.Payload, MaxAssignment, &w); err != nil {
		return nil, nil, refuse("assignment", err)
	}
	if w.Format != assignmentFormat {
		return nil, nil, invalid("assignment", "format %d, want %d", w.Format, assignmentFormat)
	}
	if len(w.Manifest) != len(manifest.Digest{}) || w.NotAfter < 0 {
		return nil, nil, invalid("assignment", "digest of %d bytes, not after %d", len(w.Manifest), w.NotAfter)
	}
	a := &Assignment{
		Device: w.Device, Manifest: manifest.Digest(w.Manifest), Rollout: w.Rollout, Execution: w.Execution, Nonce: w.Nonce, Counter: w.Counter,
		Issued: time.Unix(w.Issued, 0).UTC(), NotAfter: time.Unix(w.NotAfter, 0).UTC(), Sources: w.Sources, Budget: w.Budget,
	}
	if w.Window != nil {
		a.Window = &Window{Zone: w.Window.Zone, Cron: w.Window.Cron, Minutes: w.Window.Minutes}
	}
	return a, s, a.Check()
}

// VerifyAssignment reads an assignment that one of the root's director keys has signed. Whether it is for this device and
// now is left to Judge.
func (r *Root) VerifyAssignment(b []byte) (*Assignment, error) {
	a, s, err := readAssignment(b)
	if err != nil {
		return nil, err
	}
	if r.RoleOf(s.id) != RoleDirector {
		return nil, failure.New(failure.Signature, "assignment: %w: key %v is no director key of root %d", ErrThreshold, s.id, r.Version)
	}
	if err := s.verify(r.Keys[s.id], s.message.Payload, forAssignment); err != nil {
		return nil, refuse("assignment", err)
	}
	return a, nil
}
