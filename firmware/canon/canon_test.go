package canon_test

import (
	"errors"
	"testing"

	"github.com/hawser-iot/hawser/firmware/canon"
)

type document struct {
	A int              `cbor:"1,keyasint"`
	B []byte           `cbor:"2,keyasint,omitempty"`
	C map[string]int   `cbor:"3,keyasint,omitempty"`
	D []map[string]int `cbor:"-256,keyasint,omitempty"`
}

func TestUnmarshal(t *testing.T) {
	tests := []struct {
		name, in string
		want     error
	}{
		{"as written", "\xa1\x01\x05", nil},
		{"with bytes", "\xa2\x01\x05\x02\x41x", nil},
		{"nothing", "", canon.ErrMalformed},
		{"a byte behind it", "\xa1\x01\x05\x00", canon.ErrMalformed},
		{"a number longer than need be", "\xa1\x01\x18\x05", canon.ErrNotDeterministic},
		{"a length longer than need be", "\xa2\x01\x05\x02\x58\x01x", canon.ErrNotDeterministic},
		{"keys in another order", "\xa2\x02\x41x\x01\x05", canon.ErrNotDeterministic},
		{"a key twice", "\xa2\x01\x05\x01\x05", canon.ErrMalformed},
		{"an unknown key", "\xa2\x01\x05\x04\x05", canon.ErrMalformed},
		{"an empty member that would be left out", "\xa2\x01\x05\x02\x40", canon.ErrNotDeterministic},
		{"a missing member", "\xa0", canon.ErrNotDeterministic},
		{"no definite length", "\xbf\x01\x05\xff", canon.ErrMalformed},
		{"a string in parts", "\xa2\x01\x05\x02\x5f\x41x\xff", canon.ErrMalformed},
		{"a tag", "\xc1\xa1\x01\x05", canon.ErrMalformed},
		{"a float", "\xa1\x01\xf9\x45\x00", canon.ErrMalformed},
		{"null", "\xf6", canon.ErrNotDeterministic},
		{"no UTF-8", "\xa2\x01\x05\x03\xa1\x61\xff\x05", canon.ErrMalformed},
		{"too deep", "\xa2\x01\x05\x04" + "\x81\x81\x81\x81\x81\x81\x81\x81\x81\x01", canon.ErrMalformed},
		{"too long", "\xa2\x01\x05\x02\x58\x40" + string(make([]byte, 64)), canon.ErrTooLarge},
		{"a length that is not there", "\xa2\x01\x05\x02\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", canon.ErrMalformed},
	}
	for _, tt := range tests {
		var d document
		if err := canon.Unmarshal([]byte(tt.in), 64, &d); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte("\xa3\x01\x05\x02\x41x\x03\xa1\x61a\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d document
		if canon.Unmarshal(b, 256, &d) != nil {
			return
		}
		if again, err := canon.Marshal(&d); err != nil || string(again) != string(b) {
			t.Errorf("read %x, written %x (%v)", b, again, err)
		}
	})
}
