package update

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/hawser-iot/hawser/firmware/signing"
)

func TestPlanComesBack(t *testing.T) {
	want := &plan{Phase: trial, Transitions: 7, Deployment: "17", Attempt: 2, Step: 128, Module: "default", Version: "2.0", Digest: make([]byte, 32),
		ManifestURL: "https://hub/f/x/manifest", Envelope: []byte{1}, Assignment: []byte{2}, Asks: 1, From: "A", Net: 1 << 40, State: "trial",
		Class: "NET", Trials: 1, Done: 1 << 32, Agreed: true, Stock: &stock{URL: "https://hub/x", MD5: "00", Size: 7, Sum: []byte{3}}}
	b, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parsePlan(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func FuzzParsePlan(f *testing.F) {
	b, err := (&plan{Phase: offered, Stock: &stock{}}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePlan(b)
		if err != nil {
			return
		}
		if again, err := p.encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x was read and is written as %x, %v", b, again, err)
		}
	})
}

func FuzzParseSlots(f *testing.F) {
	i := installed{Module: "default", Version: "2.0", Sequence: 3, Manifest: make([]byte, 32), Image: make([]byte, 32), Size: 9}
	s := slots{sides: []side{{Slot: "A", Module: "default", Installed: []installed{i}}}, envelopes: [][]byte{{1}}}
	b, err := s.encode([]byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[32:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := parseSides(b); err == nil {
			got.put(side{Slot: "B", Installed: []installed{i}}, b)
			if _, err := got.encode(nil); err != nil {
				t.Errorf("%x was read and can't be written: %v", b, err)
			}
		}
		if _, err := parseSlots(b, []byte("secret")); err == nil && len(b) > 0 && !bytes.Equal(b[:32], slotsCode([]byte("secret"), b[32:])) {
			t.Errorf("%x was taken", b)
		}
	})
}

func FuzzParseTrust(f *testing.F) {
	t := trust{state: signing.State{Counter: 3}, installed: map[string]installed{
		"default": {Module: "default", Version: "2.0", Sequence: 3, Manifest: make([]byte, 32), Image: make([]byte, 32), Size: 9}}}
	b, err := t.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := parseTrust(b); err == nil {
			if _, err := got.encode(); err != nil {
				t.Errorf("%x was read and can't be written: %v", b, err)
			}
		}
	})
}
