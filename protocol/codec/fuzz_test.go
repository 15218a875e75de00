package codec_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// FuzzDecode holds Decode against the standard library and against itself: what it accepts others accept, and writing a
// document and reading it back gives the same document, in both formats.
func FuzzDecode(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.payload(f))
	}
	wellformed, err := cbor.DecOptions{MaxNestedLevels: 1000}.DecMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := codec.Decode(b, codec.Limits{Size: 4096, Depth: 16, Count: 500})
		if err != nil {
			if class(err) == "unknown" {
				t.Fatalf("error of no class: %v", err)
			}
			return
		}
		defer d.Release()
		if d.Format() == codec.JSON && !json.Valid(b) {
			t.Errorf("Decode accepted bad JSON %q", b)
		}
		if d.Format() == codec.CBOR {
			if err := wellformed.Wellformed(b); err != nil {
				t.Errorf("Decode accepted bad CBOR %x: %v", b, err)
			}
		}
		again(t, d, codec.JSON, d.Root().AppendJSON(nil))
		again(t, d, codec.CBOR, d.Root().AppendCBOR(nil))
	})
}

func again(t *testing.T, d *codec.Doc, f codec.Format, b []byte) {
	t.Helper()
	if f == codec.JSON && !json.Valid(b) {
		t.Fatalf("AppendJSON wrote bad JSON %q", b)
	}
	e, err := codec.DecodeAs(f, b, codec.Limits{Size: 4 << 20, Depth: 16, Count: 500})
	if err != nil {
		t.Fatalf("reading back %v %q: %v", f, b, err)
	}
	defer e.Release()
	var same bool
	if f == codec.CBOR {
		same = string(e.Root().AppendCBOR(nil)) == string(b)
	} else {
		same = string(e.Root().AppendJSON(nil)) == string(b)
	}
	if !same {
		t.Fatalf("%v %q is written differently the second time", f, b)
	}
}

// FuzzJSONValue compares the values of a JSON document with those that encoding/json finds.
func FuzzJSONValue(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.payload(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := codec.DecodeAs(codec.JSON, b, codec.Limits{Size: 4096, Depth: 16, Count: 500})
		if err != nil {
			return
		}
		defer d.Release()
		var want, got any
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", b, err)
		}
		if err := json.Unmarshal(d.Root().AppendJSON(nil), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) { // -0 equals 0 here, as it should
			t.Errorf("%q: got %v, want %v", b, got, want)
		}
	})
}
