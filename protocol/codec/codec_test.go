package codec_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
)

func decode(t testing.TB, b []byte) *codec.Doc {
	t.Helper()
	d, err := codec.Decode(b, codec.Limits{})
	if err != nil {
		t.Fatalf("Decode(%q) = %v", b, err)
	}
	return d
}

func TestJSONRoundTrip(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty object", `{}`, `{}`},
		{"blanks", " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n", `{"a":[1,2],"b":{}}`},
		{"literals", `[true,false,null]`, `[true,false,null]`},
		{"integers", `[0,-0,-1,9007199254740993,9223372036854775807,-9223372036854775808]`,
			`[0,0,-1,9007199254740993,9223372036854775807,-9223372036854775808]`},
		{"beyond int64", `[9223372036854775808,18446744073709551615,18446744073709551616,-9223372036854775809]`,
			`[9223372036854775808,18446744073709551615,18446744073709551616,-9223372036854775809]`},
		{"floats as written", `[1.0,20.200001,-0.0,0.10]`, `[1.0,20.200001,-0.0,0.10]`},
		{"no exponents", `[1e3,2E-2,1.5e+1,-1e0,1e21]`, `[1000.0,0.02,15.0,-1.0,1000000000000000000000.0]`},
		{"no HTML escapes", `["a&b<c>\u2028"]`, "[\"a&b<c>\u2028\"]"},
		{"escapes", `["\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00"]`, "[\"\\\"\\\\/\\u0008\\u000c\\n\\r\\tAé😀\"]"},
		{"escaped key", `{"a\"b":1,"\u0063":2}`, `{"a\"b":1,"c":2}`},
		{"last wins", `{"a":1,"b":2,"a":3}`, `{"b":2,"a":3}`},
		{"last wins by content", `{"a":1,"\u0061":{"x":1}}`, `{"a":{"x":1}}`},
		{"scalar", `"x"`, `"x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := decode(t, []byte(tt.in))
			defer d.Release()
			if got := string(d.Root().AppendJSON(nil)); got != tt.want {
				t.Errorf("AppendJSON = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestCBORToJSON(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "a0", `{}`},
		{"self-described", "d9d9f7a0", `{}`},
		{"self-described array", "d9d9f78101", `[1]`},
		{"indefinite map", "bf6161 01ff", `{"a":1}`},
		{"indefinite array", "a16161 9f0102ff", `{"a":[1,2]}`},
		{"indefinite text", "a16161 7f6162 6163ff", `{"a":"bc"}`},
		{"integers", "a16161 85 00 1818 20 1b7fffffffffffffff 3b7fffffffffffffff", `{"a":[0,24,-1,9223372036854775807,-9223372036854775808]}`},
		{"uint64", "a16161 1bffffffffffffffff", `{"a":18446744073709551615}`},
		{"half", "a16161 f93c00", `{"a":1.0}`},
		{"single", "a16161 fa41ab3333", `{"a":21.4}`},
		{"double", "a16161 fb4035666666666666", `{"a":21.4}`},
		{"bytes", "a16161 43010203", `{"a":"AQID"}`},
		{"simple", "a16161 84 f4 f5 f6 f7", `{"a":[false,true,null,null]}`},
		{"tag 1", "a16161 c11a514b67b0", `{"a":1363896240}`},
		{"duplicate", "a3 6161 01 6162 02 6161 03", `{"b":2,"a":3}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := hex.DecodeString(strings.ReplaceAll(tt.in, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			d := decode(t, b)
			defer d.Release()
			if got := string(d.Root().AppendJSON(nil)); got != tt.want {
				t.Errorf("AppendJSON = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	lim := codec.Limits{Size: 64, Depth: 3, Count: 8}
	tests := []struct {
		name string
		in   string
		want error
	}{
		{"size", `"` + strings.Repeat("x", 63) + `"`, codec.ErrTooLarge},
		{"depth", `[[[[]]]]`, codec.ErrTooDeep},
		{"depth fits", `[[[1]]]`, nil},
		{"count", `[1,2,3,4,5,6,7,8]`, codec.ErrTooMany},
		{"count fits", `[1,2,3,4,5,6,7]`, nil},
		{"CBOR depth", "\xa1\x61a\x81\x81\x81\x01", codec.ErrTooDeep},
		{"CBOR tags", "\xa1\x61a\xc1\xc1\xc1\x01", codec.ErrTooDeep},
		{"CBOR count", "\xa1\x61a\x88\x01\x02\x03\x04\x05\x06\x07\x08", codec.ErrTooMany},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := codec.Decode([]byte(tt.in), lim)
			if !errors.Is(err, tt.want) {
				t.Errorf("Decode = %v, want %v", err, tt.want)
			}
			d.Release()
		})
	}
}
