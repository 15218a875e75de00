package template

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/ident"
)

func record(result string) *rules.Record {
	return &rules.Record{Action: 5, MessageID: 101, Device: ident.Device{Product: "0123456789abcdef", SN: "dev1"}, Topic: "/0123456789abcdef/dev1/up",
		Time: time.UnixMilli(1764000000123).UTC(), Result: []byte(result)}
}

func open(t testing.TB, result string) *Row {
	t.Helper()
	row, err := Open(record(result))
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func TestValue(t *testing.T) {
	const result = `{"s":"x","i":7,"f":1.5,"b":true,"n":null,"o":{"a":{"b":"deep"}},"l":[1,{"x":2}],"o.a":"whole name","deviceSN()":"other","":1,"big":18446744073709551615,"bigger":18446744073709551616,"half":9223372036854775808,"far":-18446744073709551615,"0":"zero"}`
	for text, want := range map[string]any{
		"${s}": "x", "${i}": int64(7), "${f}": 1.5, "${b}": true, "${n}": nil, "${o.a.b}": "deep", "${o.a}": "whole name",
		"${o}": json.RawMessage(`{"a":{"b":"deep"}}`), "${l}": json.RawMessage(`[1,{"x":2}]`), "${l.1.x}": int64(2), "${l.0}": int64(1), "${0}": "zero",
		"${deviceSN()}": "other", "${deviceSN}": "dev1", "${productSN}": "0123456789abcdef", "${productSN()}": "0123456789abcdef",
		"${topic}": "/0123456789abcdef/dev1/up", "${messageID}": "101", "${timestamp}": int64(1764000000123), "${recordKey}": "101:5",
		"fixed": "fixed", "": "", "a${i}b${s}": "a7bx", " ${i}": " 7", "${n}!": "null!", "${o}${b}": `{"a":{"b":"deep"}}true`,
		"at ${timestamp}": "at 1764000000123", "${topic}/x": "/0123456789abcdef/dev1/up/x", "$x $${s} }{": "$x $x }{",
		"n=${big}": "n=18446744073709551615", "${big}": uint64(18446744073709551615), "${bigger}": 18446744073709551616.0, "${half}": uint64(1 << 63), "${far}": -18446744073709551615.0,
	} {
		tmpl, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		row := open(t, result)
		got, err := tmpl.Value(row)
		row.Release()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %#v, %v, want %#v", text, got, err, want)
		}
		if tmpl.String() != text {
			t.Errorf("%q is printed as %q", text, tmpl.String())
		}
	}
}

func TestMissing(t *testing.T) {
	for text, field := range map[string]string{"${x}": "x", "a${s}${x.y}": "x.y", "${s.x}": "s.x", "${l.7}": "l.7", "${l.-1}": "l.-1", "${i.a.b}": "i.a.b"} {
		tmpl, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		row := open(t, `{"s":"x","l":[1],"i":7}`)
		_, err = tmpl.Value(row)
		var at *FieldError
		if !errors.As(err, &at) || at.Field != field || !errors.Is(err, ErrMissing) || !errors.Is(err, rules.ErrPermanent) {
			t.Errorf("%q: %v", text, err)
		}
		row.Release()
	}
}

// What a binary rule passes on is no JSON: who sent it is known all the same.
func TestNotJSON(t *testing.T) {
	for _, result := range []string{"\x00\x01", "", "{", "\xa1\x61\x61\x01"} {
		row := open(t, result)
		own, _ := Parse("/${productSN}/${deviceSN}")
		if got, err := own.Text(row); err != nil || got != "/0123456789abcdef/dev1" {
			t.Errorf("%q: %q, %v", result, got, err)
		}
		other, _ := Parse("${a}")
		if _, err := other.Text(row); !errors.Is(err, rules.ErrPermanent) || errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "${a}") {
			t.Errorf("%q: %v", result, err)
		}
		row.Release()
	}
	if _, err := Open(record(strings.Repeat("[", 100))); !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("too deep: %v", err)
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"${", "${}", "a${b", "${ a}", "${a }", "${a}${", strings.Repeat("${a}", MaxFields+1)} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%.40q was taken", bad)
		}
	}
	tmpl, err := Parse("a${b}c${d.e}${b}")
	if err != nil || !reflect.DeepEqual(tmpl.Fields(), []string{"b", "d.e", "b"}) {
		t.Errorf("%v, %v", tmpl, err)
	}
	if _, ok := tmpl.Literal(); ok {
		t.Error("it has fields")
	}
}

func TestExpand(t *testing.T) {
	tmpl, _ := Parse("a ${i} ${s}")
	row := open(t, `{"s":"x","i":7}`)
	defer row.Release()
	got, err := tmpl.Expand(row, func(field string, v any) (string, error) {
		if field == "i" && v == int64(7) || field == "s" && v == "x" {
			return "<" + field + ">", nil
		}
		return "", errors.New("other")
	})
	if err != nil || got != "a <i> <s>" {
		t.Errorf("%q, %v", got, err)
	}
	refuse := errors.New("refused")
	if _, err := tmpl.Expand(row, func(string, any) (string, error) { return "", refuse }); !errors.Is(err, refuse) {
		t.Error(err)
	}
}

// FuzzTemplate holds that what parses prints as it was, and that filling it never panics and fails only for good.
func FuzzTemplate(f *testing.F) {
	f.Add("a${b}c", `{"b":1}`)
	f.Add("${a.b.0}", `{"a":{"b":[null]}}`)
	f.Add("${", `7`)
	f.Fuzz(func(t *testing.T, text, result string) {
		tmpl, err := Parse(text)
		if err != nil {
			return
		}
		if tmpl.String() != text {
			t.Fatalf("%q became %q", text, tmpl)
		}
		row, err := Open(record(result))
		if err != nil {
			if !errors.Is(err, rules.ErrPermanent) {
				t.Fatal(err)
			}
			return
		}
		defer row.Release()
		for _, fill := range []func(*Row) (any, error){tmpl.Value, func(r *Row) (any, error) { return tmpl.Text(r) }} {
			if _, err := fill(row); err != nil && !errors.Is(err, rules.ErrPermanent) {
				t.Fatal(err)
			}
		}
	})
}

// BenchmarkRow fills four columns of a result of three members.
func BenchmarkRow(b *testing.B) {
	var list []*Template
	for _, s := range []string{"${deviceSN}", "${t}", "${h}", "${timestamp}"} {
		tmpl, err := Parse(s)
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, tmpl)
	}
	r := record(`{"t":21.5,"h":40,"deviceSN":"lamp-1"}`)
	b.ReportAllocs()
	for b.Loop() {
		row, err := Open(r)
		if err != nil {
			b.Fatal(err)
		}
		for _, tmpl := range list {
			if _, err := tmpl.Value(row); err != nil {
				b.Fatal(err)
			}
		}
		row.Release()
	}
}
