package ota

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/ota/artifact/artifacttest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/firmware/attest"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// trusted gives the fixture's product a root document with the hub's director key.
func (f *fixture) trusted() *artifacttest.Maker {
	f.t.Helper()
	m := artifacttest.New(f.t)
	f.root(m)
	return m
}

// root gives the product the maker's next root document.
func (f *fixture) root(m *artifacttest.Maker) []byte {
	f.t.Helper()
	key, err := f.Director(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	doc := m.NextRoot(f.t, key)
	if _, directed, err := f.AddRoot(f.t.Context(), f.product, doc); err != nil || !directed {
		f.t.Fatal(directed, err)
	}
	return doc
}

// release adds a release of images, all of which come in.
func (f *fixture) release(m *artifacttest.Maker, sequence uint64, images ...artifacttest.Image) *Release {
	f.t.Helper()
	r, err := f.AddRelease(f.t.Context(), f.product, m.Envelope(f.t, sequence, images...), "")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, i := range images {
		if r, err = f.PutImage(f.t.Context(), f.product, r.ID, i.Module, bytes.NewReader(i.Data)); err != nil {
			f.t.Fatal(err)
		}
	}
	return r
}

func (f *fixture) firmwareWith(id int64) *Firmware {
	f.t.Helper()
	fw, err := f.Firmware(f.t.Context(), f.product, id)
	if err != nil {
		f.t.Fatal(err)
	}
	return fw
}

// plainImage has no index, so that nothing is to be made of it.
func plainImage(version string) artifacttest.Image {
	return artifacttest.Image{Module: DefaultModule, Version: version, Data: []byte("image " + version)}
}

// tell is what a device says that verifies manifests, and what it hears.
func tell[T any](f *fixture, d *registry.Device, epoch int64, method string, payload T) string {
	f.t.Helper()
	b, err := message.EncodeOTA(codec.JSON, method, payload)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.say(d, epoch, string(b))
}

// heard reads an answer, which must have that method.
func heard[T any](f *fixture, answer, method string) T {
	f.t.Helper()
	if got, err := message.OTAMethod([]byte(answer)); err != nil || got != method {
		f.t.Fatalf("heard %q, want %s", answer, method)
	}
	payload, err := message.DecodeOTA[T]([]byte(answer))
	if err != nil {
		f.t.Fatal(err)
	}
	return payload
}

var verifying = message.OTAVersion{Module: DefaultModule, Version: "1.0", Manifest: true, Sequence: 1, Root: 1}

// question asks for an offer's assignment with a root version.
func question(o message.OTAOffer, root uint64) message.OTAQuestion {
	return message.OTAQuestion{Deployment: o.Deployment, Module: o.Module, Digest: o.Digest, Nonce: bytes.Repeat([]byte{7}, 16), Root: root}
}

func attestation(t *testing.T, d *registry.Device, deployment string, booted []byte, confirmed bool) message.OTABytes {
	t.Helper()
	id, err := strconv.ParseInt(deployment, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	b, err := attest.Report{Booted: manifest.Digest(booted), Slot: "B", Confirmed: confirmed}.Seal([]byte(d.Secret.Reveal()), id)
	if err != nil {
		t.Fatal(err)
	}
	return message.OTABytes{Deployment: deployment, Bytes: b}
}

// TestHandshake: who verifies is offered the manifest, gets assignments with counters that grow, and has succeeded by what it attests alone.
func TestHandshake(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		m := f.trusted()
		fw := f.firmwareWith(f.release(m, 2, plainImage("2.0")).ID)
		d, stock := f.device("thermo-1"), f.device("thermo-2")
		task := f.task(fw, "thermo-1", "thermo-2")

		parseOffer(t, f.say(stock, 1, requestOld)) // has never announced
		offer := heard[message.OTAOffer](f, tell(f, d, 1, message.OTARequestFirmware, verifying), message.OTAOfferFirmware)
		if offer.Deployment != fmt.Sprint(task.ID) || offer.Attempt != 1 || offer.Version != "2.0" || offer.Size != int64(len("image 2.0")) {
			t.Errorf("offer %+v", offer)
		}
		again := heard[message.OTAOffer](f, tell(f, d, 2, message.OTARequestFirmware, verifying), message.OTAOfferFirmware)
		if again.Attempt != 1 || f.at(task, d).Attempts != 1 {
			t.Errorf("the same offer once more: %+v", again)
		}
		var last uint64
		for range 3 {
			a := f.assigned(m, tell(f, d, 2, message.OTARequestAssignment, question(offer, 1)))
			if a.Counter <= last || a.Device != d.Identity.ClientID() || a.Rollout != offer.Deployment || a.Execution != offer.Deployment+".1" {
				t.Errorf("assignment %+v after %d", a, last)
			}
			last = a.Counter
		}
		tell(f, d, 2, message.OTAReportProgress, message.OTAProgress{Module: DefaultModule, Deployment: offer.Deployment, Attempt: 1, Step: 1, State: "trial"})
		if got := tell(f, d, 3, message.OTARequestFirmware, verifying); got != "" {
			t.Errorf("who is at it was offered it again: %s", got)
		}
		tell(f, d, 3, message.OTAReportVersion, message.OTAVersion{Module: DefaultModule, Version: "2.0", Manifest: true})
		tell(f, d, 3, message.OTAReportSuccess, message.OTAVersion{Module: DefaultModule, Version: "2.0"})
		f.want(task, d, Trial, "") // its word is not enough

		forged := attestation(t, stock, offer.Deployment, offer.Digest, true)
		if got := tell(f, d, 3, message.OTAAttest, forged); !strings.HasPrefix(got, "refused") {
			t.Errorf("another device's attestation: %s", got)
		}
		f.want(task, d, Trial, "")
		for _, confirmed := range []bool{false, true, true} {
			heard[message.OTADeployment](f, tell(f, d, 3, message.OTAAttest, attestation(t, d, offer.Deployment, offer.Digest, confirmed)), message.OTAAttested)
		}
		f.want(task, d, Succeeded, "")
		f.say(stock, 1, succeed)
		f.want(task, stock, Succeeded, "")
	})
}

// assigned reads an assignment by the newest root.
func (f *fixture) assigned(_ *artifacttest.Maker, answer string) *signing.Assignment {
	f.t.Helper()
	got := heard[message.OTABytes](f, answer, message.OTAAssignment)
	chain, _, err := f.Roots(f.t.Context(), f.product)
	if err != nil {
		f.t.Fatal(err)
	}
	a, err := chain.Newest().VerifyAssignment(got.Bytes)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

// TestRefusedAssignments: why there is none.
func TestRefusedAssignments(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	m := f.trusted()
	fw := f.firmwareWith(f.release(m, 2, plainImage("2.0")).ID)
	d, other := f.device("thermo-1"), f.device("thermo-2")
	task := f.task(fw, "thermo-1")
	offer := heard[message.OTAOffer](f, tell(f, d, 1, message.OTARequestFirmware, verifying), message.OTAOfferFirmware)
	good := question(offer, 1)
	with := func(change func(*message.OTAQuestion)) message.OTAQuestion {
		q := good
		change(&q)
		return q
	}
	for _, step := range []struct {
		name string
		d    *registry.Device
		q    message.OTAQuestion
		want string
	}{
		{"short nonce", d, with(func(q *message.OTAQuestion) { q.Nonce = q.Nonce[1:] }), "bad_request"},
		{"long nonce", d, with(func(q *message.OTAQuestion) { q.Nonce = make([]byte, 33) }), "bad_request"},
		{"another device's", other, good, "unknown_deployment"},
		{"no such", d, with(func(q *message.OTAQuestion) { q.Deployment = "x" }), "unknown_deployment"},
		{"another module", d, with(func(q *message.OTAQuestion) { q.Module = "radio" }), "unknown_deployment"},
		{"another manifest", d, with(func(q *message.OTAQuestion) { q.Digest = make([]byte, 32) }), "unknown_deployment"},
		{"no root", d, with(func(q *message.OTAQuestion) { q.Root = 0 }), "root_unknown"},
		{"a root that nobody has made", d, with(func(q *message.OTAQuestion) { q.Root = 2 }), "root_unknown"},
	} {
		got := heard[message.OTARefused](f, tell(f, step.d, 1, message.OTARequestAssignment, step.q), message.OTAAssignmentRefused)
		if got.Reason != step.want || got.Deployment != step.q.Deployment {
			t.Errorf("%s: %+v, want %s", step.name, got, step.want)
		}
	}
	f.root(m)
	answers := tell(f, d, 1, message.OTARequestAssignment, good)
	if n := strings.Count(answers, `"Method":`); n != 2 || !strings.HasPrefix(answers, `{"Method":"root_update"`) {
		t.Errorf("with an older root: %s", answers)
	}
	// Without the hub's key in the root there is no assignment; with it in the next one there is again.
	if _, directed, err := f.AddRoot(t.Context(), f.product, m.NextRoot(t, artifacttest.New(t).Root[0].Public())); err != nil || directed {
		t.Fatal(directed, err)
	}
	if got := heard[message.OTARefused](f, tell(f, d, 1, message.OTARequestAssignment, good), message.OTAAssignmentRefused); got.Reason != "no_director" {
		t.Errorf("without director: %+v", got)
	}
	if _, err := f.CancelTask(t.Context(), f.product, task.ID); err != nil {
		t.Fatal(err)
	}
	if got := heard[message.OTARefused](f, tell(f, d, 1, message.OTARequestAssignment, good), message.OTAAssignmentRefused); got.Reason != "ended" {
		t.Errorf("cancelled: %+v", got)
	}
}

// TestOlderStore: a hub that was restored from a backup gives counters that the device has not had.
func TestOlderStore(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	m := f.trusted()
	d := f.device("thermo-1")
	f.task(f.firmwareWith(f.release(m, 2, plainImage("2.0")).ID), "thermo-1")
	offer := heard[message.OTAOffer](f, tell(f, d, 1, message.OTARequestFirmware, verifying), message.OTAOfferFirmware)
	first := f.assigned(m, tell(f, d, 1, message.OTARequestAssignment, question(offer, 1)))
	f.clock = f.clock.Add(time.Minute)
	if err := f.Store.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `DELETE FROM device_assignment`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if next := f.assigned(m, tell(f, d, 1, message.OTARequestAssignment, question(offer, 1))); next.Counter <= first.Counter {
		t.Errorf("counter %d after %d", next.Counter, first.Counter)
	}
}

// TestSeveralImages: a release of several is for those who verify.
func TestSeveralImages(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	m := f.trusted()
	app, radio := artifacttest.Image{Module: "app", Version: "2.0", Data: []byte("app")}, artifacttest.Image{Module: "radio", Version: "1.1", Data: []byte("radio")}
	fw := f.firmwareWith(f.release(m, 2, app, radio).ID)
	if fw.Module != "app" || fw.Plain() || fw.Size != 8 {
		t.Errorf("firmware %+v", fw)
	}
	d := f.device("thermo-1")
	task := f.task(fw, "thermo-1")
	request := `{"Method":"request_firmware","Payload":{"Module":"app","Version":"1.0"}}`
	if got := f.say(d, 1, request); got != "" {
		t.Errorf("a stock device is offered %s", got)
	}
	if err := f.push(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := f.wire.take(); len(out) != 0 {
		t.Errorf("a stock device is pushed %+v", out)
	}
	f.want(task, d, Initial, "")
	v := verifying
	v.Module = "app"
	heard[message.OTAOffer](f, tell(f, d, 1, message.OTARequestFirmware, v), message.OTAOfferFirmware)
	f.want(task, d, Pending, "")
}

// TestDeliverable: what is not complete, or not signed well enough any more, is brought to nobody.
func TestDeliverable(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	m := f.trusted()
	f.device("thermo-1")
	envelope := m.Envelope(t, 2, plainImage("2.0"))
	r, err := f.AddRelease(t.Context(), f.product, envelope, "")
	if err != nil {
		t.Fatal(err)
	}
	create := func() error {
		_, err := f.CreateTask(t.Context(), NewTask{Product: f.product, Firmware: r.ID, Targets: Targets{All: true}})
		return err
	}
	if err := create(); !errors.Is(err, ErrNotReady) {
		t.Errorf("without its image: %v", err)
	}
	if again, err := f.AddRelease(t.Context(), f.product, envelope, ""); err != nil || again.ID != r.ID {
		t.Errorf("the same once more: %+v, %v", again, err)
	}
	if _, err := f.AddRelease(t.Context(), f.product, m.Envelope(t, 3, plainImage("2.0")), ""); !errors.Is(err, ErrExists) {
		t.Errorf("another release of that version: %v", err)
	}
	if _, err := f.PutImage(t.Context(), f.product, r.ID, DefaultModule, strings.NewReader("image 2.0")); err != nil {
		t.Fatal(err)
	}
	if err := create(); err != nil {
		t.Errorf("complete: %v", err)
	}
	m.Release = artifacttest.New(t).Release // the release keys are replaced
	f.root(m)
	err = create()
	if _, ok := errors.AsType[*artifact.RefusedError](err); !ok || failure.Of(err) != failure.Signature {
		t.Errorf("after a rotation of the release keys: %v", err)
	}
}
