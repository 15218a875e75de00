package conf

import (
	"fmt"
	"strings"
)

// parser walks over lines; at is the next byte of the line.
type parser struct {
	lines    []string
	line, at int
	depth    int
}

func (p *parser) fail(format string, args ...any) error {
	return &Error{p.line + 1, p.at + 1, fmt.Sprintf(format, args...)}
}

func (p *parser) end() bool { return p.line >= len(p.lines) }

// rest is what is left of the line.
func (p *parser) rest() string {
	if p.end() {
		return ""
	}
	return p.lines[p.line][p.at:]
}

func (p *parser) node(kind Kind) *Node { return &Node{Kind: kind, Line: p.line + 1, Column: p.at + 1} }

// blank goes over what says nothing: blanks, comments, empty lines. Tabs are refused: where YAML takes them is hard to say.
func (p *parser) blank() error {
	for !p.end() {
		rest := p.rest()
		trimmed := strings.TrimLeft(rest, " ")
		if strings.HasPrefix(trimmed, "\t") {
			p.at += len(rest) - len(trimmed)
			return p.fail("a tab")
		}
		skipped := len(rest) - len(trimmed)
		comment := strings.HasPrefix(trimmed, "#") && (p.at+skipped == 0 || skipped > 0 || p.lines[p.line][p.at-1] == ' ')
		if trimmed != "" && !comment {
			p.at += skipped
			return nil
		}
		p.line, p.at = p.line+1, 0
	}
	return nil
}

// document is the one that the file has.
func (p *parser) document() (*Node, error) {
	if err := p.blank(); err != nil {
		return nil, err
	}
	if !p.end() && p.at == 0 && p.rest() == "---" {
		p.line++
		if err := p.blank(); err != nil {
			return nil, err
		}
	}
	n, err := p.block(-1)
	if err != nil {
		return nil, err
	}
	if err := p.blank(); err != nil {
		return nil, err
	}
	if !p.end() && p.marker() {
		return nil, p.fail("more than one YAML document")
	}
	if !p.end() {
		return nil, p.fail("unexpected %q: indented otherwise than what it belongs to, or a second value", short(p.rest()))
	}
	return n, nil
}

func short(s string) string {
	if r := []rune(s); len(r) > 20 {
		return string(r[:20]) + "…"
	}
	return s
}

// marker tells whether a line begins or ends a document.
func (p *parser) marker() bool {
	rest := p.rest()
	return p.at == 0 && len(rest) >= 3 && (rest[:3] == "---" || rest[:3] == "...") && (len(rest) == 3 || rest[3] == ' ' || rest[3] == '\t')
}

// block is the value at the next token, when that is indented by more than indent; else it is a null.
func (p *parser) block(indent int) (*Node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail("too deep")
	}
	defer func() { p.depth-- }()
	if err := p.blank(); err != nil {
		return nil, err
	}
	if p.end() || p.at <= indent {
		return p.node(Scalar), nil
	}
	if p.marker() {
		return nil, p.fail("more than one YAML document")
	}
	if item(p.rest()) {
		return p.list(p.at)
	}
	if key, err := p.key(); err != nil {
		return nil, err
	} else if key != nil {
		return p.mapping(key)
	}
	return p.value(indent)
}

// item tells whether a line goes on with an item of a list.
func item(rest string) bool { return rest == "-" || strings.HasPrefix(rest, "- ") }

func (p *parser) list(indent int) (*Node, error) {
	n := p.node(List)
	for !p.end() && p.at == indent && item(p.rest()) && !p.marker() {
		line := p.line
		p.at++
		if err := p.blank(); err != nil {
			return nil, err
		}
		if !p.end() && p.line != line && p.at <= indent {
			n.Content = append(n.Content, &Node{Line: line + 1, Column: indent + 2})
			continue
		}
		v, err := p.block(indent)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, v)
		if err := p.blank(); err != nil {
			return nil, err
		}
	}
	return n, p.settled(indent)
}

// settled checks that what comes behind a map or a list belongs to something around it.
func (p *parser) settled(indent int) error {
	if !p.end() && p.at > indent {
		return p.fail("unexpected %q: indented otherwise than what it belongs to", short(p.rest()))
	}
	return nil
}

// key is the key at the token with the colon behind it; nil when it is none, and then nothing is read.
func (p *parser) key() (*Node, error) {
	from := p.at
	n := p.node(Scalar)
	rest := p.rest()
	switch {
	case rest[0] == '"' || rest[0] == '\'':
		if err := p.quoted(n); err != nil {
			return nil, err
		}
		if after := strings.TrimLeft(p.rest(), " "); !strings.HasPrefix(after, ":") || len(after) > 1 && after[1] != ' ' {
			p.at = from
			return nil, nil
		}
		p.at += strings.IndexByte(p.rest(), ':') + 1
		return n, nil
	case strings.ContainsRune(indicators, rune(rest[0])), len(rest) > 1 && (rest[0] == '?' || rest[0] == ':') && rest[1] == ' ', rest == "?", rest == ":":
		return nil, nil // value says what it is
	}
	for i := range len(rest) {
		switch {
		case rest[i] == '#' && i > 0 && rest[i-1] == ' ', rest[i] == '\t':
			return nil, nil
		case rest[i] == ':' && (i+1 == len(rest) || rest[i+1] == ' '):
			if n.Value = strings.TrimRight(rest[:i], " "); n.Value == "<<" || n.Value == "" {
				return nil, p.fail("%q is no key here", n.Value)
			}
			p.at += i + 1
			return n, nil
		}
	}
	return nil, nil
}

// mapping is a map whose first key was read.
func (p *parser) mapping(key *Node) (*Node, error) {
	n := &Node{Kind: Map, Line: key.Line, Column: key.Column}
	indent := key.Column - 1
	seen := map[string]bool{}
	for {
		if p.at-key.Column > maxKey {
			return nil, key.fail("a key of more than %d bytes", maxKey)
		}
		if seen[key.Value] {
			return nil, &Error{key.Line, key.Column, fmt.Sprintf("the key %q is there twice", key.Value)}
		}
		seen[key.Value] = true
		v, err := p.member(indent)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, key, v)
		if err := p.blank(); err != nil {
			return nil, err
		}
		if p.end() || p.at != indent || item(p.rest()) || p.marker() {
			return n, p.settled(indent)
		}
		if key, err = p.key(); err != nil {
			return nil, err
		}
		if key == nil {
			return nil, p.fail("unexpected %q: want a key with a colon and a blank behind it", short(p.rest()))
		}
	}
}

// member is the value behind a key.
func (p *parser) member(indent int) (*Node, error) {
	line, at := p.line, p.at
	if err := p.blank(); err != nil {
		return nil, err
	}
	switch {
	case p.line == line && !p.end():
		return p.value(indent)
	case !p.end() && p.at == indent && item(p.rest()) && !p.marker(): // a list may stand as far left as its key
		return p.list(indent)
	case p.end() || p.at <= indent:
		return &Node{Line: line + 1, Column: at + 1}, nil
	}
	return p.block(indent)
}

// value is what is no block map and no block list, with nothing but a comment behind it.
func (p *parser) value(indent int) (n *Node, err error) {
	switch c := p.rest()[0]; c {
	case '{', '[':
		n, err = p.flow()
	case '"', '\'':
		n = p.node(Scalar)
		err = p.quoted(n)
	case '|', '>':
		return p.text(indent)
	default:
		n = p.node(Scalar)
		n.Value, err = p.plain("")
	}
	if err != nil {
		return nil, err
	}
	after := p.rest()
	switch trimmed := strings.TrimLeft(after, " "); {
	case trimmed == "" || trimmed[0] == '#' && trimmed != after:
		p.line, p.at = p.line+1, 0
	default:
		return nil, p.fail("unexpected %q behind a value", short(trimmed))
	}
	if err := p.blank(); err != nil {
		return nil, err
	}
	if !p.end() && p.at > indent && indent >= 0 {
		return nil, p.fail("unexpected %q: the value ended on the line before", short(p.rest()))
	}
	return n, nil
}
