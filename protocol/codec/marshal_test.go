package codec_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
)

type text string

func (t text) MarshalJSON() ([]byte, error) { return json.Marshal("(" + string(t) + ")") }
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	err := json.Unmarshal(b, &s)
	*t = text(strings.Trim(s, "()"))
	return err
}

type sample struct {
	Zulu  string          `json:"Zulu"`
	Alpha int64           `json:"Alpha"`
	Raw   json.RawMessage `json:"Raw"`
	Blob  []byte          `json:"Blob"`
	Own   text            `json:"Own"`
	List  []int           `json:"List,omitzero"`
	Left  string          `json:"Left,omitempty"`
}

func TestMarshal(t *testing.T) {
	in := sample{Zulu: "a&b", Alpha: 1 << 60, Raw: json.RawMessage(`{"x":[1,2.5,"y"]}`), Blob: []byte{1, 2}, Own: "o", List: []int{}}
	b, err := codec.Marshal(codec.JSON, in)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b), `{"Zulu":"a&b","Alpha":1152921504606846976,"Raw":{"x":[1,2.5,"y"]},"Blob":"AQI=","Own":"(o)","List":[]}`; got != want {
		t.Errorf("JSON = %s, want %s", got, want)
	}
	c, err := codec.Marshal(codec.CBOR, in)
	if err != nil {
		t.Fatal(err)
	}
	if got := codec.Detect(c); got != codec.CBOR {
		t.Errorf("Detect = %v", got)
	}
	d := decode(t, c)
	defer d.Release()
	if b, ok := d.Root().Get("Blob").Bytes(); !ok || string(b) != "\x01\x02" {
		t.Errorf("Blob = %x, %v: want a byte string", b, ok)
	}
	if s, _ := d.Root().Path("Raw").Get("x").Index(2).Str(); s != "y" {
		t.Errorf("Raw = %s", d.Root().Get("Raw").AppendJSON(nil))
	}
	for name, payload := range map[string][]byte{"JSON": b, "CBOR": c} {
		var out sample
		if err := codec.Unmarshal(payload, &out); err != nil {
			t.Errorf("Unmarshal %s: %v", name, err)
		} else if !reflect.DeepEqual(out, in) {
			t.Errorf("Unmarshal %s = %+v, want %+v", name, out, in)
		}
	}
}

func TestMarshalRepeats(t *testing.T) {
	m := map[string]int{"b": 1, "a": 2, "cc": 3, "d": 4}
	for _, f := range []codec.Format{codec.JSON, codec.CBOR} {
		first, err := codec.Marshal(f, m)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if again, _ := codec.Marshal(f, m); string(again) != string(first) {
				t.Fatalf("%v differs from call to call", f)
			}
		}
	}
}

func TestUnmarshal(t *testing.T) {
	var s sample
	for _, bad := range []string{`{"Zulu":"x"`, "{\"Zulu\":\"\xff\"}", `{"Alpha":NaN}`} {
		var syntax *codec.SyntaxError
		if err := codec.Unmarshal([]byte(bad), &s); !errors.As(err, &syntax) {
			t.Errorf("Unmarshal(%q) = %v, want a SyntaxError", bad, err)
		}
	}
	if err := codec.Unmarshal([]byte(`{"Alpha":"text"}`), &s); err == nil {
		t.Error("a string was taken for a number")
	}
	if err := codec.Unmarshal([]byte(strings.Repeat("[", 100)), &s); !errors.Is(err, codec.ErrTooDeep) {
		t.Errorf("Unmarshal = %v, want ErrTooDeep", err)
	}
	// Indefinite lengths, an unknown field, and a key that comes twice: the last one counts, as in JSON.
	b, err := hex.DecodeString("bf645a756c75616161789f01ff645a756c757f61626163ffff")
	if err != nil {
		t.Fatal(err)
	}
	s = sample{}
	if err := codec.Unmarshal(b, &s); err != nil || s.Zulu != "bc" {
		t.Errorf("Unmarshal = %v, Zulu = %q, want bc", err, s.Zulu)
	}
}

func TestUnmarshalAny(t *testing.T) {
	var v any
	if err := codec.Unmarshal([]byte("\xa1\x61a\x81\x01"), &v); err != nil {
		t.Fatal(err)
	}
	if got, want := v, any(map[string]any{"a": []any{int64(1)}}); !reflect.DeepEqual(got, want) {
		t.Errorf("Unmarshal = %#v, want %#v", got, want)
	}
}

func TestConvert(t *testing.T) {
	c, err := codec.ToCBOR([]byte(`{"a":[1,"x"]}`), codec.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	j, err := codec.ToJSON(c, codec.Limits{})
	if err != nil || string(j) != `{"a":[1,"x"]}` {
		t.Errorf("ToJSON = %s, %v", j, err)
	}
	if _, err := codec.ToJSON([]byte(`{`), codec.Limits{}); err == nil {
		t.Error("a broken payload was converted")
	}
}
