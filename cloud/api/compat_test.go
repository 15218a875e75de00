package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// object is a mapping of a document.
type object = map[string]any

// comparison finds what a client that was written for one document cannot do with another.
type comparison struct {
	old, new object // whole documents
	broken   []string
	seen     map[string]bool // pairs of schemas that were compared
}

// breaking lists the breaking changes from one OpenAPI document to another, each with where it is.
func breaking(old, changed []byte) ([]string, error) {
	c := &comparison{seen: make(map[string]bool)}
	for doc, into := range map[*[]byte]*object{&old: &c.old, &changed: &c.new} {
		if err := yaml.Unmarshal(*doc, into); err != nil {
			return nil, err
		}
	}
	for path, methods := range sorted(c.old["paths"]) {
		for method, op := range sorted(methods) {
			if method == "parameters" {
				continue
			}
			now, ok := get(c.new["paths"], path, method).(object)
			if !ok {
				c.breaks("%s %s: the operation is gone", strings.ToUpper(method), path)
				continue
			}
			where := strings.ToUpper(method) + " " + path
			c.parameters(where, all(methods, op.(object)), all(get(c.new["paths"], path), now), c.old, c.new)
			c.operation(where, op.(object), now)
		}
	}
	return c.broken, nil
}

func (c *comparison) breaks(format string, args ...any) {
	c.broken = append(c.broken, fmt.Sprintf(format, args...))
}

// sorted walks a mapping in the order of its names; anything else is empty.
func sorted(v any) func(func(string, any) bool) {
	m, _ := v.(object)
	return func(yield func(string, any) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

// get follows names into mappings.
func get(v any, names ...string) any {
	for _, name := range names {
		m, ok := v.(object)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// resolve follows a reference inside doc.
func resolve(doc object, v any) object {
	m, _ := v.(object)
	for range 10 {
		ref, ok := m["$ref"].(string)
		if !ok {
			break
		}
		m, _ = get(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...).(object)
	}
	return m
}

// all are the parameters of an operation with those of its path.
func all(path any, op object) []any {
	above, _ := get(path, "parameters").([]any)
	own, _ := op["parameters"].([]any)
	return slices.Concat(above, own)
}

func byName(doc object, params []any) map[string]object {
	m := make(map[string]object, len(params))
	for _, p := range params {
		param := resolve(doc, p)
		m[fmt.Sprint(param["in"], " parameter ", param["name"])] = param
	}
	return m
}

func (c *comparison) parameters(where string, was, is []any, oldDoc, newDoc object) {
	before, now := byName(oldDoc, was), byName(newDoc, is)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		p, ok := now[name]
		if !ok {
			c.breaks("%s: %s is gone", where, name)
			continue
		}
		if p["required"] == true && before[name]["required"] != true {
			c.breaks("%s: %s is required now", where, name)
		}
		c.schema(where+": "+name, before[name]["schema"], p["schema"], true)
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if before[name] == nil && now[name]["required"] == true {
			c.breaks("%s: %s is new and required", where, name)
		}
	}
}

func (c *comparison) operation(where string, was, is object) {
	if was["operationId"] != is["operationId"] {
		c.breaks("%s: operationId was %v and is %v: clients call their methods by it", where, was["operationId"], is["operationId"])
	}
	if open, ok := was["security"].([]any); ok && len(open) == 0 {
		if now, ok := is["security"].([]any); !ok || len(now) > 0 {
			c.breaks("%s: wants a caller now", where)
		}
	}
	body, now := resolve(c.old, was["requestBody"]), resolve(c.new, is["requestBody"])
	if now["required"] == true && body["required"] != true {
		c.breaks("%s: the body is required now", where)
	}
	c.content(where+": body", body, now, true)
	for status, response := range sorted(was["responses"]) {
		after, ok := get(is["responses"], status).(object)
		if !ok {
			c.breaks("%s: no longer answers %s", where, status)
			continue
		}
		before, after := resolve(c.old, response), resolve(c.new, after)
		c.content(where+": "+status, before, after, false)
		for name := range sorted(before["headers"]) {
			if get(after["headers"], name) == nil {
				c.breaks("%s: %s: header %s is gone", where, status, name)
			}
		}
	}
}

// content compares bodies; request tells which way they go.
func (c *comparison) content(where string, was, is object, request bool) {
	for kind, media := range sorted(was["content"]) {
		now, ok := get(is["content"], kind).(object)
		if !ok {
			c.breaks("%s: %s is gone", where, kind)
			continue
		}
		c.schema(where, get(media, "schema"), now["schema"], request)
	}
}

// schema compares what a value may be. In a request it must not be narrower than before, in an answer not wider in its
// type; a member that is gone or has another type breaks both.
func (c *comparison) schema(where string, was, is any, request bool) {
	key := fmt.Sprintf("%v|%v|%v|%v", get(was, "$ref"), get(is, "$ref"), request, where)
	if named := get(was, "$ref") != nil && get(is, "$ref") != nil; named {
		key = fmt.Sprintf("%v|%v|%v", get(was, "$ref"), get(is, "$ref"), request)
		where = strings.TrimPrefix(fmt.Sprint(get(was, "$ref")), "#/components/schemas/")
	}
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	before, now := resolve(c.old, was), resolve(c.new, is)
	for _, name := range []string{"type", "format"} {
		if b, n := before[name], now[name]; b != nil && fmt.Sprint(b) != fmt.Sprint(n) {
			c.breaks("%s: %s was %v and is %v", where, name, b, n)
			return
		}
	}
	c.values(where, before, now, request)
	c.members(where, before, now, request)
	for _, inner := range []string{"items", "additionalProperties"} {
		if before[inner] != nil && now[inner] != nil {
			c.schema(where+"[]", before[inner], now[inner], request)
		}
	}
}

// bounds are the limits of a schema, with whether a greater one is wider.
var bounds = map[string]bool{"maximum": true, "maxItems": true, "maxLength": true, "minimum": false, "minItems": false, "minLength": false}

func (c *comparison) values(where string, was, is object, request bool) {
	if !request {
		return // new values in answers are what clients must be prepared for
	}
	if now, ok := is["enum"].([]any); ok {
		before, had := was["enum"].([]any)
		for _, v := range before {
			if !slices.Contains(now, v) {
				c.breaks("%s: %v is no longer taken", where, v)
			}
		}
		if !had {
			c.breaks("%s: only takes %v now", where, now)
		}
	}
	for name, wider := range bounds {
		now, ok := number(is[name])
		before, had := number(was[name])
		if ok && (!had || wider && now < before || !wider && now > before) {
			c.breaks("%s: %s is narrower: %v", where, name, is[name])
		}
	}
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func (c *comparison) members(where string, was, is object, request bool) {
	for name, member := range sorted(was["properties"]) {
		now := get(is["properties"], name)
		if now == nil {
			c.breaks("%s: member %s is gone", where, name)
			continue
		}
		c.schema(where+"."+name, member, now, request)
	}
	before, _ := was["required"].([]any)
	now, _ := is["required"].([]any)
	for _, name := range now {
		if request && !slices.Contains(before, name) {
			c.breaks("%s: member %v is required now", where, name)
		}
	}
	for _, name := range before {
		if !request && !slices.Contains(now, name) && get(is["properties"], fmt.Sprint(name)) != nil {
			c.breaks("%s: member %v may be absent now", where, name)
		}
	}
}
