package api

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

// released is the document of the last release.
const released = "testdata/released.yaml"

// TestTheAPIKeepsItsPromises compares the document with that of the last release. What is added needs nothing; with a
// release the golden copy follows by
//
//	HAWSER_BLESS=1 go test ./cloud/api -run TestTheAPIKeepsItsPromises
//
// which refuses to bless what breaks clients. Such a change needs a new path (/v2), or a member beside the old one.
func TestTheAPIKeepsItsPromises(t *testing.T) {
	golden, err := os.ReadFile(released)
	if err != nil {
		t.Fatal(err)
	}
	broken, err := breaking(golden, document)
	if err != nil {
		t.Fatal(err)
	}
	if len(broken) > 0 {
		t.Fatalf("openapi.yaml breaks clients of the last release (%s):\n\t%s\nKeep what was there and add beside it; an operation or member that must go is marked deprecated first.",
			released, strings.Join(broken, "\n\t"))
	}
	if os.Getenv("HAWSER_BLESS") != "" && !bytes.Equal(golden, document) {
		if err := os.WriteFile(released, document, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s is the present document now", released)
	}
}

const compatDocument = `
paths:
  /v1/things:
    parameters:
      - {name: shape, in: query, schema: {type: string, enum: [round, flat]}}
    get:
      operationId: listThings
      responses:
        '200': {headers: {ETag: {}}, content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
    post:
      operationId: createThing
      security: []
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/NewThing'}}}}
      responses:
        '201': {content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
components:
  schemas:
    Thing:
      type: object
      required: [id, size]
      properties:
        id: {type: string}
        size: {type: integer, format: int64}
        state: {type: string, enum: [on, off]}
        parts: {type: array, items: {$ref: '#/components/schemas/Thing'}}
    NewThing:
      type: object
      required: [name]
      properties:
        name: {type: string, maxLength: 64}
        kind: {type: string, enum: [a, b]}
        count: {type: integer, minimum: 1}
        free: {type: string}
`

func TestBreaking(t *testing.T) {
	tests := []struct {
		name, from, to string
		want           string // "" is a change that breaks nobody
	}{
		{"nothing", "", "", ""},
		{"new operation", "    post:\n", "    put: {operationId: x, responses: {}}\n    post:\n", ""},
		{"new optional member of a request", "free: {type: string}", "free: {type: string}\n        more: {type: string}", ""},
		{"new member of an answer", "id: {type: string}", "id: {type: string}\n        more: {type: string}", ""},
		{"new value of an answer", "enum: [on, off]", "enum: [on, off, broken]", ""},
		{"new value of a request", "enum: [a, b]", "enum: [a, b, c]", ""},
		{"wider bound", "maxLength: 64", "maxLength: 128", ""},
		{"new optional parameter", "    parameters:\n", "    parameters:\n      - {name: new, in: query, schema: {type: string}}\n", ""},
		{"operation is gone", "    post:\n", "    put:\n", "POST /v1/things: the operation is gone"},
		{"path is gone", "/v1/things:", "/v1/objects:", "GET /v1/things: the operation is gone"},
		{"operationId", "operationId: listThings", "operationId: getThings", "operationId was listThings and is getThings"},
		{"parameter renamed", "name: shape", "name: form", "GET /v1/things: query parameter shape is gone"},
		{"parameter required", "in: query, schema", "in: query, required: true, schema", "query parameter shape is required now"},
		{"new required parameter", "    parameters:\n", "    parameters:\n      - {name: new, in: query, required: true, schema: {type: string}}\n", "query parameter new is new and required"},
		{"value of a parameter", "enum: [round, flat]", "enum: [round]", "query parameter shape: flat is no longer taken"},
		{"status", "'201'", "'200'", "POST /v1/things: no longer answers 201"},
		{"header of an answer", "ETag", "Etag2", "GET /v1/things: 200: header ETag is gone"},
		{"media type", "content: {application/json: {schema: {$ref: '#/components/schemas/NewThing'}}}", "content: {text/csv: {schema: {type: string}}}", "body: application/json is gone"},
		{"body required", "requestBody: {content", "requestBody: {required: true, content", "the body is required now"},
		{"member of an answer renamed", "        size: {type", "        length: {type", "Thing: member size is gone"},
		{"member of an answer may be absent", "required: [id, size]", "required: [id]", "Thing: member size may be absent now"},
		{"type of a member", "size: {type: integer, format: int64}", "size: {type: string}", "Thing.size: type was integer and is string"},
		{"format of a member", "format: int64", "format: int32", "Thing.size: format was int64 and is int32"},
		{"member of a request is gone", "        free: {type: string}\n", "", "NewThing: member free is gone"},
		{"new required member", "required: [name]", "required: [name, count]", "NewThing: member count is required now"},
		{"value of a request", "enum: [a, b]", "enum: [a]", "NewThing.kind: b is no longer taken"},
		{"enum where none was", "free: {type: string}", "free: {type: string, enum: [x]}", "NewThing.free: only takes [x] now"},
		{"narrower length", "maxLength: 64", "maxLength: 32", "NewThing.name: maxLength is narrower: 32"},
		{"narrower minimum", "minimum: 1", "minimum: 2", "NewThing.count: minimum is narrower: 2"},
		{"new bound", "free: {type: string}", "free: {type: string, maxLength: 3}", "NewThing.free: maxLength is narrower: 3"},
		{"caller", "      security: []\n", "", "POST /v1/things: wants a caller now"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.Replace(compatDocument, tt.from, tt.to, 1)
			if tt.from != "" && changed == compatDocument {
				t.Fatal("the test changes nothing")
			}
			broken, err := breaking([]byte(compatDocument), []byte(changed))
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" && len(broken) > 0 || tt.want != "" && !slices.ContainsFunc(broken, func(s string) bool { return strings.Contains(s, tt.want) }) {
				t.Errorf("got %q, want %q", broken, tt.want)
			}
		})
	}
}
