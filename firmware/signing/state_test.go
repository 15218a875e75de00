package signing_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// TestStateThatIsWrittenCanBeRead: root documents that bring ever more floors do not make a record that nobody can read again.
func TestStateThatIsWrittenCanBeRead(t *testing.T) {
	old := &signing.Root{}
	var s signing.State
	for n := range 400 {
		next := &signing.Root{}
		next.SetFloor(signing.Floor{Class: manifest.ClassID(manifest.VendorID("example.com"), fmt.Sprint(n)), Module: "default", Sequence: 7})
		s = s.Adopt(old, next)
		b, err := s.Encode()
		if errors.Is(err, canon.ErrTooLarge) {
			if n < 100 {
				t.Errorf("only %d floors have room", n)
			}
			return
		}
		if err == nil {
			_, err = signing.ParseState(b)
		}
		if err != nil {
			t.Fatalf("%d floors: %v", n+1, err)
		}
	}
	t.Error("nothing was refused")
}
