package ota

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/ota/artifact/artifacttest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/message"
)

// verifier is a device that judges what it hears, as firmware/signing has it.
type verifier struct {
	f     *fixture
	d     *registry.Device
	root  *signing.Root
	state signing.State
	offer message.OTAOffer
	rel   *signing.Release
	walk  int // root documents that it heard before the last assignment
}

// verifier makes a device with the product's first root document that was offered firmware by a task of its own.
func (f *fixture) verifier(sn string, fw *Firmware, envelope []byte) *verifier {
	f.t.Helper()
	v := &verifier{f: f, d: f.device(sn)}
	f.task(fw, sn)
	v.offer = heard[message.OTAOffer](f, tell(f, v.d, 1, message.OTARequestFirmware, verifying), message.OTAOfferFirmware)
	chain, _, err := f.Roots(f.t.Context(), f.product)
	if err == nil {
		v.root, err = signing.TrustRoot(chain[0].Document)
	}
	if err == nil {
		v.rel, err = v.judge().Offer(envelope, f.clock)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func (v *verifier) judge() signing.Judge {
	return signing.Judge{Root: v.root, State: v.state, Device: manifest.Device{ID: v.d.Identity.ClientID(),
		Modules: map[string]manifest.Module{DefaultModule: {Vendor: artifacttest.Vendor, Class: artifacttest.Class, Version: "1.0"}}}}
}

// ask asks for an assignment, walks over the root documents that come before it, and returns its bytes. One that takes a director key away makes a device forget
// its question: it asks again.
func (v *verifier) ask() (assignment []byte) {
	v.f.t.Helper()
	v.walk = 0
	for assignment = v.question(); len(v.state.Nonce) == 0; assignment = v.question() {
	}
	return assignment
}

func (v *verifier) question() (assignment []byte) {
	v.f.t.Helper()
	q := question(v.offer, v.root.Version)
	var err error
	if v.state, err = v.state.Asked(q.Nonce); err != nil {
		v.f.t.Fatal(err)
	}
	for answers := json.NewDecoder(strings.NewReader(tell(v.f, v.d, 1, message.OTARequestAssignment, q))); ; {
		var raw json.RawMessage
		if err := answers.Decode(&raw); errors.Is(err, io.EOF) {
			return assignment
		} else if err != nil {
			v.f.t.Fatal(err)
		}
		if method, _ := message.OTAMethod(raw); method == message.OTAAssignment {
			assignment = heard[message.OTABytes](v.f, string(raw), method).Bytes
			continue
		}
		next, err := v.root.Next(heard[message.OTABytes](v.f, string(raw), message.OTARootUpdate).Bytes)
		if err != nil {
			v.f.t.Fatal(err)
		}
		v.state, v.root, v.walk = v.state.Adopt(v.root, next), next, v.walk+1
	}
}

// accepts wants an assignment to be taken.
func (v *verifier) accepts(assignment []byte) {
	v.f.t.Helper()
	_, state, err := v.judge().Assignment(v.rel, assignment, v.f.clock)
	if err != nil {
		v.f.t.Fatalf("%s at root %d: %v", v.d.Identity.SN, v.root.Version, err)
	}
	v.state = state
}

// rotating is a fixture with a release for a device that verifies, its maker, and the hub's first director key.
func rotating(t *testing.T, db *store.DB) (f *fixture, m *artifacttest.Maker, fw *Firmware, envelope []byte, old signing.PublicKey) {
	t.Helper()
	f = newFixture(t, db)
	m = f.trusted()
	rel := f.release(m, 2, plainImage("2.0"))
	old, err := f.Director(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f, m, f.firmwareWith(rel.ID), rel.Envelope, old
}

func (f *fixture) addRoot(doc []byte) {
	f.t.Helper()
	if _, directed, err := f.AddRoot(f.t.Context(), f.product, doc); err != nil || !directed {
		f.t.Fatal(directed, err)
	}
}

// TestDirectorRotates: the hub gets another director key while devices are updated. Each walks to the root document that names it before it gets an assignment,
// from whichever it has, and nobody is left out.
func TestDirectorRotates(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f, m, fw, envelope, old := rotating(t, db)
		early, middle, late := f.verifier("early", fw, envelope), f.verifier("middle", fw, envelope), f.verifier("late", fw, envelope)
		early.accepts(early.ask())
		if _, err := f.RetireDirector(t.Context(), old.ID(), true); !errors.Is(err, artifact.ErrLastDirector) {
			t.Errorf("the only key was retired: %v", err)
		}
		next, err := f.RotateDirector(t.Context())
		if err != nil || next.Key == old {
			t.Fatal(next, err)
		}
		if newest, err := f.Director(t.Context()); err != nil || newest != next.Key {
			t.Errorf("for root documents: %v, want %v, %v", newest.ID(), next.Key.ID(), err)
		}
		if _, err := f.RotateDirector(t.Context()); !errors.Is(err, artifact.ErrRotating) {
			t.Errorf("rotated twice: %v", err)
		}
		f.directors("before the root documents", "0/0 1/1")
		early.accepts(early.ask()) // the root document names the old key
		var inUse *artifact.DirectorInUseError
		if _, err := f.RetireDirector(t.Context(), old.ID(), false); !errors.As(err, &inUse) || inUse.Products != 1 {
			t.Errorf("the key that signs was retired: %v", err)
		}

		f.addRoot(m.NextRoot(t, old, next.Key))
		f.directors("both are named", "1/1 0/1")
		middle.accepts(middle.ask())
		if middle.walk != 1 || middle.root.Version != 2 {
			t.Errorf("walked over %d documents to %d", middle.walk, middle.root.Version)
		}
		f.addRoot(m.NextRoot(t, next.Key))
		for _, v := range []*verifier{late, early, middle} {
			from := v.root.Version
			v.accepts(v.ask())
			if v.root.Version != 3 || v.walk != int(3-from) {
				t.Errorf("%s walked over %d documents from %d to %d", v.d.Identity.SN, v.walk, from, v.root.Version)
			}
		}
		if d, err := f.RetireDirector(t.Context(), old.ID(), false); err != nil || d.Key != old || d.Retired.IsZero() {
			t.Fatal(d, err)
		}
		f.directors("at the end", "1/1 retired")
		late.accepts(late.ask())
		if _, err := f.RetireDirector(t.Context(), old.ID(), false); !errors.Is(err, artifact.ErrNoDirector) {
			t.Errorf("retired twice: %v", err)
		}
		if _, err := f.RotateDirector(t.Context()); err != nil {
			t.Errorf("the next rotation: %v", err)
		}
	})
}

// directors wants the hub's keys, the newest first, each with how many products it signs for and how many name it.
func (f *fixture) directors(when, want string) {
	f.t.Helper()
	list, err := f.Directors(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	var got []string
	for _, d := range list {
		text := "retired"
		if d.Retired.IsZero() {
			text = string([]byte{'0' + byte(d.Signs), '/', '0' + byte(d.Named)})
		}
		got = append(got, text)
	}
	if text := strings.Join(got, " "); text != want {
		f.t.Errorf("%s: director keys %s, want %s", when, text, want)
	}
}

// TestAttackRetiredDirector: who has stolen the old director key assigns nothing to a device that has walked to the root document without it, with whatever
// counter, nonce and time; and the hub has the key no more.
func TestAttackRetiredDirector(t *testing.T) {
	f, m, fw, envelope, old := rotating(t, storetest.SQLite(t))
	v := f.verifier("thermo-1", fw, envelope)
	chain, _, err := f.Roots(t.Context(), f.product)
	if err != nil {
		t.Fatal(err)
	}
	stolen, ok, err := f.Artifacts.Signer(t.Context(), chain)
	if err != nil || !ok || stolen.Public() != old {
		t.Fatal(ok, err)
	}
	next, err := f.RotateDirector(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.addRoot(m.NextRoot(t, next.Key))
	if _, err := f.RetireDirector(t.Context(), old.ID(), false); err != nil {
		t.Fatal(err)
	}
	if k, ok, err := f.Artifacts.Signer(t.Context(), chain); err != nil || ok {
		t.Errorf("the hub has still %v, %v", k.Public().ID(), err)
	}
	honest := v.ask() // and walks
	nonce := question(v.offer, 1).Nonce
	for name, a := range map[string]signing.Assignment{
		"as the hub would":    {Counter: v.state.Counter + 1, Issued: f.clock},
		"a counter far ahead": {Counter: 1 << 62, Issued: f.clock},
		"issued later":        {Counter: v.state.Counter + 1, Issued: f.clock.Add(time.Hour)},
	} {
		a.Device, a.Manifest, a.Rollout, a.Execution, a.Nonce = v.d.Identity.ClientID(), v.rel.Digest, v.offer.Deployment, v.offer.Deployment+".1", nonce
		a.NotAfter = a.Issued.Add(24 * time.Hour)
		a.Sources = []string{"https://iot.example.com/x/"}
		b, err := a.Sign(stolen)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.judge().Assignment(v.rel, b, f.clock); failure.Of(err) != failure.Signature {
			t.Errorf("%s: %v, want %s", name, err, failure.Signature)
		}
	}
	v.accepts(honest)
}
