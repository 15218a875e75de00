package shadowdoc

import (
	"strings"
	"testing"
)

func TestAppendDiff(t *testing.T) {
	doc := func(reported, desired string) *Document {
		t.Helper()
		d, err := Parse([]byte(`{"State":{"Reported":` + reported + `,"Desired":` + desired + `},"Timestamp":1,"Version":1}`))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	long := `"` + strings.Repeat("x", 100) + `"`
	for _, test := range []struct {
		name     string
		from, to *Document
		want     string
	}{
		{"nothing", doc(`{"a":1}`, `{}`), doc(`{"a":1}`, `{}`), ``},
		{"new", doc(`{}`, `{}`), doc(`{"a":1,"b":{"c":2}}`, `{}`), `{"reported":{"a":1,"b":{"c":2}}}`},
		{"gone", doc(`{"a":1,"b":2,"c":3}`, `{}`), doc(`{"b":2}`, `{}`), `{"reported":{"a":null,"c":null}}`},
		{"moved", doc(`{"b":1}`, `{"a":2}`), doc(`{"a":2,"b":1}`, `{}`), `{"reported":{"a":2},"desired":{"a":null}}`},
		{"desired alone", doc(`{"a":1}`, `{}`), doc(`{"a":1}`, `{"z":true}`), `{"desired":{"z":true}}`},
		{"too long", doc(`{}`, `{}`), doc(`{"a":1,"b":`+long+`,"c":3}`, `{}`), `{"reported":{"a":1,"c":3},"omitted":1}`},
		{"all too long", doc(`{}`, `{}`), doc(`{"a":`+long+`}`, `{"b":`+long+`}`), `{"omitted":2}`},
	} {
		got, ok := AppendDiff([]byte("x"), test.from, test.to, 64)
		if ok != (test.want != "") || string(got) != "x"+test.want {
			t.Errorf("%s: got %s, %v\nwant x%s", test.name, got, ok, test.want)
		}
	}
}
