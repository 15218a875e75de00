package signing_test

import (
	"crypto/ed25519"
	"testing"
	"time"
)

func BenchmarkVerifyEnvelope(b *testing.B) {
	root, envelope := trusted(b), signRelease(b, release(7, "2.0"), "release a", "release b")
	b.ReportAllocs()
	b.SetBytes(int64(len(envelope)))
	for b.Loop() {
		if _, err := root.VerifyEnvelope(envelope); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyAssignment(b *testing.B) {
	root, a := trusted(b), honest(b).assignment
	b.ReportAllocs()
	b.SetBytes(int64(len(a)))
	for b.Loop() {
		if _, err := root.VerifyAssignment(a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNextRoot(b *testing.B) {
	root, two := trusted(b), signRoot(b, rootTwo(), "root a", "root b")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := root.Next(two); err != nil {
			b.Fatal(err)
		}
	}
}

// What a hub pays for each device of a rollout.
func BenchmarkSignAssignment(b *testing.B) {
	k := key("director")
	a := assignment(release(7, "2.0"))
	b.ReportAllocs()
	for b.Loop() {
		a.Counter++
		if _, err := a.Sign(k); err != nil {
			b.Fatal(err)
		}
	}
}

// The whole of what an agent judges for an update.
func BenchmarkJudge(b *testing.B) {
	j, a := asked(b), honest(b)
	b.ReportAllocs()
	for b.Loop() {
		r, err := j.Offer(a.envelope, today)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := j.Assignment(r, a.assignment, today.Add(time.Second)); err != nil {
			b.Fatal(err)
		}
	}
}

// What the cryptography alone costs: the bar for the rest.
func BenchmarkEd25519(b *testing.B) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 100)
	s := ed25519.Sign(private, message)
	for b.Loop() {
		if !ed25519.Verify(public, message, s) {
			b.Fatal("not verified")
		}
	}
}
