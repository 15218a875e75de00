package filter

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"  ", ""},
		{"cellar", "cellar"},
		{"cellar*", "cellar"},
		{`"pump 3"`, `"pump 3"`},
		{"state:online", "state:online"},
		{"state=online", "state:online"},
		{"state!=online", "state!=online"},
		{"-state:online", "-state:online"},
		{"NOT state:online", "-state:online"},
		{"NOT NOT state:online", "state:online"},
		{"- -x", "x"},
		{"state:online AND sn:a*", "state:online sn:a*"},
		{"a b OR c d", "a b OR c d"},
		{"a (b OR c) d", "a (b OR c) d"},
		{"a OR (b OR c)", "a OR b OR c"},
		{"a (b c)", "a b c"},
		{"((a))", "a"},
		{"-(a b)", "-(a b)"},
		{"NOT(a OR b)c", "-(a OR b) c"},
		{"sn:00:14:32:e1:72:f1", "sn:00:14:32:e1:72:f1"},
		{"sn:-x", "sn:-x"},
		{`name:"pump 3"*`, `name:"pump 3"*`},
		{`name:"a\"b\\c"`, `name:"a\"b\\c"`},
		{`name:""`, `name:""`},
		{`name:"*"`, `name:"*"`},
		{"tag.region=eu", "tag.region:eu"},
		{"tag.a.b:*", `tag.a.b:""*`},
		{"tag.OR:OR", "tag.OR:OR"},
		{"OReilly", "OReilly"},
		{`"OR"`, `"OR"`},
		{`"a:b"`, `"a:b"`},
		{"created>2026-01-01", "created>2026-01-01"},
		{"created<=2026-01-01T10:00:00+02:00", "created<=2026-01-01T10:00:00+02:00"},
		{"lastSeen<-7d", "lastSeen<-7d"},
		{"lastSeen:never", "lastSeen:never"},
		{"-group:east", "-group:east"},
		{`group:"plant 1"`, `group:"plant 1"`},
		{"name:Ünïcode", "name:Ünïcode"},
	}
	for _, tt := range tests {
		x, err := Parse(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		got := ""
		if x != nil {
			got = x.String()
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		in   string
		pos  int
		want string
	}{
		{"stat:online", 0, `"stat" is not known`},
		{"state:on", 6, `"on" is no state`},
		{"state:", 6, "a value is missing"},
		{"state:on*", 6, "takes no *"},
		{"state<online", 5, "compares only created"},
		{"a OR", 4, "missing at the end"},
		{"OR a", 0, "a term is missing here"},
		{"a AND", 5, "missing at the end"},
		{"a AND OR b", 6, "a term is missing here"},
		{"(a", 0, "not closed"},
		{"a)", 1, "without its ("},
		{"()", 1, "a term is missing here"},
		{"-", 1, "missing at the end"},
		{`name:"a`, 5, "quote is not closed"},
		{`name:"a"b`, 8, "put the value in quotes"},
		{`name:a"b`, 6, "put the value in quotes"},
		{`name:"\n"`, 6, `stands before`},
		{"sn:a*b", 5, "only at its end"},
		{"sn:**", 4, "only at its end"},
		{"*", 0, "a word is missing"},
		{":x", 0, `"" is not known`},
		{"tag:x", 0, "tag.NAME"},
		{"tag.:x", 0, "tag.NAME"},
		{"tag.ü:x", 0, "tag.NAME"},
		{"sn.a:x", 0, "tag.NAME"},
		{"sn!x", 2, "the operators are"},
		{"created:2026-01-01", 8, "compared by <"},
		{"created:never", 8, "compared by <"},
		{"lastSeen<never", 9, "never is compared by"},
		{"lastSeen<-7", 9, "is no time"},
		{"lastSeen<-d", 9, "is no time"},
		{"lastSeen<-99999999w", 9, "is no time"},
		{"created>yesterday", 8, "is no time"},
		{"created>2026-13-01", 8, "is no time"},
		{"\xff", 0, "not UTF-8"},
		{strings.Repeat("a", MaxLength+1), MaxLength, "longer than"},
		{strings.Repeat("a ", MaxTerms) + "b", 2 * MaxTerms, "more than 64 terms"},
		{strings.Repeat("(", MaxDepth+1), MaxDepth, "within each other"},
		{strings.Repeat("-", MaxDepth+1) + "a", MaxDepth, "within each other"},
	}
	for _, tt := range tests {
		x, err := Parse(tt.in)
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%.40s: got %v, %v, want an *Error", tt.in, x, err)
			continue
		}
		if e.Pos != tt.pos || !strings.Contains(e.Reason, tt.want) {
			t.Errorf("%.40s: got %d %q, want %d and %q", tt.in, e.Pos, e.Reason, tt.pos, tt.want)
		}
	}
}

func TestTime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"created>2026-01-02":                time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"created>2026-01-02T10:00:00+02:00": time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC),
		"lastSeen<-2w":                      now.Add(-14 * 24 * time.Hour),
		"lastSeen<-90s":                     now.Add(-90 * time.Second),
	} {
		x, err := Parse(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := x.(*Term).Time.Resolve(now); !got.Equal(want) {
			t.Errorf("%s: got %v, want %v", in, got, want)
		}
	}
}

// positions forgets where terms began, which printing changes.
func positions(x Expr) Expr {
	switch x := x.(type) {
	case And:
		for _, y := range x {
			positions(y)
		}
	case Or:
		for _, y := range x {
			positions(y)
		}
	case *Not:
		positions(x.X)
	case *Term:
		x.Pos = 0
	}
	return x
}

// FuzzParse: what is read prints as something that reads as the same, and an error points into the text.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a OR -b (c:d", `state:online name:"pump \"3"* tag.x>=1`, "lastSeen<-7d OR NOT(created>2026-01-01)", "(((a)))", "sn:a:b* *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x, err := Parse(s)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Pos < 0 || e.Pos > len(s) || e.Reason == "" {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if x == nil {
			return
		}
		text := x.String()
		if len(text) > MaxLength {
			return // quoting made it longer
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%q prints as %q: %v", s, text, err)
		}
		if !reflect.DeepEqual(positions(x), positions(again)) || again.String() != text {
			t.Fatalf("%q prints as %q, which is %q", s, text, again)
		}
	})
}
