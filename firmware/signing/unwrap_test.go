package signing

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzUnwrapEncrypted takes encrypted keys apart without the work of a passphrase: whatever comes is within bounds, or refused.
func FuzzUnwrapEncrypted(f *testing.F) {
	der, err := wrapEncrypted(make([]byte, 64), bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16))
	if err != nil {
		f.Fatal(err)
	}
	if data, kdf, iv, err := unwrapEncrypted(der); err != nil || len(data) != 64 || kdf.Iterations != iterations || len(iv) != 16 {
		f.Fatalf("%d bytes, %+v, %x, %v", len(data), kdf, iv, err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, b []byte) {
		data, kdf, iv, err := unwrapEncrypted(b)
		switch {
		case err != nil && !errors.Is(err, ErrKeyFile):
			t.Fatalf("an error without a name: %v", err)
		case err == nil && (len(data) == 0 || len(data)%16 != 0 || len(iv) != 16 || kdf.Iterations < 1 || kdf.Iterations > maxIterations):
			t.Fatalf("out of bounds: %d bytes, %+v, %x", len(data), kdf, iv)
		}
	})
}
