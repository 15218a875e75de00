package conf_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/edge-agent/conf"
)

// samples are in the language; each is held to a whole implementation of YAML.
var samples = []string{
	"", "# only a comment\n", "a: 1\n", "a: b # c\nd: 'e # f'\n", "a:\n  b: c\n  d:\n    - e\n    - f: g\n      h: i\nj: k\n",
	"a:\n- b\n- c\nd: e\n", "- a\n- - b\n  - c\n-\n  d: e\n- \n", "a: {b: c, d: [e, 'f', \"g\\n\"], h: {}, i: []}\n", "a: {\n  b: c, # d\n  e: f,\n}\n",
	"a: tls://h:1\nb: http://x/#y\nc: a:b\n", "\"a b\": 'it''s'\n'c': \"\\u00e9\\x41\\t\"\n", "---\na: b\n", "\ufeffa: b\r\nc: d\r\n",
	"a: |\n  one\n   two\n\n  three\nb: c\n", "a: |-\n  one\n\n\nb: |+\n  two\n\n\nc: >\n  three\n  four\n\n  five\n", "a: >-\n  x\n  y\n",
	"a:\nb: ~\nc: null\nd: \"\"\n", "a: [1, 0x10, -3, 1_000, yes, ~]\n", "- {a: b}\n- [c]\n-   d: e\n    f: g\n", "a:   b   \nc: \n", "a: x y  z\n", "a b: c\n",
	"{a: b, \"c\":d, e: }\n", "[a, b]\n", "just text\n", "'quoted'\n", "a: -1\nb: -x\n", "  a: b\n  c: d\n", "a: {b: \"c\", d: 'e,f'}\n", "a: [\n[b], {c: d}]\n",
	"subdevices:\n  - {product: 70ly1tvowt696r15, device: meter-1, secret: 0123456789abcdef}\n  # - x\n",
}

// refused are not, and are told so with their place.
var refused = map[string]string{
	"a: &x b\n": "line 1, column 4: anchors", "a: *x\n": "anchors", "a: !!str b\n": "tags", "a: b\n---\nc: d\n": "more than one", "? a\n: b\n": "unexpected",
	"a: b\na: c\n": "line 2, column 1: the key \"a\" is there twice", "a: {b: 1, b: 2}\n": "twice", "a: b: c\n": "colon", "a: b\n  c\n": "line before", "a:\n  b: c\n d: e\n": "indented",
	"a: 'b\n": "quotes", "a: \"\\q\"\n": "escape", "a: [b\n": "end of the file", "a: {b c}\n": "colon", "a: [b: c]\n": "colon in a list", "\ta: b\n": "tab", "a: b\n\tc: d\n": "tab",
	"a: @b\n": "quote", "a: |2\n  b\n": "unexpected", "a: >\n  b\n   c\n": "folded", "<<: a\n": "no key", "a: 'b' c\n": "behind a value", "a\nb: c\n": "second value", "a: [b] c\n": "behind",
	"- a\nb: c\n": "unexpected", "a: b\n- c\n": "unexpected", "\xff": "UTF-8", "a: \x01": "UTF-8", strings.Repeat("[", 100): "too deep", "a: {b:c}\n": "colon",
}

// same compares a tree with that of a whole implementation.
func same(n *conf.Node, y *yaml.Node) error {
	for y.Kind == yaml.DocumentNode {
		y = y.Content[0]
	}
	kind := map[yaml.Kind]conf.Kind{yaml.ScalarNode: conf.Scalar, yaml.MappingNode: conf.Map, yaml.SequenceNode: conf.List}[y.Kind]
	if n.Kind != kind || n.Value != y.Value || len(n.Content) != len(y.Content) {
		return fmt.Errorf("line %d, column %d: kind %d, %q, %d parts; want %d, %q, %d", n.Line, n.Column, n.Kind, n.Value, len(n.Content), kind, y.Value, len(y.Content))
	}
	if n.Value != "" && n.Line != y.Line || y.Kind == yaml.ScalarNode && (n.Style == conf.Plain) != (y.Style == 0) {
		return fmt.Errorf("%q at line %d in style %d, want line %d, style %d", n.Value, n.Line, n.Style, y.Line, y.Style)
	}
	for i := range n.Content {
		if err := same(n.Content[i], y.Content[i]); err != nil {
			return err
		}
	}
	return nil
}

// compare holds what is read of a text to YAML.
func compare(text []byte) error {
	n, err := conf.Parse(text)
	if err != nil {
		return nil // refused
	}
	var y yaml.Node
	if err := yaml.Unmarshal(text, &y); err != nil {
		return fmt.Errorf("it is no YAML: %w", err)
	}
	if y.Kind == 0 { // nothing
		if !n.Null() {
			return fmt.Errorf("it is nothing, not %+v", n)
		}
		return nil
	}
	return same(n, &y)
}

func TestSamples(t *testing.T) {
	example, err := os.ReadFile("../agent/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(samples, string(example)) {
		if _, err := conf.Parse([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if err := compare([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for text, want := range refused {
		if _, err := conf.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := conf.Parse(make([]byte, conf.MaxBytes+1)); err == nil {
		t.Error("a huge file is read")
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range samples {
		f.Add([]byte(text))
	}
	for text := range refused {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := compare(text); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// span is a text of its own.
type span time.Duration

func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = span(d)
	return err
}

type inner struct {
	On   bool              `yaml:"on"`
	List []string          `yaml:"list"`
	Map  map[string]string `yaml:"map"`
	Deep [][]string        `yaml:"deep"`
}

type Side struct {
	More string `yaml:"more"`
}

type outer struct {
	Name  string `yaml:"name"`
	Count int    `yaml:"count"`
	Wait  span   `yaml:"wait"`
	In    inner  `yaml:"in"`
	To    *inner `yaml:"to"`
	Not   string
	Many  []inner        `yaml:"many"`
	Nums  []int64        `yaml:"nums"`
	Unit  uint8          `yaml:"unit"`
	Scale float64        `yaml:"scale"`
	Set   map[string]any `yaml:"set"`
	Side  `yaml:",inline"`
}

// TestUnmarshal decodes as a whole implementation does, defaults included.
func TestUnmarshal(t *testing.T) {
	for _, text := range []string{
		"", "name: x\ncount: 0x10\nwait: 3s\n", "in: {on: yes, list: [a, 1, 'b'], map: {a: b, 1: 2}}\nto: {deep: [[a], [b, c]]}\n",
		"in:\nname: ~\nto:\n", "many: [{on: true}, {list: []}]\nnums: [1, 010, 1_0]\nmore: m\n", "name: 5\n", "name: true\nto: {}\n", "name: |\n  a\n  b\n",
		"unit: 7\nscale: 0.1\nset: {a: 1, b: 'x', c: 2.5, d: true, e: ~, f: [1, a, {g: 1e3}], h: {i: 0x10, j: -1}, k: yes, l: 1_000, m: .5}\n", "scale: 3\n",
	} {
		start := func() outer { return outer{Name: "default", In: inner{On: true, List: []string{"z"}}} }
		got, want := start(), start()
		if err := conf.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if err := yaml.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"typo: 1\n": "line 1, column 1: the key \"typo\"", "name: [a]\n": "single", "count: x\n": "number", "count: '1'\n": "number", "wait: 3\n": "line 1, column 7",
		"in: a\n": "keys", "in: {on: maybe}\n": "true or false", "many: a\n": "list", "in: {map: [a]}\n": "keys", "wait: [a]\n": "single", "Not: a\n": "not known", "unit: 256\n": "number", "unit: -1\n": "not negative", "scale: x\n": "number", "scale: 0x1p4\n": "number",
	} {
		var o outer
		if err := conf.Unmarshal([]byte(text), &o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
