package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/keyring"
)

// inClear puts the CA's key into its file as earlier versions did, and returns the bytes that nobody may find.
func inClear(t *testing.T, dir string) []byte {
	t.Helper()
	pair, _, err := openPair(dir, ring)
	if err != nil {
		t.Fatal(err)
	}
	key := pair.PrivateKey.(*ecdsa.PrivateKey)
	text, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, caKey), text, 0o600); err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// nowhere holds that no file in dir has the key: neither its bytes nor a PEM of them.
func nowhere(t *testing.T, dir string, raw []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := bytes.Contains(b, raw)
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			found = found || bytes.Contains(block.Bytes, raw)
		}
		if found {
			t.Errorf("%s gives the CA's key away", name)
		}
	}
}

func TestKeyIsSealed(t *testing.T) {
	dir := t.TempDir()
	first := load(t, dir)
	raw := inClear(t, dir)
	old, err := os.Open(filepath.Join(dir, caKey))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	if done, err := Seal(dir, ring); !done || err != nil {
		t.Fatalf("a key in clear: sealed %v, %v", done, err)
	}
	nowhere(t, dir, raw)
	left := make([]byte, 4096)
	if n, _ := old.ReadAt(left, 0); bytes.Count(left[:n], []byte{0}) != n {
		t.Errorf("the file before has still %q", left[:n])
	}
	if done, err := Seal(dir, ring); done || err != nil {
		t.Errorf("a second time: sealed %v, %v", done, err)
	}
	// It issues still.
	if more := load(t, dir, "other.example.com"); more.Certificate().CheckSignatureFrom(rootOf(t, first)) != nil {
		t.Error("the CA did not stay")
	}
	if info, err := os.Stat(filepath.Join(dir, caKey)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestKeyIsSealedAnew(t *testing.T) {
	dir := t.TempDir()
	ring, err := keyring.Load(filepath.Join(t.TempDir(), "keyring"), "")
	if err == nil {
		err = ring.Keep()
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err := Load(dir, nil, ring)
	if err != nil {
		t.Fatal(err)
	}
	before := ring.Sealing()
	if id, err := SealedUnder(dir); id != before || err != nil {
		t.Fatalf("sealed under %q, %v", id, err)
	}
	if _, err := ring.Add(); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Activate(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(); err != nil {
		t.Fatal(err)
	}
	if id, err := SealedUnder(dir); id != ring.Sealing() || id == before || err != nil {
		t.Errorf("after a change of keys it is sealed under %q, %v", id, err)
	}
	if err := ring.Remove(before); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openPair(dir, ring); err != nil {
		t.Errorf("without the key before: %v", err)
	}
}

func TestForeignKeyring(t *testing.T) {
	dir := t.TempDir()
	load(t, dir)
	_, err := Load(dir, nil, keyring.New())
	var unknown *keyring.UnknownKeyError
	if !errors.Is(err, ErrFile) || !errors.As(err, &unknown) || !strings.Contains(err.Error(), caKey) {
		t.Errorf("another ring: %v", err)
	}
	// A key of another certificate does not open, though the ring has it.
	other := t.TempDir()
	load(t, other)
	b, err := os.ReadFile(filepath.Join(other, caKey))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, caKey), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openPair(dir, ring); !errors.Is(err, keyring.ErrSealed) {
		t.Errorf("another CA's key: %v", err)
	}
	if _, err := Load(dir, nil, ring); err != nil {
		t.Errorf("a certificate that will do needs no key: %v", err)
	}
	if _, err := Load(dir, []string{"new.example.com"}, ring); !errors.Is(err, ErrFile) {
		t.Errorf("one that will not: %v", err)
	}
	var none tls.Certificate
	if pair, _, err := openPair(t.TempDir(), ring); !errors.Is(err, os.ErrNotExist) || len(pair.Certificate) != len(none.Certificate) {
		t.Errorf("no CA: %v", err)
	}
}
