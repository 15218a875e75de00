package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// shape is what the document says must be in a value: the members that an object has to have, at any depth. Without this an absent list
// would be taken for an empty one, and a misspelt member could delete what it was meant to set.
type shape struct {
	required []string
	members  map[string]*shape // those that have something required below them
	each     *shape            // of an array
}

// shapeOf reads a schema; nil is one that requires nothing. What a schema is a part of itself is not followed twice.
func (d docReader) shapeOf(schema *yaml.Node, depth int) *shape {
	n := d.resolve(schema)
	if n == nil || depth > maxShown {
		return nil
	}
	if text(n, "type") == "array" {
		if each := d.shapeOf(field(n, "items"), depth+1); each != nil {
			return &shape{each: each}
		}
		return nil
	}
	s := &shape{members: map[string]*shape{}}
	for _, name := range items(field(n, "required")) {
		s.required = append(s.required, name.Value)
	}
	for name, member := range members(field(n, "properties")) {
		if below := d.shapeOf(member, depth+1); below != nil {
			s.members[name] = below
		}
	}
	if len(s.required) == 0 && len(s.members) == 0 {
		return nil
	}
	return s
}

// missing is the path of the first member that raw lacks, or "". What is no JSON, or of another type, is left to who decodes it.
func (s *shape) missing(raw json.RawMessage, path string) string {
	if s.each != nil {
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list)
		for i, e := range list {
			if m := s.each.missing(e, path+"["+strconv.Itoa(i)+"]"); m != "" {
				return m
			}
		}
		return ""
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || object == nil {
		return ""
	}
	if path != "" {
		path += "."
	}
	for _, name := range s.required {
		if v, ok := object[name]; !ok || string(v) == "null" {
			return path + name
		}
	}
	for name, below := range s.members {
		if v, ok := object[name]; ok {
			if m := below.missing(v, path+name); m != "" {
				return m
			}
		}
	}
	return ""
}

// complete refuses a body that lacks a member which the document requires.
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
		if m := op.body.missing(raw, ""); m != "" {
			s.write(w, r, invalid(m, "%s is missing", m))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		next(w, r)
	}
}
