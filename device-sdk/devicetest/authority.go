package devicetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// Authority has the keys that firmware for tests is signed with: 2 of 3 root keys, 2 of 3 release keys and a director.
type Authority struct {
	// Root is the present root document, as a device is shipped with it; RootKeys and ReleaseKeys are those of it.
	Root        *signing.Root
	RootKeys    []signing.PrivateKey
	ReleaseKeys []signing.PrivateKey
	Director    signing.PrivateKey
}

// threshold is how many root and release keys must sign.
const threshold = 2

// NewAuthority makes keys and the first root document.
func NewAuthority() (*Authority, error) {
	a := &Authority{}
	var err error
	if a.RootKeys, err = newKeys(3); err != nil {
		return nil, err
	}
	if a.ReleaseKeys, err = newKeys(3); err != nil {
		return nil, err
	}
	if a.Director, err = signing.GenerateKey(nil); err != nil {
		return nil, err
	}
	r := &signing.Root{Version: 1, Issued: time.Now().Add(-time.Hour).Truncate(time.Second)}
	r.SetRole(signing.RoleRoot, threshold, public(a.RootKeys)...)
	r.SetRole(signing.RoleRelease, threshold, public(a.ReleaseKeys)...)
	r.SetRole(signing.RoleDirector, 1, a.Director.Public())
	b, err := SignRoot(r, a.RootKeys[:threshold]...)
	if err != nil {
		return nil, err
	}
	a.Root, err = signing.TrustRoot(b)
	return a, err
}

func newKeys(n int) (list []signing.PrivateKey, err error) {
	for range n {
		k, err := signing.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, nil
}

func public(keys []signing.PrivateKey) (list []signing.PublicKey) {
	for _, k := range keys {
		list = append(list, k.Public())
	}
	return list
}

// Document is the present root document's bytes: update.Config.Root.
func (a *Authority) Document() []byte {
	b, err := a.Root.Encode()
	if err != nil {
		panic(err) // it was read from bytes
	}
	return b
}

// SignRoot signs a root document with keys, whatever they are.
func SignRoot(r *signing.Root, keys ...signing.PrivateKey) ([]byte, error) {
	d, err := r.Draft()
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := d.Sign(k); err != nil {
			return nil, err
		}
	}
	return d.Encode()
}

// Firmware is a release to be made. Zero fields but Images have defaults.
type Firmware struct {
	Version  string // "2.0"
	Sequence uint64 // 1
	// Vendor and Class are those of the modules; TestVendor and TestClass.
	Vendor, Class manifest.UUID
	// Images are by module.
	Images map[string][]byte
	// Old are images that deltas are made from, by module.
	Old map[string][]byte
	// Plain leaves the chunk indexes out.
	Plain bool
	// Change, unless it is nil, changes the manifest before it is signed.
	Change func(m *manifest.Manifest)
	// Keys sign in place of two release keys.
	Keys []signing.PrivateKey
}

// TestVendor and TestClass are those of firmware for tests.
var (
	TestVendor = manifest.VendorID("devicetest.example")
	TestClass  = manifest.ClassID(TestVendor, "board")
)

// Release is signed firmware with all that a device may fetch of it. Tests may change it before it is offered.
type Release struct {
	Version  string
	Digest   manifest.Digest
	Envelope []byte
	Size     int64
	// Files are what is served, by path: manifest, index/default, pack/default, image/default, delta/default/<hex>.
	Files map[string][]byte
}

// Build makes and signs a release.
func (a *Authority) Build(f Firmware) (*Release, error) {
	f.fill()
	r := &Release{Version: f.Version, Files: map[string][]byte{}}
	m := &manifest.Manifest{Sequence: f.Sequence}
	for _, name := range sortedNames(f.Images) {
		c, err := r.add(f, name)
		if err != nil {
			return nil, fmt.Errorf("devicetest: module %s: %w", name, err)
		}
		m.Components = append(m.Components, c)
		r.Size += int64(c.Image.Size)
	}
	if f.Change != nil {
		f.Change(m)
	}
	keys := f.Keys
	if keys == nil {
		keys = a.ReleaseKeys[:threshold]
	}
	if err := r.sign(m, keys); err != nil {
		return nil, err
	}
	return r, nil
}

func (f *Firmware) fill() {
	if f.Version == "" {
		f.Version = "2.0"
	}
	if f.Sequence == 0 {
		f.Sequence = 1
	}
	if f.Vendor.IsZero() {
		f.Vendor = TestVendor
	}
	if f.Class.IsZero() {
		f.Class = TestClass
	}
}

func (r *Release) sign(m *manifest.Manifest, keys []signing.PrivateKey) error {
	e, err := manifest.Seal(m)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := signing.SignEnvelope(e, k); err != nil {
			return err
		}
	}
	r.Digest = e.Digest()
	r.Envelope, err = e.Encode()
	r.Files["manifest"] = r.Envelope
	return err
}

// add makes the files of one image.
func (r *Release) add(f Firmware, name string) (c manifest.Component, err error) {
	ctx, img := context.Background(), f.Images[name]
	r.Files["image/"+name] = img
	if f.Plain {
		return manifest.Component{Module: name, Vendor: f.Vendor, Class: f.Class, Version: f.Version,
			Image: manifest.Payload{Digest: sha256.Sum256(img), Size: uint64(len(img))}}, nil
	}
	var pack bytes.Buffer
	p, err := image.WritePack(ctx, &pack, bytes.NewReader(img))
	if err != nil {
		return c, err
	}
	index, err := p.Index.Marshal()
	if err != nil {
		return c, err
	}
	c = manifest.Component{Module: name, Vendor: f.Vendor, Class: f.Class, Version: f.Version,
		Image: manifest.Payload{Digest: manifest.Digest(p.Image), Size: uint64(len(img))}}
	sum, err := p.Index.Digest()
	if err != nil {
		return c, err
	}
	c.Index = &manifest.Payload{Digest: manifest.Digest(sum), Size: uint64(len(index))}
	r.Files["index/"+name], r.Files["pack/"+name] = index, pack.Bytes()
	old := f.Old[name]
	if old == nil {
		return c, nil
	}
	base, err := image.Build(ctx, bytes.NewReader(old), nil)
	if err != nil {
		return c, err
	}
	var d bytes.Buffer
	_, err = delta.Diff(ctx, &d, delta.Image{ReaderAt: bytes.NewReader(old), Built: *base}, delta.Image{ReaderAt: bytes.NewReader(img), Built: p.Built},
		delta.DiffConfig{TempDir: os.TempDir()})
	r.Files["delta/"+name+"/"+hex.EncodeToString(base.Image[:])] = d.Bytes()
	return c, err
}
