package jq

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

const payload = `{"a":1,"s":"x y","list":[{"n":"p","v":1},{"n":"q","v":5}],"o":{"k":true},"big":123456789012}`

func run(t testing.TB, source, in string) (string, error) {
	t.Helper()
	f, err := New(source, DefaultLimits())
	if err != nil {
		return "", err
	}
	var v any
	if err := json.Unmarshal([]byte(in), &v); err != nil {
		t.Fatal(err)
	}
	out, ok, err := f.Run(v)
	if err != nil || !ok {
		return "none", err
	}
	b, err := json.Marshal(out)
	return string(b), err
}

func TestFilters(t *testing.T) {
	for source, want := range map[string]string{
		".a":                                   `1`,
		".list[1].v":                           `5`,
		"[.list[] | select(.v > 2) | .n]":      `["q"]`,
		".list | map(.v) | add":                `6`,
		"[.list[].v * 2] | join(\",\")":        `"2,10"`,
		`"\(.a)-\(.s | ascii_upcase)"`:         `"1-X Y"`,
		"{s, n: (.list | length)}":             `{"n":2,"s":"x y"}`,
		".o.k |= not | .o":                     `{"k":false}`,
		".new.deep = .a | .new":                `{"deep":1}`,
		"del(.list, .o) | keys":                `["a","big","s"]`,
		"[.list[] as {n: $n, v: $v} | $v, $n]": `[1,"p",5,"q"]`,
		"reduce .list[] as $x (0; . + $x.v)":   `6`,
		"def twice: . * 2; .a | twice":         `2`,
		"if .a == 1 then \"one\" else . end":   `"one"`,
		"[limit(3; repeat(1))]":                `[1,1,1]`,
		"with_entries(select(.key == \"a\"))":  `{"a":1}`,
		"empty":                                `none`,
		".gone":                                `null`,
		"\"ab\" * 3":                           `"ababab"`,
		"{a: {b: 1}} * {a: {c: 2}}":            `{"a":{"b":1,"c":2}}`,
		"try error(\"x\") catch .":             `"x"`,
		"[1, 2][1:]":                           `[2]`,
		"@base64":                              `"eyJhIjoxLCJiaWciOjEyMzQ1Njc4OTAxMiwibGlzdCI6W3sibiI6InAiLCJ2IjoxfSx7Im4iOiJxIiwidiI6NX1dLCJvIjp7ImsiOnRydWV9LCJzIjoieCB5In0="`,
	} {
		if got, err := run(t, source, payload); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", source, got, err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, source := range []string{
		".a[", "input", "env", "$ENV.PATH | import", "test(\"a\")", "include \"x\"; .", ".[5] = 1", ".a[1:] = []", "setpath([9]; 1)",
		"def map(f): .; map(.)", "hawser_checked", "debug", "halt", "splits(\"a\")", "limit(3; inputs)", ".a *= 2", "gsub(\"a\"; \"b\")",
		strings.Repeat(" ", 5000) + ".",
	} {
		if _, err := New(source, DefaultLimits()); err == nil {
			t.Errorf("%s was taken", source)
		}
	}
}

// Filters that would take the machine end soon, with an error.
func TestHostile(t *testing.T) {
	for name, source := range map[string]string{
		"endless":             "def f: f; f",
		"endless numbers":     "last(range(1e12))",
		"deep recursion":      "def f: 1 + f; f",
		"repeat":              "[repeat(1)]",
		"long text":           `"x" * 1e9`,
		"doubled text":        `reduce range(64) as $i ("xx"; . + .)`,
		"doubled by format":   `reduce range(64) as $i ("\""; tojson)`,
		"doubled in a text":   `reduce range(64) as $i ("xx"; "\(.)\(.)")`,
		"doubled array":       "reduce range(64) as $i ([1]; . + .)",
		"shared array":        "reduce range(64) as $i (1; [., .]) | tojson",
		"shared in a chain":   strings.Repeat("[.,.]|", 64) + "length",
		"shared object":       strings.Repeat("{a:.,b:.}|", 64) + ". == 1",
		"by hand":             "def f(n): if n == 0 then 1 else (f(n - 1) | [., .]) end; f(64) | flatten",
		"product in a reduce": `reduce range(64) as $i ("xx"; . * 2)`,
		"add of one text":     `("x" * 100000) as $s | [range(2000) | $s] | add`,
		"paths":               "reduce range(40) as $i (.; {a: ., b: .}) | [paths] | length",
	} {
		start := time.Now()
		_, err := run(t, source, payload)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s took %v", name, took)
		}
		t.Logf("%s: %v after %v", name, err, time.Since(start))
	}
}

func TestErrors(t *testing.T) {
	if _, err := run(t, "last(range(1e12))", "1"); !errors.Is(err, ErrSteps) && !errors.Is(err, ErrTime) {
		t.Errorf("%v", err)
	}
	if _, err := run(t, `"x" * 1e9`, "1"); !errors.Is(err, ErrSize) {
		t.Errorf("%v", err)
	}
	if _, err := run(t, ".a.b", `{"a":1}`); err == nil {
		t.Error("no error")
	}
	f, err := New(".", Limits{Source: 10, Nodes: 3, Bytes: 10, Steps: 100, Time: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Run([]any{1, 2, 3}); !errors.Is(err, ErrSize) {
		t.Errorf("input: %v", err)
	}
}

// FuzzFilter: no filter panics, hangs or makes what is no value.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{".a", "[.list[]|.v]", `"\(.)"`, ". * 2", "reduce .[] as $x (0; .+$x)", "del(.a)", ".a |= 1", "def f: .; f", "{(.s): 1}", "..", ".[1:2]", "@json \"a\\(.)\"", "label $x | break $x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		out, err := run(t, source, payload)
		if err == nil && out != "none" && !json.Valid([]byte(out)) {
			t.Errorf("%s: %s", source, out)
		}
	})
}
