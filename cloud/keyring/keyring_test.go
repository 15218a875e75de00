package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, file string) *Keyring {
	t.Helper()
	k, err := Load(file, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealOpen(t *testing.T) {
	k, other := New(), New()
	sealed := k.Seal([]byte("hush"), "device.secret:7")
	if bytes.Contains(sealed, []byte("hush")) || !Sealed(sealed) || KeyOf(sealed) != k.Sealing() || !bytes.HasPrefix(sealed, k.Prefix()) {
		t.Errorf("sealed value %x", sealed)
	}
	if plain, err := k.Open(sealed, "device.secret:7"); err != nil || string(plain) != "hush" {
		t.Errorf("Open = %q, %v", plain, err)
	}
	if again := k.Seal([]byte("hush"), "device.secret:7"); bytes.Equal(again, sealed) {
		t.Error("two values are alike")
	}
	if _, err := k.Open(sealed, "device.secret:8"); !errors.Is(err, ErrSealed) {
		t.Errorf("in another row: %v", err)
	}
	var unknown *UnknownKeyError
	if _, err := other.Open(sealed, "device.secret:7"); !errors.As(err, &unknown) || unknown.ID != k.Sealing() {
		t.Errorf("with another ring: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if plain, err := k.Open(bad, "device.secret:7"); err == nil {
			t.Errorf("byte %d changed: opens as %q", i, plain)
		}
	}
	for n := range sealed {
		if _, err := k.Open(sealed[:n], "device.secret:7"); !errors.Is(err, ErrSealed) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keyring")
	k := open(t, file)
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("Load wrote a file")
	}
	if err := k.Keep(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("file: %v, %v", info, err)
	}
	old := k.Seal([]byte("hush"), "x")
	second := open(t, file) // another node
	added, err := k.Add()
	if err != nil || k.Sealing() == added.ID {
		t.Fatalf("Add: %v, %v seals", err, k.Sealing())
	}
	if changed, err := second.Reload(); err != nil || !changed || !second.Has(added.ID) || second.Sealing() == added.ID {
		t.Fatalf("Reload: %v, %v", changed, err)
	}
	if done, err := k.Activate(); err != nil || !done || k.Sealing() != added.ID {
		t.Fatalf("Activate: %v, %v", done, err)
	}
	if done, err := k.Activate(); err != nil || done {
		t.Errorf("a second Activate: %v, %v", done, err)
	}
	for name, b := range map[string][]byte{"old": old, "new": k.Seal([]byte("hush"), "x")} {
		if plain, err := second.Open(b, "x"); err != nil || string(plain) != "hush" {
			t.Errorf("other node, %s key: %q, %v", name, plain, err)
		}
	}
	if err := k.Remove(added.ID); err == nil {
		t.Error("the key that seals was removed")
	}
	if err := k.Remove(KeyOf(old)); err != nil {
		t.Fatal(err)
	}
	if got := open(t, file).Keys(); len(got) != 1 || got[0].ID != added.ID {
		t.Errorf("left are %v", got)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env, err := Load("/nowhere", strings.ReplaceAll(strings.TrimPrefix(string(text), about), "\n", ","))
	if err != nil || env.Sealing() != added.ID {
		t.Fatalf("out of the environment: %v", err)
	}
	if _, err := env.Add(); !errors.Is(err, ErrNoFile) {
		t.Errorf("Add without file: %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	good := newSet([]*key{newKey(New().Keys()[0].Created)}).text()
	line := strings.TrimPrefix(good, about)
	tests := map[string]string{
		"empty":        "",
		"only remarks": about,
		"only standby": strings.TrimSpace(line) + " standby\n",
		"other id":     "00000000" + line[8:],
		"short key":    "AAAA\n",
		"no base64":    line + "????????????\n",
		"two keys":     strings.TrimSpace(line) + " " + strings.Fields(line)[2],
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse(text, "file", "file")
			if !errors.Is(err, ErrFile) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), strings.Fields(line)[2]) {
				t.Errorf("%v shows the key", err)
			}
		})
	}
	if k, err := parse(strings.Fields(line)[2], "env", ""); err != nil || k.Sealing() != line[:8] {
		t.Errorf("a bare key: %v", err)
	}
}

func TestPrintsNoKey(t *testing.T) {
	k := New()
	b := k.set.Load().seal.bytes
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k); strings.Contains(got, fmt.Sprint(b[0], b[1])) || !strings.Contains(got, k.Sealing()) {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestDerive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keyring")
	k := open(t, file)
	if err := k.Keep(); err != nil {
		t.Fatal(err)
	}
	first := k.Derive("tickets")
	if len(first) != 1 || first[0] == k.Derive("nonces")[0] || first[0] == k.set.Load().seal.bytes {
		t.Error("derived secrets are not distinct")
	}
	if _, err := k.Add(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Activate(); err != nil {
		t.Fatal(err)
	}
	if got := open(t, file).Derive("tickets"); len(got) != 2 || got[1] != first[0] || got[0] == first[0] {
		t.Error("the old key's secret is not behind the new one's")
	}
}

func BenchmarkSeal(b *testing.B) {
	k, plain := New(), []byte("k3v6w1z9k3v6w1z9")
	b.ReportAllocs()
	for b.Loop() {
		k.Seal(plain, "device.secret:1764208800000001")
	}
}

func BenchmarkOpen(b *testing.B) {
	k := New()
	sealed := k.Seal([]byte("k3v6w1z9k3v6w1z9"), "device.secret:1764208800000001")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open(sealed, "device.secret:1764208800000001"); err != nil {
			b.Fatal(err)
		}
	}
}
