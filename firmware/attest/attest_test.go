package attest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

var (
	secret = []byte("q8k2v0d7y5c1n3x9")
	report = Report{Booted: manifest.Digest(bytes.Repeat([]byte{0xab}, 32)), Slot: "B", Sequence: 8, TriesLeft: 3, Confirmed: true, Root: 2}
)

const deployment = 412233445566778899

func sealed(t testing.TB, r Report) []byte {
	t.Helper()
	b, err := r.Seal(secret, deployment)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGolden is the example of docs/formats/handshake.md.
func TestGolden(t *testing.T) {
	const want = "82" + "582f" + "a6" + "015820" + "abababababababababababababababababababababababababababababababab" +
		"026142" + "0308" + "0403" + "05f5" + "0602" + "5820" + "b9b16104be787dca74409c98367c055280ed27539d886594670639f2ab329a77"
	got := hex.EncodeToString(sealed(t, report))
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, r := range []Report{report, {}, {Slot: "rootfs.1", Sequence: 1 << 63}} {
		if got, err := Open(sealed(t, r), secret, deployment); err != nil || got != r {
			t.Errorf("got %+v, %v, want %+v", got, err, r)
		}
	}
	if _, err := (Report{Slot: strings.Repeat("x", 65)}).Seal(secret, deployment); !errors.Is(err, ErrInvalid) {
		t.Errorf("a long slot: %v", err)
	}
}

// TestForged: no bit of it can be another one, and it is of no use for another deployment or device.
func TestForged(t *testing.T) {
	good := sealed(t, report)
	for i := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			if _, err := Open(b, secret, deployment); err == nil {
				t.Errorf("byte %d, bit %d changed: taken", i, bit)
			}
		}
	}
	if _, err := Open(good, secret, deployment+1); !errors.Is(err, ErrMAC) || failure.Of(err) != failure.Auth {
		t.Errorf("another deployment: %v", err)
	}
	if _, err := Open(good, []byte("another secret"), deployment); !errors.Is(err, ErrMAC) {
		t.Errorf("another secret: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	good := sealed(f, report)
	f.Add(good)
	f.Add([]byte{0x82, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Open(b, secret, deployment); err == nil && !bytes.Equal(b, good) {
			t.Errorf("taken: %x", b)
		}
	})
}
