package signing_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

var (
	vendor = manifest.VendorID("example.com")
	thermo = manifest.ClassID(vendor, "thermo-2")
	radio  = manifest.ClassID(vendor, "radio-1")
	nonce  = bytes.Repeat([]byte{0x5a}, 16)
	issued = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	today  = issued.Add(24 * time.Hour)
)

const cellar = "70ly1tvowt696r15.cellar-1"

// key is a key that is the same in every run.
func key(name string) signing.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	k, err := signing.GenerateKey(bytes.NewReader(seed[:]))
	if err != nil {
		panic(err)
	}
	return k
}

func keys(names ...string) []signing.PrivateKey {
	out := make([]signing.PrivateKey, len(names))
	for i, name := range names {
		out[i] = key(name)
	}
	return out
}

func publics(names ...string) []signing.PublicKey {
	out := make([]signing.PublicKey, len(names))
	for i, name := range names {
		out[i] = key(name).Public()
	}
	return out
}

// rootOne is version 1: 2 of 3 root keys, 2 of 3 release keys, a director.
func rootOne() *signing.Root {
	r := &signing.Root{Version: 1, Issued: issued, NotAfter: issued.AddDate(4, 0, 0)}
	r.SetRole(signing.RoleRoot, 2, publics("root a", "root b", "root c")...)
	r.SetRole(signing.RoleRelease, 2, publics("release a", "release b", "release c")...)
	r.SetRole(signing.RoleDirector, 1, publics("director")...)
	return r
}

func signRoot(t testing.TB, r *signing.Root, names ...string) []byte {
	t.Helper()
	d, err := r.Draft()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys(names...) {
		if err := d.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	b, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func trusted(t testing.TB) *signing.Root {
	t.Helper()
	r, err := signing.TrustRoot(signRoot(t, rootOne(), "root a", "root b"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func payload(text string) manifest.Payload {
	return manifest.Payload{Digest: sha256.Sum256([]byte(text)), Size: uint64(len(text))}
}

// release is a manifest for the thermometer.
func release(sequence uint64, version string) *manifest.Manifest {
	index := payload("index of " + version)
	return &manifest.Manifest{Sequence: sequence, Components: []manifest.Component{
		{Module: "default", Vendor: vendor, Class: thermo, Image: payload("image " + version), Index: &index, Version: version}}}
}

func signRelease(t testing.TB, m *manifest.Manifest, names ...string) []byte {
	t.Helper()
	e, err := manifest.Seal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys(names...) {
		if err := signing.SignEnvelope(e, k); err != nil {
			t.Fatal(err)
		}
	}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func device() manifest.Device {
	return manifest.Device{ID: cellar, Modules: map[string]manifest.Module{
		"default": {Vendor: vendor, Class: thermo, Version: "1.4"}, "radio": {Vendor: vendor, Class: radio, Version: "r9"}}}
}

// assignment is one for the cellar and for a manifest.
func assignment(m *manifest.Manifest) *signing.Assignment {
	b, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return &signing.Assignment{
		Device: cellar, Manifest: manifest.DigestOf(b), Rollout: "412233445566778899", Execution: "412233445566778899.17", Nonce: nonce, Counter: 5,
		Issued: issued, NotAfter: issued.Add(48 * time.Hour), Sources: []string{"https://iot.example.com/f/4cWmZq9P?f=1"}, Budget: 8 << 20,
		Window: &signing.Window{Zone: "Europe/Berlin", Cron: "0 2 * * *", Minutes: 180},
	}
}

func signAssignment(t testing.TB, a *signing.Assignment, name string) []byte {
	t.Helper()
	b, err := a.Sign(key(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// asked is a judge whose device has asked with the nonce, and has release 6 confirmed.
func asked(t testing.TB) signing.Judge {
	t.Helper()
	j := signing.Judge{Root: trusted(t), Device: device()}
	r, err := j.Offer(signRelease(t, release(6, "1.4"), "release a", "release b"), today)
	if err != nil {
		t.Fatal(err)
	}
	s := j.State.Confirmed(r)
	s.Counter = 4
	if j.State, err = s.Asked(nonce); err != nil {
		t.Fatal(err)
	}
	return j
}

func wantClass(t *testing.T, err error, want failure.Class) {
	t.Helper()
	if got := failure.Of(err); got != want || (err == nil) != (want == failure.Unclassified) {
		t.Errorf("got %v (class %q), want class %q", err, got, want)
	}
}

func TestAnUpdate(t *testing.T) {
	j := asked(t)
	m := release(7, "2.0")
	r, err := j.Offer(signRelease(t, m, "release c", "release a"), today)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.Approval.Signers); got != fmt.Sprintf("[%v %v]", key("release c").Public().ID(), key("release a").Public().ID()) {
		t.Errorf("signed by %s", got)
	}
	want := assignment(m)
	b := signAssignment(t, want, "director")
	a, s, err := j.Assignment(r, b, today)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v %+v", *a, *a.Window) == "" || a.Device != want.Device || a.Manifest != want.Manifest || !a.NotAfter.Equal(want.NotAfter) ||
		*a.Window != *want.Window || a.Sources[0] != want.Sources[0] || a.Budget != want.Budget || a.Execution != want.Execution {
		t.Errorf("got %+v, want %+v", a, want)
	}
	if s.Counter != 5 || len(s.Nonce) != 0 || s.Time != issued.Unix() || j.State.Counter != 4 {
		t.Errorf("state %+v, before %+v", s, j.State)
	}
	if s.Floor(thermo, "default").Sequence != 6 {
		t.Error("the floor is raised before the boot is confirmed")
	}
	s = s.Confirmed(r)
	if f := s.Floor(thermo, "default"); f.Sequence != 7 || f.Manifest != r.Digest {
		t.Errorf("floor %+v", f)
	}
	kept, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := signing.ParseState(kept); err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
		t.Errorf("kept %+v (%v), want %+v", again, err, s)
	}
	j.State = s
	if _, err := j.Offer(signRelease(t, m, "release b", "release a"), today); err != nil {
		t.Errorf("the release that runs may be installed again: %v", err)
	}
	t.Logf("envelope %d bytes, assignment %d, root %d, state %d", len(signRelease(t, m, "release a", "release b")), len(b), len(signRoot(t, rootOne(), "root a", "root b")), len(kept))
}

// An operator goes back by signing old content with a higher number.
func TestOldContentWithANewNumber(t *testing.T) {
	j := asked(t)
	if _, err := j.Offer(signRelease(t, release(8, "1.3"), "release a", "release b"), today); err != nil {
		t.Error(err)
	}
}

func TestRootRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *signing.Root)
		want   string
	}{
		{"no version", func(r *signing.Root) { r.Version = 0 }, "version 0"},
		{"ended before it began", func(r *signing.Root) { r.NotAfter = r.Issued }, "not after"},
		{"a role without keys", func(r *signing.Root) { r.SetRole(signing.RoleRelease, 1) }, "0 keys"},
		{"nine keys", func(r *signing.Root) {
			r.SetRole(signing.RoleRelease, 1, publics("1", "2", "3", "4", "5", "6", "7", "8", "9")...)
		}, "9 keys"},
		{"more than there are", func(r *signing.Root) { r.SetRole(signing.RoleRelease, 3, publics("1", "2")...) }, "3 of 2"},
		{"one key twice is one", func(r *signing.Root) { r.SetRole(signing.RoleRelease, 2, publics("1", "1")...) }, "2 of 1"},
		{"none needed", func(r *signing.Root) { r.SetRole(signing.RoleRelease, 0, publics("1")...) }, "0 of 1"},
		{"two directors at once", func(r *signing.Root) { r.SetRole(signing.RoleDirector, 2, publics("1", "2")...) }, "one signature"},
		{"a director that releases", func(r *signing.Root) { r.SetRole(signing.RoleDirector, 1, publics("release a")...) }, "a key has one"},
		{"an unlisted key", func(r *signing.Root) { delete(r.Keys, key("root a").Public().ID()) }, "not listed"},
		{"a key of nobody", func(r *signing.Root) { r.Keys[key("x").Public().ID()] = key("x").Public() }, "no role"},
		{"a key under another id", func(r *signing.Root) { r.Keys[key("root a").Public().ID()] = key("x").Public() }, "listed as"},
		{"an unknown role", func(r *signing.Root) { r.Roles["targets"] = signing.Role{} }, "4 roles"},
		{"a floor of nothing", func(r *signing.Root) { r.Floors = []signing.Floor{{Class: thermo, Module: "default"}} }, "floor 0"},
		{"floors in disorder", func(r *signing.Root) {
			r.Floors = []signing.Floor{{Class: thermo, Module: "b", Sequence: 1}, {Class: thermo, Module: "a", Sequence: 1}}
		}, "not in order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rootOne()
			tt.change(r)
			if _, err := r.Draft(); !errors.Is(err, signing.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAssignmentRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(a *signing.Assignment)
		want   string
	}{
		{"no manifest", func(a *signing.Assignment) { a.Manifest = manifest.Digest{} }, "no manifest"},
		{"a short nonce", func(a *signing.Assignment) { a.Nonce = nonce[:15] }, "15 bytes"},
		{"no counter", func(a *signing.Assignment) { a.Counter = 0 }, "counter 0"},
		{"over before it began", func(a *signing.Assignment) { a.NotAfter = a.Issued }, "not after"},
		{"no device", func(a *signing.Assignment) { a.Device = "" }, "device of 0"},
		{"nine sources", func(a *signing.Assignment) { a.Sources = make([]string, 9) }, "9 sources"},
		{"a file", func(a *signing.Assignment) { a.Sources = []string{"file:///etc/passwd"} }, "no URL"},
		{"a long URL", func(a *signing.Assignment) { a.Sources = []string{"https://x/" + strings.Repeat("y", 512)} }, "no URL"},
		{"a window of nothing", func(a *signing.Assignment) { a.Window.Minutes = 0 }, "0 minutes"},
		{"a window of a year", func(a *signing.Assignment) { a.Window.Minutes = 525600 }, "525600 minutes"},
		{"half a cron", func(a *signing.Assignment) { a.Window.Cron = "0 2" }, "five fields"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := assignment(release(7, "2.0"))
			tt.change(a)
			if _, err := a.Sign(key("director")); !errors.Is(err, signing.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A signature that was made elsewhere is the one that would have been made here.
func TestSignaturesInFiles(t *testing.T) {
	m := release(7, "2.0")
	e, err := manifest.Seal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys("release a", "release b", "release a") {
		s, err := signing.SignManifest(e, k)
		if err != nil {
			t.Fatal(err)
		}
		if err := signing.AttachSignature(e, s); err != nil {
			t.Fatal(err)
		}
	}
	b, err := e.Encode()
	if err != nil || !bytes.Equal(b, signRelease(t, m, "release a", "release b")) {
		t.Errorf("another envelope (%v)", err)
	}
	if err := signing.AttachSignature(e, []byte("junk")); !errors.Is(err, signing.ErrSignature) {
		t.Errorf("junk: %v", err)
	}
	for i := range 8 {
		err = signing.SignEnvelope(e, key(fmt.Sprint(i)))
	}
	if !errors.Is(err, signing.ErrInvalid) {
		t.Errorf("a tenth signature: %v", err)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	k := key("release a")
	for _, format := range []string{"%v", "%s", "%+v", "%#v"} {
		if got := fmt.Sprintf(format, k); got != "private key "+k.Public().ID().String() {
			t.Errorf("%s prints %q", format, got)
		}
	}
}
