package signing_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/signing"
)

func configuration() signing.Configuration {
	issued := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	return signing.Configuration{Device: "70ly1tvowt696r15.gw-1", Version: "device/3", Counter: 7, Issued: issued, NotAfter: issued.Add(time.Hour),
		Document: []byte("log: {level: debug}\n")}
}

func TestConfiguration(t *testing.T) {
	c := configuration()
	b, err := c.Sign(key("director"))
	if err != nil {
		t.Fatal(err)
	}
	trusts := []signing.PublicKey{key("other").Public(), key("director").Public()}
	got, err := signing.VerifyConfiguration(b, trusts)
	if err != nil || got.Device != c.Device || got.Version != c.Version || got.Counter != c.Counter || !got.Issued.Equal(c.Issued) ||
		!got.NotAfter.Equal(c.NotAfter) || !bytes.Equal(got.Document, c.Document) {
		t.Fatalf("%+v, %v", got, err)
	}
	for about, trusts := range map[string][]signing.PublicKey{"nobody": nil, "somebody else": trusts[:1]} {
		if _, err := signing.VerifyConfiguration(b, trusts); !errors.Is(err, signing.ErrThreshold) {
			t.Errorf("by who trusts %s: %v", about, err)
		}
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := signing.VerifyConfiguration(bad, trusts); failure.Of(err) != failure.Signature {
			t.Fatalf("byte %d is other: %v", i, err)
		}
	}
	if _, err := trusted(t).VerifyAssignment(b); err == nil {
		t.Error("a configuration is taken for an assignment")
	}
	if _, err := signing.VerifyConfiguration(honest(t).assignment, trusts); err == nil {
		t.Error("an assignment is taken for a configuration")
	}
}

func TestConfigurationsThatAreNotSigned(t *testing.T) {
	for want, change := range map[string]func(*signing.Configuration){
		"counter 0":  func(c *signing.Configuration) { c.Counter = 0 },
		"not after":  func(c *signing.Configuration) { c.NotAfter = c.Issued },
		"document":   func(c *signing.Configuration) { c.Document = make([]byte, signing.MaxDocument+1) },
		"device of":  func(c *signing.Configuration) { c.Device = "" },
		"version of": func(c *signing.Configuration) { c.Version = strings.Repeat("x", 200) },
	} {
		c := configuration()
		change(&c)
		if _, err := c.Sign(key("director")); !errors.Is(err, signing.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzConfiguration(f *testing.F) {
	c := configuration()
	good, err := c.Sign(key("director"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	trusts := []signing.PublicKey{key("director").Public()}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := signing.VerifyConfiguration(b, trusts)
		switch {
		case err == nil && !bytes.Equal(b, good):
			t.Fatalf("%x is a configuration that nobody has signed", b)
		case err != nil && failure.Of(err) != failure.Signature:
			t.Fatalf("%v is of class %q", err, failure.Of(err))
		}
	})
}
