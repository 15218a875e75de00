package manifest_test

import (
	"math"
	"testing"

	"github.com/hawser-iot/hawser/firmware/manifest"
)

// TestEveryVersionCanBeShown: what was signed may have any numbers.
func TestEveryVersionCanBeShown(t *testing.T) {
	for n, want := range map[int64]string{math.MinInt64: "1-9223372036854775808", -4: "1-4", -3: "1-alpha", math.MaxInt64: "1.9223372036854775807"} {
		if got := (manifest.Version{1, n}).String(); got != want {
			t.Errorf("[1, %d] is shown as %q, want %q", n, got, want)
		}
	}
}

// TestSizesAreBounded: a size that no file has, and that would be negative where files are read, is refused.
func TestSizesAreBounded(t *testing.T) {
	for size, ok := range map[uint64]bool{math.MaxInt64: true, 1 << 63: false, math.MaxUint64: false} {
		m := full()
		m.Components[0].Image.Size = size
		if _, err := m.Encode(); ok != (err == nil) {
			t.Errorf("an image of %d bytes: %v", size, err)
		}
		m = full()
		m.Components[0].Index.Size = size
		if _, err := m.Encode(); ok != (err == nil) {
			t.Errorf("an index of %d bytes: %v", size, err)
		}
	}
}
