package signing_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// try is an attempt at a device: roots to walk from the first, an envelope, an assignment. Any may be missing.
type try struct {
	roots      [][]byte
	state      signing.State
	device     manifest.Device
	clock      time.Time
	envelope   []byte
	assignment []byte
}

// run is what an agent does with it, up to where it would begin to download.
func (a try) run() error {
	root, err := signing.TrustRoot(a.roots[0])
	if err != nil {
		return err
	}
	j := signing.Judge{Root: root, State: a.state, Device: a.device}
	for _, b := range a.roots[1:] {
		next, err := j.Root.Next(b)
		if err != nil {
			return err
		}
		j.State, j.Root = j.State.Adopt(j.Root, next), next
	}
	if a.envelope == nil {
		return nil
	}
	r, err := j.Offer(a.envelope, a.clock)
	if err != nil || a.assignment == nil {
		return err
	}
	_, _, err = j.Assignment(r, a.assignment, a.clock)
	return err
}

// attack is something that somebody tries, and what must come of it.
type attack struct {
	name, about string
	want        failure.Class
	make        func(t testing.TB, a *try)
}

// honest is an update as it should be: release 7 for a device that has confirmed 6 and asked with the nonce.
func honest(t testing.TB) *try {
	m := release(7, "2.0")
	return &try{
		roots: [][]byte{signRoot(t, rootOne(), "root a", "root b")}, state: asked(t).State, device: device(), clock: today,
		envelope: signRelease(t, m, "release a", "release b"), assignment: signAssignment(t, assignment(m), "director"),
	}
}

// changed signs release 7's assignment after a change.
func changed(t testing.TB, change func(a *signing.Assignment)) []byte {
	a := assignment(release(7, "2.0"))
	change(a)
	return signAssignment(t, a, "director")
}

// rootTwo is version 2 with other release keys and another director: what follows a theft.
func rootTwo(floors ...signing.Floor) *signing.Root {
	r := rootOne().Successor(issued.Add(time.Hour))
	r.SetRole(signing.RoleRelease, 2, publics("release a2", "release b2", "release c2")...)
	r.SetRole(signing.RoleDirector, 1, publics("director 2")...)
	r.Floors = floors
	return r
}

func attacks() []attack {
	return append(append(signatureAttacks(), replayAttacks()...), rootAttacks()...)
}

func signatureAttacks() []attack {
	m := release(7, "2.0")
	return []attack{
		{"honest", "an update as it should be", failure.Unclassified, func(testing.TB, *try) {}},
		{"unsigned", "no signature at all", failure.Signature, func(t testing.TB, a *try) { a.envelope = signRelease(t, m) }},
		{"one-of-two", "one key fewer than the threshold", failure.Signature, func(t testing.TB, a *try) { a.envelope = signRelease(t, m, "release a") }},
		{"one-key-twice", "one key as often as the threshold", failure.Signature, func(t testing.TB, a *try) {
			a.envelope = again(t, signRelease(t, m, "release a"))
		}},
		{"key-of-another-role", "a release key and a root key", failure.Signature, func(t testing.TB, a *try) { a.envelope = signRelease(t, m, "release a", "root a") }},
		{"director-signs-manifest", "a release key and the hub's own", failure.Signature, func(t testing.TB, a *try) { a.envelope = signRelease(t, m, "release a", "director") }},
		{"unknown-key", "a release key and one of nobody", failure.Signature, func(t testing.TB, a *try) { a.envelope = signRelease(t, m, "release a", "mallory") }},
		{"unknown-key-besides", "two release keys and one of nobody, which counts for nothing", failure.Unclassified, func(t testing.TB, a *try) {
			a.envelope = signRelease(t, m, "release a", "mallory", "release c")
		}},
		{"signature-of-another-manifest", "the signatures of release 6 under release 7", failure.Signature, func(t testing.TB, a *try) {
			a.envelope = transplant(t, signRelease(t, release(6, "1.4"), "release a", "release b"), a.envelope)
		}},
		{"signature-for-a-root", "a signature over the same bytes, made for a root document", failure.Signature, func(t testing.TB, a *try) {
			a.envelope = crossUse(t, a.envelope)
		}},
		{"release-signs-assignment", "release keys are stolen, the hub is not", failure.Signature, func(t testing.TB, a *try) {
			a.assignment = signAssignment(t, assignment(m), "release a")
		}},
		{"wrong-class", "firmware for another class", failure.WrongDevice, func(t testing.TB, a *try) {
			other := release(7, "2.0")
			other.Components[0].Class = radio
			a.envelope = signRelease(t, other, "release a", "release b")
		}},
		{"wrong-module", "firmware for a module that the device has not", failure.WrongDevice, func(t testing.TB, a *try) {
			other := release(7, "2.0")
			other.Components[0].Module = "modem"
			a.envelope = signRelease(t, other, "release a", "release b")
		}},
		{"stepping-stone", "firmware that needs 1.5 first, on 1.4", failure.Dependency, func(t testing.TB, a *try) {
			other := release(7, "2.0")
			other.Components[0].From = manifest.Rule{Comparison: manifest.GreaterEqual, Version: manifest.Version{1, 5}}
			a.envelope = signRelease(t, other, "release a", "release b")
		}},
		{"stepping-stone-by-sequence", "firmware that needs release 6 first, on 6", failure.Unclassified, func(t testing.TB, a *try) {
			other := release(7, "2.0")
			other.Components[0].From = manifest.Rule{Sequence: 6}
			a.envelope, a.assignment = signRelease(t, other, "release a", "release b"), signAssignment(t, assignment(other), "director")
		}},
	}
}

func replayAttacks() []attack {
	return []attack{
		{"older-manifest", "release 5, signed as it once was", failure.Rollback, func(t testing.TB, a *try) {
			a.envelope = signRelease(t, release(5, "1.3"), "release a", "release b")
		}},
		{"same-sequence-other-digest", "another release 6", failure.Rollback, func(t testing.TB, a *try) {
			a.envelope = signRelease(t, release(6, "1.4-b"), "release a", "release b")
		}},
		{"mix-and-match", "the assignment of release 8 with release 7", failure.Signature, func(t testing.TB, a *try) {
			a.assignment = signAssignment(t, assignment(release(8, "2.1")), "director")
		}},
		{"replayed-after-use", "the same assignment a second time", failure.Stale, func(_ testing.TB, a *try) { a.state.Nonce, a.state.Counter = nil, 5 }},
		{"replayed-to-a-new-question", "a recorded assignment after the device has asked anew", failure.Stale, func(_ testing.TB, a *try) {
			a.state.Nonce = bytes.Repeat([]byte{0x77}, 16)
		}},
		{"replayed-with-its-nonce", "a recorded assignment, and a device whose randomness repeats", failure.Stale, func(_ testing.TB, a *try) { a.state.Counter = 5 }},
		{"replayed-to-another-device", "a recorded assignment on another device", failure.WrongDevice, func(_ testing.TB, a *try) {
			a.device.ID = "70ly1tvowt696r15.cellar-2"
		}},
		{"replayed-in-1970", "a recorded assignment, and a clock of 1970", failure.Stale, func(_ testing.TB, a *try) {
			a.clock, a.state.Nonce = time.Unix(5, 0).UTC(), bytes.Repeat([]byte{0x77}, 16)
		}},
		{"replayed-in-2100", "a recorded assignment, and a clock of 2100 before a root without end", failure.Stale, func(t testing.TB, a *try) {
			r := rootOne()
			r.NotAfter = time.Time{}
			a.roots, a.clock = [][]byte{signRoot(t, r, "root a", "root b")}, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
		}},
		{"honest-in-1970", "an update as it should be, on a gateway that starts in 1970", failure.Unclassified, func(_ testing.TB, a *try) { a.clock = time.Unix(5, 0).UTC() }},
		{"over-by-the-floor", "an assignment that is over by what the device knows, whatever its clock says", failure.Stale, func(_ testing.TB, a *try) {
			a.state = a.state.Seen(issued.Add(72 * time.Hour))
			a.clock = time.Unix(5, 0).UTC()
		}},
		{"over", "an assignment of the day before yesterday", failure.Stale, func(_ testing.TB, a *try) { a.clock = issued.Add(49 * time.Hour) }},
		{"counter-not-higher", "a fresh assignment with an old counter", failure.Stale, func(t testing.TB, a *try) {
			a.assignment = changed(t, func(a *signing.Assignment) { a.Counter = 4 })
		}},
	}
}

func rootAttacks() []attack {
	stolen := release(1<<63, "6.6.6")
	burnt := func(t testing.TB, a *try, floors ...signing.Floor) { // a device that confirmed what a thief had signed
		j := asked(t)
		r, err := j.Offer(signRelease(t, stolen, "release a", "release b"), today)
		if err != nil {
			t.Fatal(err)
		}
		a.state = j.State.Confirmed(r)
		a.state.Counter = math.MaxUint64
		a.roots = append(a.roots, signRoot(t, rootTwo(floors...), "root a", "root b"))
		m := release(7, "2.0")
		a.envelope, a.assignment = signRelease(t, m, "release a2", "release b2"), nil
	}
	return []attack{
		{"fast-forward", "a thief's sequence number of 2^63, and a root that only takes the keys away", failure.Rollback, func(t testing.TB, a *try) { burnt(t, a) }},
		{"fast-forward-recovered", "the same, and a root 2 that sets the floor to 6", failure.Unclassified, func(t testing.TB, a *try) {
			burnt(t, a, signing.Floor{Class: thermo, Module: "default", Sequence: 6})
		}},
		{"fast-forward-not-repeated", "the thief's manifest once more, after root 2", failure.Signature, func(t testing.TB, a *try) {
			burnt(t, a, signing.Floor{Class: thermo, Module: "default", Sequence: 6})
			a.envelope = signRelease(t, stolen, "release a", "release b")
		}},
		{"old-director", "an assignment of the director that root 2 took away", failure.Signature, func(t testing.TB, a *try) {
			a.roots = append(a.roots, signRoot(t, rootTwo(), "root a", "root b"))
			m := release(7, "2.0")
			a.envelope = signRelease(t, m, "release a2", "release b2")
		}},
		{"root-by-n-only", "root keys of 1 are stolen; root 2 has the thief's and is not signed by them", failure.Signature, func(t testing.TB, a *try) {
			r := rootTwo()
			r.SetRole(signing.RoleRoot, 2, publics("root x", "root y")...)
			a.roots = append(a.roots, signRoot(t, r, "root a", "root b"))
		}},
		{"root-by-n-plus-1-only", "root 2 is signed by its own keys alone", failure.Signature, func(t testing.TB, a *try) {
			r := rootTwo()
			r.SetRole(signing.RoleRoot, 2, publics("mallory 1", "mallory 2")...)
			a.roots = append(a.roots, signRoot(t, r, "mallory 1", "mallory 2"))
		}},
		{"root-one-short-of-n", "root 2 is signed by its own keys and by one of root 1", failure.Signature, func(t testing.TB, a *try) {
			r := rootTwo()
			r.SetRole(signing.RoleRoot, 2, publics("mallory 1", "mallory 2")...)
			a.roots = append(a.roots, signRoot(t, r, "mallory 1", "mallory 2", "root a"))
		}},
		{"root-skipped", "root 3 on a device that has 1", failure.Dependency, func(t testing.TB, a *try) {
			a.roots = append(a.roots, signRoot(t, rootTwo().Successor(today), "root a", "root b"))
		}},
		{"root-walked", "root 2, then root 3 of which root 1's keys know nothing", failure.Unclassified, func(t testing.TB, a *try) {
			two := rootTwo()
			two.SetRole(signing.RoleRoot, 1, publics("root d")...)
			three := two.Successor(today)
			three.SetRole(signing.RoleRoot, 1, publics("root e")...)
			a.roots = append(a.roots, signRoot(t, two, "root a", "root c", "root d"), signRoot(t, three, "root d", "root e"))
			a.envelope = signRelease(t, release(7, "2.0"), "release a2", "release b2")
			a.assignment = nil
		}},
		{"root-back", "root 1 after root 2", failure.Rollback, func(t testing.TB, a *try) {
			a.roots = append(a.roots, signRoot(t, rootTwo(), "root a", "root b"), a.roots[0])
		}},
		{"root-again", "root 2 twice", failure.Unclassified, func(t testing.TB, a *try) {
			two := signRoot(t, rootTwo(), "root a", "root b")
			a.roots, a.envelope = append(a.roots, two, two), nil
		}},
		{"root-other-with-its-version", "another root 2, signed as well as the first", failure.Rollback, func(t testing.TB, a *try) {
			other := rootTwo()
			other.NotAfter = time.Time{}
			a.roots = append(a.roots, signRoot(t, rootTwo(), "root a", "root b"), signRoot(t, other, "root a", "root b"))
		}},
		{"root-expired", "a root whose time is over", failure.Stale, func(_ testing.TB, a *try) { a.clock = issued.AddDate(5, 0, 0) }},
		{"root-expired-by-the-floor", "a root whose time is over, and a clock of 1970", failure.Stale, func(_ testing.TB, a *try) {
			a.state, a.clock = a.state.Seen(issued.AddDate(5, 0, 0)), time.Unix(5, 0).UTC()
		}},
	}
}

func TestAttacks(t *testing.T) {
	for _, tt := range attacks() {
		t.Run(tt.name, func(t *testing.T) {
			a := honest(t)
			tt.make(t, a)
			wantClass(t, a.run(), tt.want)
		})
	}
}

// again repeats an envelope's signature.
func again(t testing.TB, b []byte) []byte {
	e, err := manifest.ParseEnvelope(b)
	if err != nil {
		t.Fatal(err)
	}
	e.Signatures = append(e.Signatures, e.Signatures...)
	return encoded(t, e)
}

// transplant puts one envelope's signatures on the manifest of another.
func transplant(t testing.TB, from, to []byte) []byte {
	a, err := manifest.ParseEnvelope(from)
	if err != nil {
		t.Fatal(err)
	}
	b, err := manifest.ParseEnvelope(to)
	if err != nil {
		t.Fatal(err)
	}
	b.Signatures = a.Signatures
	return encoded(t, b)
}

// crossUse signs an envelope's payload with release keys as if it were a root document.
func crossUse(t testing.TB, b []byte) []byte {
	e, err := manifest.ParseEnvelope(b)
	if err != nil {
		t.Fatal(err)
	}
	d := signing.Document{Payload: e.Payload()}
	for _, k := range keys("release a", "release b") {
		if err := d.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	e.Signatures = d.Signatures
	return encoded(t, e)
}

func encoded(t testing.TB, e *manifest.Envelope) []byte {
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAttackEveryByteOfTheEnvelopeFlipped(t *testing.T) {
	j, a := asked(t), honest(t)
	flipEvery(t, a.envelope, func(b []byte) error {
		_, err := j.Offer(b, today)
		return err
	})
}

func TestAttackEveryByteOfTheRootFlipped(t *testing.T) {
	flipEvery(t, honest(t).roots[0], func(b []byte) error {
		_, err := signing.TrustRoot(b)
		return err
	})
}

func TestAttackEveryByteOfTheNextRootFlipped(t *testing.T) {
	root := trusted(t)
	flipEvery(t, signRoot(t, rootTwo(), "root a", "root b"), func(b []byte) error {
		_, err := root.Next(b)
		return err
	})
}

func TestAttackEveryByteOfTheAssignmentFlipped(t *testing.T) {
	j, a := asked(t), honest(t)
	r, err := j.Offer(a.envelope, today)
	if err != nil {
		t.Fatal(err)
	}
	flipEvery(t, a.assignment, func(b []byte) error {
		_, _, err := j.Assignment(r, b, today)
		return err
	})
}

// flipEvery flips a bit of every byte, and cuts the document off everywhere.
func flipEvery(t *testing.T, good []byte, take func(b []byte) error) {
	if err := take(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if err := take(bad); failure.Of(err) != failure.Signature {
			t.Fatalf("byte %d: %v (class %q), want SIG", i, err, failure.Of(err))
		}
		if err := take(good[:i:i]); failure.Of(err) != failure.Signature {
			t.Fatalf("the first %d bytes: %v (class %q), want SIG", i, err, failure.Of(err))
		}
	}
}

// A signature more than is needed is held to the same: what is there and wrong spoils the whole.
func TestAttackOneBadSignatureAmongEnough(t *testing.T) {
	a := honest(t)
	e, err := manifest.ParseEnvelope(signRelease(t, release(7, "2.0"), "release a", "release b", "release c"))
	if err != nil {
		t.Fatal(err)
	}
	last := e.Signatures[2]
	last[len(last)-1] ^= 1
	a.envelope = encoded(t, e)
	wantClass(t, a.run(), failure.Signature)
}

// The state of one device set back lets nothing in that a nonce or another root would not: an old assignment is stale.
func TestAttackStateSetBack(t *testing.T) {
	a := honest(t)
	a.state = signing.State{}
	wantClass(t, a.run(), failure.Stale)
}

// A hub that was stolen can send what was released and no more, and its counter can be taken back.
func TestAttackStolenHub(t *testing.T) {
	j := asked(t)
	m := release(7, "2.0")
	r, err := j.Offer(signRelease(t, m, "release a", "release b"), today)
	if err != nil {
		t.Fatal(err)
	}
	a := assignment(m)
	a.Counter, a.Issued, a.NotAfter = math.MaxUint64, time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9001, 1, 1, 0, 0, 0, 0, time.UTC)
	_, s, err := j.Assignment(r, signAssignment(t, a, "director"), today)
	if err != nil {
		t.Fatal(err)
	}
	j.State = s
	_, err = j.Offer(signRelease(t, m, "release a", "release b"), today)
	wantClass(t, err, failure.Stale) // the thief has moved the device's time behind its root's end

	two, err := j.Root.Next(signRoot(t, rootTwo(), "root b", "root c"))
	if err != nil {
		t.Fatal(err)
	}
	j.State, j.Root = j.State.Adopt(j.Root, two), two
	if r, err = j.Offer(signRelease(t, m, "release a2", "release b2"), today); err != nil {
		t.Fatal(err)
	}
	if j.State, err = j.State.Asked(nonce); err != nil {
		t.Fatal(err)
	}
	if _, _, err = j.Assignment(r, signAssignment(t, assignment(m), "director 2"), today); err != nil {
		t.Errorf("after root 2: %v", err)
	}
}
