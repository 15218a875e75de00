package codec_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
)

func TestValue(t *testing.T) {
	d := decode(t, []byte(`{"n":null,"t":true,"i":-7,"f":2.5,"s":"x\n","a":[1,[2],{"k":3}],"o":{"p":{"q":9223372036854775807}}}`))
	defer d.Release()
	r := d.Root()
	if got := r.Len(); got != 7 {
		t.Errorf("Len = %d, want 7", got)
	}
	for key, want := range map[string]codec.Kind{"n": codec.Null, "t": codec.Bool, "i": codec.Int, "f": codec.Float,
		"s": codec.String, "a": codec.Array, "o": codec.Object, "x": codec.Missing} {
		if got := r.Get(key).Kind(); got != want {
			t.Errorf("Get(%q).Kind = %v, want %v", key, got, want)
		}
	}
	if b, ok := r.Get("t").Bool(); !b || !ok {
		t.Errorf("Bool = %v, %v", b, ok)
	}
	if i, ok := r.Get("i").Int(); i != -7 || !ok {
		t.Errorf("Int = %d, %v", i, ok)
	}
	if i, ok := r.Get("f").Int(); i != 0 || ok {
		t.Errorf("Int of a Float = %d, %v", i, ok)
	}
	if f, ok := r.Get("i").Float(); f != -7 || !ok {
		t.Errorf("Float of an Int = %v, %v", f, ok)
	}
	if s, ok := r.Get("s").Str(); s != "x\n" || !ok {
		t.Errorf("Str = %q, %v", s, ok)
	}
	if i, _ := r.Path("o", "p", "q").Int(); i != math.MaxInt64 {
		t.Errorf("Path = %d", i)
	}
	if i, _ := r.Get("a").Index(2).Get("k").Int(); i != 3 {
		t.Errorf("Index = %d", i)
	}
	for _, v := range []codec.Value{r.Get("a").Index(3), r.Get("a").Index(-1), r.Get("s").Get("x"), r.Path("o", "x", "y"), {}, (*codec.Doc)(nil).Root()} {
		if v.Exists() || v.Any() != nil || v.Len() != 0 {
			t.Errorf("%v exists", v.Any())
		}
	}
	want := map[string]any{"n": nil, "t": true, "i": int64(-7), "f": 2.5, "s": "x\n",
		"a": []any{int64(1), []any{int64(2)}, map[string]any{"k": int64(3)}},
		"o": map[string]any{"p": map[string]any{"q": int64(math.MaxInt64)}}}
	if got := r.Any(); !reflect.DeepEqual(got, want) {
		t.Errorf("Any = %v, want %v", got, want)
	}
}

func TestEachStops(t *testing.T) {
	d := decode(t, []byte(`{"a":1,"b":2,"a":[1,2,3],"c":4}`))
	defer d.Release()
	var keys []string
	d.Root().Each(func(key string, _ codec.Value) bool {
		keys = append(keys, strings.Clone(key))
		return key != "a"
	})
	if got := strings.Join(keys, ""); got != "ba" {
		t.Errorf("keys = %q, want ba", got)
	}
	n := 0
	d.Root().Get("a").Elems(func(i int, v codec.Value) bool { n = i; return i < 1 })
	if n != 1 {
		t.Errorf("Elems went on to %d", n)
	}
}

func TestBytes(t *testing.T) {
	d := decode(t, []byte("\xa2\x61b\x43\x01\x02\x03\x61e\x40"))
	defer d.Release()
	v := d.Root().Get("b")
	if b, ok := v.Bytes(); !ok || string(b) != "\x01\x02\x03" {
		t.Errorf("Bytes = %x, %v", b, ok)
	}
	if _, ok := v.Str(); ok {
		t.Error("a byte string is taken for a string")
	}
	if b, ok := d.Root().Get("e").Bytes(); !ok || len(b) != 0 {
		t.Errorf("empty Bytes = %x, %v", b, ok)
	}
}

func TestLargeObject(t *testing.T) {
	const n = 5000
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		fmt.Fprintf(&b, `"key%d":%d,`, i, i)
	}
	b.WriteString(`"key7":-1}`)
	d := decode(t, []byte(b.String()))
	defer d.Release()
	if got := d.Root().Len(); got != n {
		t.Errorf("Len = %d, want %d", got, n)
	}
	for i := range n {
		want := int64(i)
		if i == 7 {
			want = -1
		}
		if got, ok := d.Root().Get(fmt.Sprintf("key%d", i)).Int(); !ok || got != want {
			t.Fatalf("key%d = %d, %v", i, got, ok)
		}
	}
	if d.Root().Get("key").Exists() {
		t.Error("a key that is not there was found")
	}
}

func TestEqual(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[1,2]}`, `{"b":[1,2.0],"a":1e0}`, true},
		{`[1,2]`, `[2,1]`, false},
		{`[1,2]`, `[1,2,3]`, false},
		{`{"a":null}`, `{}`, false},
		{`{"a":null}`, `{"b":null}`, false},
		{`"1"`, `1`, false},
		{`"\u0041"`, `"A"`, true},
		{`true`, `false`, false},
		{`9007199254740993`, `9007199254740992.0`, false},
		{`9007199254740992`, `9007199254740992.0`, true},
		{`18446744073709551615`, `18446744073709551614`, false},
		{`18446744073709551615`, `18446744073709551615`, true},
		{`0`, `-0.0`, true},
		{`1`, `null`, false},
		{`9223372036854775807`, `9223372036854775808`, false},
	}
	for _, tt := range tests {
		a, b := decode(t, []byte(tt.a)), decode(t, []byte(tt.b))
		if got := a.Root().Equal(b.Root()); got != tt.want {
			t.Errorf("%s equal to %s = %v, want %v", tt.a, tt.b, got, tt.want)
		}
		if got := b.Root().Equal(a.Root()); got != tt.want {
			t.Errorf("%s equal to %s = %v, want %v", tt.b, tt.a, got, tt.want)
		}
		a.Release()
		b.Release()
	}
	if !(codec.Value{}).Equal(codec.Value{}) {
		t.Error("Missing is not equal to Missing")
	}
}

func TestConcurrentReading(t *testing.T) {
	d := decode(t, []byte(`{"a":"\u0041","o":{"k1":1,"k2":2,"k3":3,"k4":4,"k5":5,"k6":6,"k7":7,"k8":8,"k9":9}}`))
	defer d.Release()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if s, _ := d.Root().Get("a").Str(); s != "A" {
					t.Errorf("Str = %q", s)
				}
				if i, _ := d.Root().Path("o", "k9").Int(); i != 9 {
					t.Errorf("Int = %d", i)
				}
				d.Root().AppendJSON(nil)
			}
		})
	}
	wg.Wait()
}

func TestAppendString(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", `""`},
		{"a<b>&c", `"a<b>&c"`},
		{"q\"b\\s/\n\r\t\x00\x1f\x7f", "\"q\\\"b\\\\s/\\n\\r\\t\\u0000\\u001f\x7f\""},
		{"ä\xffö\xc3", "\"ä\uFFFDö\uFFFD\""},
		{"\u2028😀", "\"\u2028😀\""},
	}
	for _, tt := range tests {
		if got := string(codec.AppendString(nil, tt.in)); got != tt.want {
			t.Errorf("AppendString(%q) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestAppendFloat(t *testing.T) {
	tests := []struct {
		in   float64
		want string
	}{
		{0, "0.0"}, {1, "1.0"}, {-21.5, "-21.5"}, {0.1, "0.1"}, {1e21, "1000000000000000000000.0"}, {1e-7, "0.0000001"},
		{math.NaN(), "null"}, {math.Inf(-1), "null"},
	}
	for _, tt := range tests {
		if got := string(codec.AppendFloat(nil, tt.in)); got != tt.want {
			t.Errorf("AppendFloat(%v) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestCount(t *testing.T) {
	d := decode(t, []byte(`{"a":[1,2,{"b":"x"}],"c":null}`))
	defer d.Release()
	for path, want := range map[string]int{"": 7, "a": 5, "c": 1, "gone": 0} {
		v := d.Root()
		if path != "" {
			v = v.Get(path)
		}
		if got := v.Count(); got != want {
			t.Errorf("%q has %d values, want %d", path, got, want)
		}
	}
}
