// Package template fills the texts that people write into actions, "/${productSN}/${deviceSN}/set" for one, with what is in
// a rule's output.
//
// A template is parsed once, when its action is made. For each record a Row is opened, which decodes the result at most once,
// however many templates ask it. ${name} is looked up in the result by its whole name first (the result of SELECT deviceSN()
// has a member "deviceSN()"), then as a path (${light.state}, ${points.0.x}), and then among what is known of the record itself:
// deviceSN, productSN (both also with brackets), topic, messageID, timestamp (Unix ms of the message) and recordKey, which
// names the output and is the same at each delivery. Those are there for outputs that are not JSON too.
//
// What comes out is the caller's to bind or to escape: the package knows nothing of SQL, topics or JSON bodies. There is no way
// to write a literal "${".
package template

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxFields is how many fields a template may have.
const MaxFields = 256

// Template is text and fields in turn: text[0] fields[0] text[1] … It is immutable.
type Template struct {
	text   []string
	fields []field
}

// field is one ${name}.
type field struct {
	name string
	path []step // nil when the name has no dot
}

// step is one part of a path.
type step struct {
	key   string
	index int // -1 when the key is no index
}

// Parse compiles a template.
func Parse(s string) (*Template, error) {
	t := &Template{}
	for {
		before, rest, found := strings.Cut(s, "${")
		t.text = append(t.text, before)
		if !found {
			return t, nil
		}
		name, after, closed := strings.Cut(rest, "}")
		switch {
		case !closed:
			return nil, fmt.Errorf("template: ${ without a } behind it, in %q", "${"+cut(rest))
		case name == "" || strings.TrimSpace(name) != name:
			return nil, fmt.Errorf("template: ${%s} names no field", name)
		case len(t.fields) == MaxFields:
			return nil, fmt.Errorf("template: there may be at most %d fields", MaxFields)
		}
		t.fields = append(t.fields, newField(name))
		s = after
	}
}

func cut(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

func newField(name string) field {
	f := field{name: name}
	if !strings.Contains(name, ".") {
		return f
	}
	for key := range strings.SplitSeq(name, ".") {
		index := -1
		if n, err := strconv.Atoi(key); err == nil && n >= 0 {
			index = n
		}
		f.path = append(f.path, step{key, index})
	}
	return f
}

// Fields lists the names of the fields, each as often as it stands in the template.
func (t *Template) Fields() []string {
	names := make([]string, len(t.fields))
	for i := range t.fields {
		names[i] = t.fields[i].name
	}
	return names
}

// Literal returns the text of a template without fields.
func (t *Template) Literal() (string, bool) {
	return t.text[0], len(t.fields) == 0
}

// Single tells whether the template is one field and nothing else: then its value has a type.
func (t *Template) Single() bool {
	return len(t.fields) == 1 && t.text[0] == "" && t.text[1] == ""
}

// String is the template as it was parsed.
func (t *Template) String() string {
	var b strings.Builder
	for i, text := range t.text {
		b.WriteString(text)
		if i < len(t.fields) {
			b.WriteString("${" + t.fields[i].name + "}")
		}
	}
	return b.String()
}

// Text fills the template with texts: a string as it is, everything else as JSON, null too. A field that is not there is an error
// that wraps ErrMissing and rules.ErrPermanent.
func (t *Template) Text(row *Row) (string, error) {
	if text, ok := t.Literal(); ok {
		return text, nil
	}
	b := make([]byte, 0, 64)
	for i := range t.fields {
		b = append(b, t.text[i]...)
		var err error
		if b, err = row.appendText(b, &t.fields[i]); err != nil {
			return "", err
		}
	}
	return string(append(b, t.text[len(t.fields)]...)), nil
}

// Value is the value of the one ${field} that the template is: nil, bool, int64, uint64 (what is beyond int64), float64, string, or
// json.RawMessage for an object or array. Any other template gives its Text. What is returned stays valid after the row's release.
func (t *Template) Value(row *Row) (any, error) {
	if !t.Single() {
		return t.Text(row)
	}
	return row.value(&t.fields[0])
}

// Expand is Text for those who have their own ideas of what may stand in the place of a field: text is given each one's name
// and value, as Value has it, and its errors end the work.
func (t *Template) Expand(row *Row, text func(field string, value any) (string, error)) (string, error) {
	var b strings.Builder
	for i := range t.fields {
		b.WriteString(t.text[i])
		v, err := row.value(&t.fields[i])
		if err != nil {
			return "", err
		}
		s, err := text(t.fields[i].name, v)
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	b.WriteString(t.text[len(t.fields)])
	return b.String(), nil
}
