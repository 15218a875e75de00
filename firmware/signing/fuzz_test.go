package signing_test

import (
	"bytes"
	"testing"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/signing"
)

func FuzzEnvelope(f *testing.F) {
	whole := honest(f)
	f.Add(whole.envelope)
	root := trusted(f)
	want, err := root.VerifyEnvelope(whole.envelope)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := root.VerifyEnvelope(b)
		switch {
		case err == nil && r.Digest != want.Digest:
			t.Fatalf("%x is a release that nobody has signed", b)
		case err != nil && failure.Of(err) != failure.Signature:
			t.Fatalf("%v is of class %q", err, failure.Of(err))
		}
	})
}

func FuzzAssignment(f *testing.F) {
	good := honest(f).assignment
	f.Add(good)
	root := trusted(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := root.VerifyAssignment(b)
		switch {
		case err == nil && !bytes.Equal(b, good):
			t.Fatalf("%x is an assignment that nobody has signed", b)
		case err != nil && failure.Of(err) != failure.Signature:
			t.Fatalf("%v is of class %q", err, failure.Of(err))
		}
	})
}

func FuzzRoot(f *testing.F) {
	f.Add(signRoot(f, rootOne(), "root a", "root b"))
	f.Add(signRoot(f, rootTwo(signing.Floor{Class: thermo, Module: "default", Sequence: 6}), "root a", "root b", "root c"))
	root := trusted(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := signing.ParseDocument(b)
		if err != nil {
			if failure.Of(err) != failure.Signature {
				t.Fatalf("%v is of class %q", err, failure.Of(err))
			}
			return
		}
		if again, err := d.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read %x, written %x (%v)", b, again, err)
		}
		r, err := d.Unverified()
		if err != nil {
			return
		}
		if again, err := r.Draft(); err != nil || !bytes.Equal(again.Payload, d.Payload) {
			t.Fatalf("read %x, written %x (%v)", d.Payload, again.Payload, err)
		}
		_, _ = root.Next(b)
	})
}

func FuzzState(f *testing.F) {
	b, err := asked(f).State.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := signing.ParseState(b)
		if err != nil {
			return
		}
		if again, err := s.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read %x, written %x (%v)", b, again, err)
		}
	})
}
