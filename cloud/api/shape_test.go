package api

import (
	"encoding/json"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestFault(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(`
list: {type: object, required: [items], properties: {items: {type: array, items: {$ref: '#/item'}}}}
item: {type: object, required: [path, mode], properties: {path: {type: string}, mode: {type: string}, next: {$ref: '#/item'}}}
answer: {type: object, properties: {id: {type: string}, items: {type: array, items: {type: object, properties: {createdAt: {type: string}}}}}}
open: {type: object, properties: {a: {type: string}}, additionalProperties: true}
free: {type: object}
`), &root); err != nil {
		t.Fatal(err)
	}
	d := docReader{root.Content[0]}
	schema := func(name string) *yaml.Node { return field(d.root, name) }
	if s := d.shapeOf(schema("free"), nil, 0); s != nil {
		t.Errorf("nothing is said, and yet %+v", s)
	}
	if p := d.shapeOf(schema("open"), nil, 0).fault(json.RawMessage(`{"b":1}`), ""); p != nil {
		t.Errorf("open, and yet %+v", p)
	}
	s := d.shapeOf(schema("list"), schema("answer"), 0)
	const missing, path, mode = " is missing", `{"items":[{"path":"a","mode":"r"`, `,"mode":"w"}]}`
	for body, want := range map[string]string{
		`{"items":[]}`:                   "",
		`{"topics":[]}`:                  "topics is not known here",
		`{"item":[]}`:                    "item is not known here; did you mean items?",
		`{"ITEMS":[]}`:                   "ITEMS is not known here; did you mean items?",
		`{"items":null}`:                 "items" + missing,
		`{}`:                             "items" + missing,
		path + `},{"path":"b"}]}`:        "items[1].mode" + missing,
		path + `,"next":{"mode":"w"}}]}`: "items[0].next.path" + missing,
		path + `,"next":{"mode":"","path":""}}]}`:           "",
		path + `,"nxet":{"mode":"","path":""}}]}`:           "items[0].nxet is not known here; did you mean next?",
		`{"id":"1",` + path[1:] + `,"createdAt":"today"}]}`: "", // as it was read
		`{"items":[{"pth":"a"` + mode:                       "items[0].pth is not known here; did you mean path?",
		`[]`:                                                "", `7`: "", `null`: "", `{"items":5}`: "", `{"it`: "", ``: "",
	} {
		got := ""
		if p := s.fault(json.RawMessage(body), ""); p != nil {
			got = p.detail
		}
		if got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
