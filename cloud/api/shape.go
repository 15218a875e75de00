package api

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/protocol/nearest"
)

// shape is what the document says of a value: the members that an object has to have and those that it may have, at any depth. Without this an
// absent list would be taken for an empty one, and a misspelt member could delete what it was meant to set, or set nothing.
type shape struct {
	required []string
	members  map[string]*shape // nil is one of which nothing is said
	open     bool              // other members may be there, too
	each     *shape            // of an array
}

// bodyOf reads what the JSON body of an operation must and may have. What is read at the same path may be written back whole: members that only
// the answer of get has are passed over, wherever they are.
func (d docReader) bodyOf(op *yaml.Node, get yaml.Node) *shape {
	const media = "application/json"
	answer := field(d.resolve(field(&get, "responses", "200")), "content", media, "schema")
	if answer == nil {
		for _, status := range []string{"200", "201", "202"} {
			if answer == nil {
				answer = field(d.resolve(field(op, "responses", status)), "content", media, "schema")
			}
		}
	}
	return d.shapeOf(field(d.resolve(field(op, "requestBody")), "content", media, "schema"), answer, 0)
}

// shapeOf reads a schema; nil is one that says nothing. also is another one, whose members may be there and need not.
func (d docReader) shapeOf(schema, also *yaml.Node, depth int) *shape {
	n, also := d.resolve(schema), d.resolve(also)
	if n == nil || depth > maxShown {
		return nil
	}
	if text(n, "type") == "array" {
		if each := d.shapeOf(field(n, "items"), field(also, "items"), depth+1); each != nil {
			return &shape{each: each}
		}
		return nil
	}
	known := field(n, "properties")
	if known == nil {
		return nil
	}
	s := &shape{members: map[string]*shape{}, open: text(n, "additionalProperties") != "false" && field(n, "additionalProperties") != nil}
	for _, name := range items(field(n, "required")) {
		s.required = append(s.required, name.Value)
	}
	for name := range members(field(also, "properties")) {
		s.members[name] = nil
	}
	for name, member := range members(known) {
		s.members[name] = d.shapeOf(member, field(also, "properties", name), depth+1)
	}
	return s
}

// fault is the first member of raw that the shape does not know, or that it has to have and has not. What is no JSON, or of another type, is left
// to who decodes it.
func (s *shape) fault(raw json.RawMessage, path string) *problem {
	if s == nil {
		return nil
	}
	if s.each != nil {
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list)
		for i, e := range list {
			if p := s.each.fault(e, path+"["+strconv.Itoa(i)+"]"); p != nil {
				return p
			}
		}
		return nil
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || object == nil {
		return nil
	}
	if path != "" {
		path += "."
	}
	if p := s.unknown(object, path); p != nil {
		return p
	}
	for _, name := range s.required {
		if v, ok := object[name]; !ok || string(v) == "null" {
			p := invalid(path+name, "%s is missing", path+name)
			return &p
		}
	}
	for name, v := range object {
		if p := s.members[name].fault(v, path+name); p != nil {
			return p
		}
	}
	return nil
}

// maxMember bounds what an answer says of an unknown member's name, in bytes.
const maxMember = 64

// unknown is the first member, by name, that the shape does not know.
func (s *shape) unknown(object map[string]json.RawMessage, path string) *problem {
	if s.open {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if _, ok := s.members[name]; ok {
			continue
		}
		at := path + name
		if len(name) > maxMember { // whoever wrote it need not be told all of it
			at = path + strings.ToValidUTF8(name[:maxMember], "") + "…"
		}
		p := invalid(at, "%s is not known here", at)
		if near := s.near(name); near != "" {
			p.detail += "; did you mean " + near + "?"
		}
		return &p
	}
	return nil
}

// near is the member that name was most likely meant to be, or "".
func (s *shape) near(name string) string {
	names := slices.Sorted(maps.Keys(s.members))
	if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, name) }); i >= 0 {
		return names[i]
	}
	return nearest.Word(name, names)
}

// complete refuses a body that has a member which the document does not know, or lacks one that it requires.
func (s *server) complete(op operation, next http.HandlerFunc) http.HandlerFunc {
	if op.body == nil {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			s.badRequest(w, r, err)
			return
		}
		if p := op.body.fault(raw, ""); p != nil {
			s.write(w, r, *p)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		next(w, r)
	}
}
