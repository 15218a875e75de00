package api

import (
	"encoding/json"
	"html"
	"html/template"
	"iter"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// docReader reads an OpenAPI document in its own order.
type docReader struct{ root *yaml.Node }

// field is a member of a mapping, found over a path of names; nil when it is not there.
func field(n *yaml.Node, names ...string) *yaml.Node {
	for _, name := range names {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		i := 0
		for i+1 < len(n.Content) && n.Content[i].Value != name {
			i += 2
		}
		if i+1 >= len(n.Content) {
			return nil
		}
		n = n.Content[i+1]
	}
	return n
}

// text is a member that is a scalar, or "".
func text(n *yaml.Node, names ...string) string {
	if n = field(n, names...); n == nil {
		return ""
	}
	return n.Value
}

// members walks a mapping.
func members(n *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// resolve follows references.
func (d docReader) resolve(n *yaml.Node) *yaml.Node {
	for range 10 {
		ref := text(n, "$ref")
		if ref == "" {
			break
		}
		n = field(d.root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return n
}

// typeOf says in words what a value is.
func (d docReader) typeOf(schema *yaml.Node) string {
	s := d.resolve(schema)
	kind := text(s, "type")
	switch {
	case len(items(field(s, "enum"))) > 0:
		var values []string
		for _, v := range items(field(s, "enum")) {
			values = append(values, v.Value)
		}
		kind = strings.Join(values, " | ")
	case kind == "array":
		return "array of " + d.typeOf(field(s, "items"))
	case text(s, "format") != "" && kind != "":
		kind += " (" + text(s, "format") + ")"
	case kind == "":
		kind = "any"
	}
	var more []string
	for _, name := range []string{"minimum", "maximum", "maxItems", "maxLength", "default"} {
		if v := text(s, name); v != "" {
			more = append(more, name+" "+v)
		}
	}
	if len(more) > 0 {
		kind += ", " + strings.Join(more, ", ")
	}
	return kind
}

// maxShown is how deep members of members are shown.
const maxShown = 3

// membersOf lists the members of an object, of arrays of objects too; above are the schemas that it is a part of.
func (d docReader) membersOf(schema *yaml.Node, depth int, above []*yaml.Node) []pageMember {
	s := d.resolve(schema)
	for text(s, "type") == "array" {
		s = d.resolve(field(s, "items"))
	}
	if s == nil || depth > maxShown || slices.Contains(above, s) {
		return nil
	}
	above = append(slices.Clip(above), s)
	required := items(field(s, "required"))
	var list []pageMember
	for name, member := range members(field(s, "properties")) {
		about := text(member, "description")
		if about == "" {
			about = text(d.resolve(member), "description")
		}
		list = append(list, pageMember{Name: name, Depth: depth, Type: d.typeOf(member), Description: prose(about),
			Required: slices.ContainsFunc(required, func(n *yaml.Node) bool { return n.Value == name })})
		list = append(list, d.membersOf(member, depth+1, above)...)
	}
	return list
}

// samples are values for members and parameters of those names.
var samples = map[string]string{"productSN": "70ly1tvowt696r15", "deviceSN": "cellar-1", "name": "thermometer", "ruleID": "4", "jobID": "06h1lrkn4b4gmtsg",
	"keyID": "k3j2m5qa", "projectID": "default", "group": "north", "identifier": "reboot", "topic": "set", "payload": `{"led":1}`,
	"sql": "SELECT deviceSN(), t FROM '/+/+/upload' WHERE t > 30", "filter": "state:offline tag.site=north"}

// example is a value of the schema as JSON.
func (d docReader) example(name string, schema *yaml.Node, depth int) any {
	s := d.resolve(schema)
	if v := field(s, "default"); v != nil {
		var value any
		if v.Decode(&value) == nil {
			return value
		}
	}
	if values := items(field(s, "enum")); len(values) > 0 {
		return values[0].Value
	}
	switch text(s, "type") {
	case "array":
		return []any{d.example(strings.TrimSuffix(name, "s"), field(s, "items"), depth+1)}
	case "integer", "number":
		return 1
	case "boolean":
		return true
	case "string":
		if text(s, "format") == "date-time" {
			return "2027-01-31T12:00:00Z"
		}
		if sample := samples[name]; sample != "" {
			return sample
		}
		return "…"
	}
	out := ordered{}
	for name, member := range members(field(s, "properties")) {
		if depth < 2 && text(member, "readOnly") != "true" {
			out = append(out, pair{name, d.example(name, member, depth+1)})
		}
	}
	return out
}

type pair struct {
	name  string
	value any
}

// ordered is an object whose members stay in their order.
type ordered []pair

// MarshalJSON is json.Marshaler's.
func (o ordered) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, p := range o {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(p.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(p.value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// curl is the request for the shell.
func (d docReader) curl(o pageOperation, op *yaml.Node) string {
	path := pathParameter.ReplaceAllStringFunc(o.Path, func(p string) string {
		if sample := samples[strings.Trim(p, "{}")]; sample != "" {
			return sample
		}
		return strings.ToUpper(strings.Trim(p, "{}"))
	})
	line := "curl"
	if o.Method != "GET" {
		line += " -X " + o.Method
	}
	for _, r := range o.Responses {
		if r.Media == "text/event-stream" {
			line += " -N"
		}
	}
	line += ` "$HAWSER_HUB` + path + `"`
	if o.Need != "needs no caller" {
		line += " \\\n  -H \"Authorization: Bearer $HAWSER_API_KEY\""
	}
	if o.Body == nil {
		return line
	}
	line += " \\\n  -H 'Content-Type: " + o.Body.Media + "' \\\n  "
	if o.Body.Media != "application/json" {
		return line + "--data-binary @fleet.csv"
	}
	body, _ := json.MarshalIndent(d.example("", field(d.resolve(field(op, "requestBody")), "content", o.Body.Media, "schema"), 0), "  ", "  ") // what was read as YAML encodes
	return line + "-d '" + strings.ReplaceAll(string(body), "'", `'\''`) + "'"
}

var (
	pathParameter = regexp.MustCompile(`\{\w+\}`)
	codeSpan      = regexp.MustCompile("`([^`]+)`")
	boldSpan      = regexp.MustCompile(`\*\*([^*]+)\*\*`)
)

// prose is the little of Markdown that the document uses: paragraphs, a heading, code and bold.
func prose(text string) template.HTML {
	var b strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if block = strings.TrimSpace(block); block == "" {
			continue
		}
		tag := "p"
		if rest, ok := strings.CutPrefix(block, "# "); ok {
			tag, block = "h1", rest
		}
		block = html.EscapeString(block)
		block = codeSpan.ReplaceAllString(block, "<code>$1</code>")
		block = boldSpan.ReplaceAllString(block, "<strong>$1</strong>")
		b.WriteString("<" + tag + ">" + block + "</" + tag + ">")
	}
	return template.HTML(b.String())
}
