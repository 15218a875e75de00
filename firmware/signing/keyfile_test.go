package signing_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/firmware/signing"
)

func TestKeyFiles(t *testing.T) {
	k := key("release a")
	public, err := signing.ParsePublicKey(signing.MarshalPublicKey(k.Public()))
	if err != nil || public != k.Public() {
		t.Errorf("public key: %v", err)
	}
	open, err := signing.MarshalPrivateKey(k, "")
	if err != nil || signing.NeedsPassphrase(open) {
		t.Fatalf("an open key needs a passphrase (%v)", err)
	}
	if got, err := signing.ParsePrivateKey(open, "whatever"); err != nil || got.Public() != k.Public() {
		t.Errorf("an open key: %v", err)
	}
	const right = "Grüße an alle"
	b, err := signing.MarshalPrivateKey(k, right)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := signing.ParsePrivateKey(b, right); err != nil || got.Public() != k.Public() || !signing.NeedsPassphrase(b) {
		t.Errorf("an encrypted key: %v", err)
	}
	if _, err := signing.ParsePrivateKey(b, ""); !errors.Is(err, signing.ErrPassphraseNeeded) {
		t.Errorf("no passphrase: %v", err)
	}
	if _, err := signing.ParsePrivateKey(b, "wrong"); !errors.Is(err, signing.ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if _, err := signing.ParsePrivateKey(signing.MarshalPublicKey(k.Public()), ""); !errors.Is(err, signing.ErrKeyFile) {
		t.Errorf("a public key for a private one: %v", err)
	}
	if _, err := signing.ParsePublicKey(b); !errors.Is(err, signing.ErrKeyFile) {
		t.Errorf("a private key for a public one: %v", err)
	}
	if other, err := signing.MarshalPrivateKey(k, right); err != nil || bytes.Equal(b, other) {
		t.Errorf("the same salt twice (%v)", err)
	}
}

// Key files are OpenSSL's too: what one has written the other reads.
func TestKeyFilesAreOpenSSLs(t *testing.T) {
	dir := t.TempDir()
	openssl := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	ours, err := signing.MarshalPrivateKey(key("release a"), "right")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ours.pem"), ours, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := openssl("pkey", "-in", "ours.pem", "-passin", "pass:right", "-pubout"), string(signing.MarshalPublicKey(key("release a").Public())); got != want {
		t.Errorf("openssl reads our file as\n%s, want\n%s", got, want)
	}
	openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:theirs", "-out", "theirs.pem")
	theirs, err := os.ReadFile(filepath.Join(dir, "theirs.pem"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := signing.ParsePrivateKey(theirs, "theirs")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(signing.MarshalPublicKey(k.Public())), openssl("pkey", "-in", "theirs.pem", "-passin", "pass:theirs", "-pubout"); got != want {
		t.Errorf("we read openssl's file as\n%s, want\n%s", got, want)
	}
	openssl("genpkey", "-algorithm", "RSA", "-out", "rsa.pem")
	rsa, err := os.ReadFile(filepath.Join(dir, "rsa.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signing.ParsePrivateKey(rsa, ""); !errors.Is(err, signing.ErrKeyFile) || !strings.Contains(err.Error(), "Ed25519") {
		t.Errorf("an RSA key: %v", err)
	}
}

func FuzzParsePrivateKey(f *testing.F) {
	b, err := signing.MarshalPrivateKey(key("release a"), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(signing.MarshalPublicKey(key("release a").Public()))
	f.Fuzz(func(t *testing.T, b []byte) {
		// What is within an encrypted key FuzzUnwrapEncrypted tries, which derives no key.
		k, err := signing.ParsePrivateKey(b, "")
		if err != nil {
			return
		}
		if _, err := signing.ParsePublicKey(signing.MarshalPublicKey(k.Public())); err != nil {
			t.Error(err)
		}
	})
}
