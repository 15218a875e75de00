package api

import (
	"encoding/json"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestMissing(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(`
list: {type: object, required: [items], properties: {items: {type: array, items: {$ref: '#/item'}}}}
item: {type: object, required: [path, mode], properties: {path: {type: string}, mode: {type: string}, next: {$ref: '#/item'}}}
free: {type: object, properties: {a: {type: string}}}
`), &root); err != nil {
		t.Fatal(err)
	}
	d := docReader{root.Content[0]}
	if s := d.shapeOf(field(d.root, "free"), 0); s != nil {
		t.Errorf("nothing is required, and yet %+v", s)
	}
	s := d.shapeOf(field(d.root, "list"), 0)
	for body, want := range map[string]string{
		`{"items":[]}`:   "",
		`{"topics":[]}`:  "items",
		`{"items":null}`: "items",
		`{}`:             "items",
		`{"items":[{"path":"a","mode":"r"},{"path":"b"}]}`:                 "items[1].mode",
		`{"items":[{"path":"a","mode":"r","next":{"mode":"w"}}]}`:          "items[0].next.path",
		`{"items":[{"path":"a","mode":"r","next":{"mode":"","path":""}}]}`: "",
		`[]`: "", `7`: "", `null`: "", `{"items":5}`: "", `{"it`: "", ``: "",
	} {
		if got := s.missing(json.RawMessage(body), ""); got != want {
			t.Errorf("%s: %q is missing, want %q", body, got, want)
		}
	}
}
