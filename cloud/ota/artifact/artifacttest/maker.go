// Package artifacttest is a maker of devices for tests: root and release keys, root documents and signed releases.
package artifacttest

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// Class is whom the releases are for.
var (
	Vendor = manifest.VendorID("example.com")
	Class  = manifest.ClassID(Vendor, "thermo-2")
)

// Maker has two root keys and two release keys, of which both must sign.
type Maker struct {
	Root, Release [2]signing.PrivateKey
	roots         []*signing.Root
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// New makes the keys.
func New(t testing.TB) *Maker {
	t.Helper()
	m := &Maker{}
	for i := range m.Root {
		m.Root[i] = must[signing.PrivateKey](t)(signing.GenerateKey(nil))
		m.Release[i] = must[signing.PrivateKey](t)(signing.GenerateKey(nil))
	}
	return m
}

// NextRoot is the first root document, or the one that follows the last, with director keys; both root keys sign it.
func (m *Maker) NextRoot(t testing.TB, directors ...signing.PublicKey) []byte {
	t.Helper()
	next := &signing.Root{Version: 1, Issued: time.Now()}
	if len(m.roots) > 0 {
		next = m.roots[len(m.roots)-1].Successor(time.Now())
	}
	next.SetRole(signing.RoleRoot, 2, m.Root[0].Public(), m.Root[1].Public())
	next.SetRole(signing.RoleRelease, 2, m.Release[0].Public(), m.Release[1].Public())
	next.SetRole(signing.RoleDirector, 1, directors...)
	d := must[*signing.Document](t)(next.Draft())
	for _, k := range m.Root {
		if err := d.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	b := must[[]byte](t)(d.Encode())
	root, err := signing.TrustRoot(b)
	m.roots = append(m.roots, must[*signing.Root](t)(root, err))
	return b
}

// Image is a component with its bytes, and an index if Chunks is set.
type Image struct {
	Module, Version string
	Data            []byte
	Chunks          bool
	From            string // what must be installed before, as manifest.ParseRule reads it
	Index           []byte // another image's bytes, whose index the manifest names in its place; nil: its own
}

// Component is the image as a manifest names it.
func (i Image) Component(t testing.TB) manifest.Component {
	t.Helper()
	c := manifest.Component{Module: i.Module, Vendor: Vendor, Class: Class, Version: i.Version, Image: payload(i.Data)}
	if i.From != "" {
		c.From = must[manifest.Rule](t)(manifest.ParseRule(i.From))
	}
	if i.Chunks {
		of := i.Data
		if i.Index != nil {
			of = i.Index
		}
		built := must[*image.Built](t)(image.Build(t.Context(), bytes.NewReader(of), nil))
		p := payload(must[[]byte](t)(built.Index.Marshal()))
		c.Index = &p
	}
	return c
}

func payload(b []byte) manifest.Payload {
	return manifest.Payload{Digest: manifest.Digest(sha256.Sum256(b)), Size: uint64(len(b))}
}

// Envelope is a signed release of images, in the order of their modules.
func (m *Maker) Envelope(t testing.TB, sequence uint64, images ...Image) []byte {
	t.Helper()
	return m.SignedBy(t, m.Release[:], sequence, images...)
}

// SignedBy is Envelope, signed by the keys that are given.
func (m *Maker) SignedBy(t testing.TB, keys []signing.PrivateKey, sequence uint64, images ...Image) []byte {
	t.Helper()
	mf := &manifest.Manifest{Sequence: sequence}
	for _, i := range images {
		mf.Components = append(mf.Components, i.Component(t))
	}
	e := must[*manifest.Envelope](t)(manifest.Seal(mf))
	for _, k := range keys {
		if err := signing.SignEnvelope(e, k); err != nil {
			t.Fatal(err)
		}
	}
	return must[[]byte](t)(e.Encode())
}
