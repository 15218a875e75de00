package api

import "testing"

func TestRangeOf(t *testing.T) {
	for header, want := range map[string]struct {
		from, n int64
		partial bool
	}{
		"": {0, 100, false}, "bytes=0-": {0, 100, true}, "bytes=10-19": {10, 10, true}, "bytes=90-200": {90, 10, true}, "bytes=-5": {95, 5, true},
		"bytes=-500": {0, 100, true}, "bytes=100-": {0, -1, false}, "bytes=-0": {0, -1, false}, "bytes=5-4": {0, 100, false}, "bytes=-": {0, 100, false},
		"bytes=0-1,3-4": {0, 100, false}, "lines=0-1": {0, 100, false}, "bytes=a-": {0, 100, false}, "bytes=-9223372036854775807": {0, 100, true},
		"bytes=18446744073709551615-": {0, 100, false},
	} {
		from, n, partial := rangeOf(header, 100)
		if from != want.from || n != want.n || partial != want.partial {
			t.Errorf("%q: got %d, %d, %v", header, from, n, partial)
		}
	}
}

func FuzzRangeOf(f *testing.F) {
	f.Add("bytes=0-5", int64(10))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		from, n, _ := rangeOf(header, size)
		if n >= 0 && (from < 0 || from > size || n > size-from) {
			t.Errorf("%q of %d: %d, %d", header, size, from, n)
		}
	})
}
