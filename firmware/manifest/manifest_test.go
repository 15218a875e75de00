package manifest_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

var (
	vendor = manifest.VendorID("example.com")
	thermo = manifest.ClassID(vendor, "thermo-2")
	radio  = manifest.ClassID(vendor, "radio-1")
)

func payload(text string) manifest.Payload {
	return manifest.Payload{Digest: sha256.Sum256([]byte(text)), Size: uint64(len(text))}
}

// full has everything that a manifest can have.
func full() *manifest.Manifest {
	index := payload("its index")
	return &manifest.Manifest{
		Sequence: 7,
		Components: []manifest.Component{
			{Module: "default", Vendor: vendor, Class: thermo, Image: payload("an image"), Index: &index, Version: "2.0.1", Description: "Closes the valve in time.",
				From: manifest.Rule{Comparison: manifest.GreaterEqual, Version: manifest.Version{1, 4}, Sequence: 3}},
			{Module: "radio", Vendor: vendor, Class: radio, Image: payload("another image"), Version: "r9"},
		},
		Requires: []manifest.Requirement{
			{Module: "boot", Rule: manifest.Rule{Sequence: 2}},
			{Module: "sensor", Rule: manifest.Rule{Comparison: manifest.Lesser, Version: manifest.Version{3, -1, 2}}},
		},
	}
}

func small() *manifest.Manifest {
	return &manifest.Manifest{Sequence: 1, Components: []manifest.Component{
		{Module: "default", Vendor: vendor, Class: thermo, Image: payload("an image"), Version: "1.0"}}}
}

func encode(t testing.TB, m *manifest.Manifest) []byte {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	for name, m := range map[string]*manifest.Manifest{"small": small(), "full": full()} {
		b := encode(t, m)
		got, err := manifest.Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: got %+v\nwant %+v", name, got, m)
		}
		t.Logf("%s: %d bytes", name, len(b))
	}
}

// The standard's own example tells that a digest is over the byte string with its head.
func TestDigestIsTheStandards(t *testing.T) {
	var b []byte
	const example = "a50101020103585fa202818141000458568614a40150fa6b4a53d5ad5fdfbe9de663e4d41ffe02501492af1425695e48bf429b2d51f2ab45" +
		"035824822f582000112233445566778899aabbccddeeff0123456789abcdeffedcba98765432100e1987d0010f020f074382030f1458258614a115781b" +
		"687474703a2f2f6578616d706c652e636f6d2f66696c652e62696e1502030f"
	if _, err := fmt.Sscanf(example, "%x", &b); err != nil {
		t.Fatal(err)
	}
	if got, want := manifest.DigestOf(b).String(), "1f2e7acca0dc2786f2fe4eb947f50873a6a3cfaa98866c5b02e621f42074daf2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// … and that vendors and classes are UUIDs of version 5.
	if got, want := manifest.VendorID("arm.com").String(), "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe"; got != want {
		t.Errorf("vendor %s, want %s", got, want)
	}
	// It is valid SUIT, and yet not of the profile: nothing of it is run.
	if _, err := manifest.Parse(b); failure.Of(err) != failure.Signature {
		t.Errorf("a manifest that is none of ours: %v", err)
	}
}

func TestEveryByteFlippedIsRefusedOrAnother(t *testing.T) {
	b := encode(t, full())
	for i := range b {
		for bit := range 8 {
			bad := append([]byte(nil), b...)
			bad[i] ^= 1 << bit
			m, err := manifest.Parse(bad)
			if err != nil {
				if failure.Of(err) != failure.Signature {
					t.Fatalf("byte %d bit %d: %v is of class %q", i, bit, err, failure.Of(err))
				}
				continue
			}
			if again := encode(t, m); string(again) != string(bad) {
				t.Fatalf("byte %d bit %d: read as something that is written differently", i, bit)
			}
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	b := encode(t, full())
	for i := range b {
		if _, err := manifest.Parse(b[:i]); err == nil {
			t.Fatalf("the first %d of %d bytes are a manifest", i, len(b))
		}
	}
	if _, err := manifest.Parse(append(b, 0)); err == nil {
		t.Error("a byte behind the manifest is not seen")
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(m *manifest.Manifest)
		want   string
	}{
		{"no sequence", func(m *manifest.Manifest) { m.Sequence = 0 }, "sequence number 0"},
		{"no image", func(m *manifest.Manifest) { m.Components = nil }, "0 images"},
		{"too many", func(m *manifest.Manifest) { m.Components = make([]manifest.Component, 17) }, "17 images"},
		{"wrong order", func(m *manifest.Manifest) { m.Components[0].Module = "z" }, "ascending"},
		{"a module twice", func(m *manifest.Manifest) { m.Components[0].Module = "radio" }, "ascending"},
		{"a module with blanks", func(m *manifest.Manifest) { m.Components[0].Module = "a b" }, "1 to 32"},
		{"no version", func(m *manifest.Manifest) { m.Components[0].Version = "" }, "1 to 32"},
		{"no vendor", func(m *manifest.Manifest) { m.Components[0].Vendor = manifest.UUID{} }, "no vendor"},
		{"no size", func(m *manifest.Manifest) { m.Components[0].Image.Size = 0 }, "no size"},
		{"no digest", func(m *manifest.Manifest) { m.Components[0].Image.Digest = manifest.Digest{} }, "no size or digest"},
		{"an empty index", func(m *manifest.Manifest) { m.Components[0].Index = &manifest.Payload{} }, "chunk index"},
		{"a novel", func(m *manifest.Manifest) { m.Components[0].Description = strings.Repeat("x", 513) }, "at most 512"},
		{"not UTF-8", func(m *manifest.Manifest) { m.Components[0].Description = "\xff" }, "UTF-8"},
		{"a comparison without a version", func(m *manifest.Manifest) { m.Components[0].From.Version = nil }, "needs a version"},
		{"an unknown comparison", func(m *manifest.Manifest) { m.Components[0].From.Comparison = 6 }, "unknown"},
		{"a rule for what is installed", func(m *manifest.Manifest) { m.Requires[0].Module = "default" }, "installs it"},
		{"a rule of nothing", func(m *manifest.Manifest) { m.Requires[0].Rule = manifest.Rule{} }, "no rule"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := full()
			tt.change(m)
			_, err := m.Encode()
			if !errors.Is(err, manifest.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// What a manifest is not written by this package for: commands that would have to be run.
func TestUnknownCommandsAreRefused(t *testing.T) {
	type sequence = []any
	for name, shared := range map[string]sequence{
		"fetch":        {12, 0, 21, 15},
		"try each":     {12, 0, 15, []any{[]byte{0x80}}},
		"run sequence": {12, 0, 32, []byte{0x80}},
		"custom":       {12, 0, -300, 15},
		"write":        {12, 0, 18, 15},
	} {
		b, err := pack(map[int]any{1: 1, 2: 1, 3: cborOf(map[int]any{2: [][][]byte{{[]byte("default")}}, 4: cborOf(shared)}), 7: cborOf(sequence{}), 23: cborOf(map[string]any{}), -256: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := manifest.Parse(b); !errors.Is(err, manifest.ErrUnknownCommand) || failure.Of(err) != failure.Signature {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func pack(v any) ([]byte, error) { return canon.Marshal(v) }

func cborOf(v any) []byte {
	b, err := pack(v)
	if err != nil {
		panic(err)
	}
	return b
}

func TestUnknownMembersAreRefused(t *testing.T) {
	for _, key := range []int{4, 5, 8, 9, 14, 16, 20, -257} {
		b := cborOf(map[int]any{1: 1, 2: 1, 3: []byte{}, 7: []byte{}, 23: []byte{}, -256: 1, key: []byte{}})
		if _, err := manifest.Parse(b); !errors.Is(err, canon.ErrMalformed) {
			t.Errorf("member %d: got %v", key, err)
		}
	}
}

func TestEnvelope(t *testing.T) {
	e, err := manifest.Seal(full())
	if err != nil {
		t.Fatal(err)
	}
	e.Signatures = [][]byte{{1}, {2, 3}}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := manifest.ParseEnvelope(b)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Fatalf("got %+v (%v)\nwant %+v", got, err, e)
	}
	for i := range b {
		bad := append([]byte(nil), b...)
		bad[i] ^= 1
		if e, err := manifest.ParseEnvelope(bad); err == nil {
			again, err := e.Encode()
			if err != nil || string(again) != string(bad) {
				t.Fatalf("byte %d: read as something that is written differently", i)
			}
			if string(e.Manifest) != string(got.Manifest) {
				t.Fatalf("byte %d: another manifest with this digest", i)
			}
		} else if failure.Of(err) != failure.Signature {
			t.Fatalf("byte %d: %v is of class %q", i, err, failure.Of(err))
		}
	}
	e.Signatures = make([][]byte, 9)
	if _, err := e.Encode(); !errors.Is(err, manifest.ErrInvalid) {
		t.Errorf("nine signatures: %v", err)
	}
}

func TestAttackManifestOver64KiB(t *testing.T) {
	e, err := manifest.Seal(full())
	if err != nil {
		t.Fatal(err)
	}
	e.Manifest = append(e.Manifest, make([]byte, manifest.MaxSize)...)
	if _, err := e.Encode(); !errors.Is(err, canon.ErrTooLarge) {
		t.Errorf("encode: %v", err)
	}
	large := append([]byte{0xd8, 107}, make([]byte, manifest.MaxSize)...)
	if _, err := manifest.ParseEnvelope(large); !errors.Is(err, canon.ErrTooLarge) || failure.Of(err) != failure.Signature {
		t.Errorf("parse: %v", err)
	}
	if n := testing.AllocsPerRun(10, func() { _, _ = manifest.ParseEnvelope(large) }); n > 10 {
		t.Errorf("%v allocations to refuse it", n)
	}
	// Lengths that are not there cost nothing either: an array of 2^32 signatures, a byte string of 2^60 bytes.
	for _, b := range [][]byte{
		{0xd8, 107, 0xa2, 2, 0x45, 0x9a, 0xff, 0xff, 0xff, 0xff, 3, 0x41, 0},
		{0xd8, 107, 0xa2, 2, 0x5b, 0x10, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, err := manifest.ParseEnvelope(b); !errors.Is(err, canon.ErrMalformed) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(encode(f, small()))
	f.Add(encode(f, full()))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := manifest.Parse(b)
		if err != nil {
			if failure.Of(err) != failure.Signature {
				t.Fatalf("%v is of class %q", err, failure.Of(err))
			}
			return
		}
		if again := encode(t, m); string(again) != string(b) {
			t.Fatalf("read %x, written %x", b, again)
		}
	})
}

func FuzzParseEnvelope(f *testing.F) {
	for _, m := range []*manifest.Manifest{small(), full()} {
		e, err := manifest.Seal(m)
		if err != nil {
			f.Fatal(err)
		}
		e.Signatures = [][]byte{{1, 2, 3}}
		b, err := e.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := manifest.ParseEnvelope(b)
		if err != nil {
			if failure.Of(err) != failure.Signature {
				t.Fatalf("%v is of class %q", err, failure.Of(err))
			}
			return
		}
		if again, err := e.Encode(); err != nil || string(again) != string(b) {
			t.Fatalf("read %x, written %x (%v)", b, again, err)
		}
	})
}
