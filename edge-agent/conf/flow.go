package conf

import (
	"fmt"
	"strings"
)

// flow is a map in braces or a list in brackets, over as many lines as it needs.
func (p *parser) flow() (*Node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail("too deep")
	}
	defer func() { p.depth-- }()
	n := p.node(List)
	closing := byte(']')
	if p.rest()[0] == '{' {
		n.Kind, closing = Map, '}'
	}
	p.at++
	seen := map[string]bool{}
	for {
		if err := p.inside(); err != nil {
			return nil, err
		}
		if p.rest()[0] == closing {
			p.at++
			return n, nil
		}
		if err := p.element(n, seen); err != nil {
			return nil, err
		}
		if err := p.inside(); err != nil {
			return nil, err
		}
		switch p.rest()[0] {
		case ',':
			p.at++
		case closing:
		default:
			return nil, p.fail("unexpected %q: want a comma or %q", short(p.rest()), closing)
		}
	}
}

// inside goes to the next token, which must be there.
func (p *parser) inside() error {
	if err := p.blank(); err != nil {
		return err
	}
	switch {
	case p.end():
		p.line, p.at = len(p.lines)-1, len(p.lines[len(p.lines)-1])
		return p.fail("the end of the file within brackets")
	case p.marker():
		return p.fail("the end of a document within brackets")
	}
	return nil
}

// element is a value of a list, or a key and a value of a map.
func (p *parser) element(n *Node, seen map[string]bool) error {
	if n.Kind == List {
		v, err := p.part()
		if err != nil {
			return err
		}
		if strings.HasPrefix(strings.TrimLeft(p.rest(), " "), ":") {
			return p.fail("a colon in a list: put braces around the pair, or quote it")
		}
		n.Content = append(n.Content, v)
		return nil
	}
	line := p.line
	key, err := p.part()
	if err != nil {
		return err
	}
	if key.Kind != Scalar || key.Style == Plain && key.Value == "<<" {
		return &Error{key.Line, key.Column, "want a scalar as a key"}
	}
	if p.at-key.Column > maxKey {
		return key.fail("a key of more than %d bytes", maxKey)
	}
	if seen[key.Value] {
		return &Error{key.Line, key.Column, fmt.Sprintf("the key %q is there twice", key.Value)}
	}
	seen[key.Value] = true
	if err := p.inside(); err != nil {
		return err
	}
	if p.rest()[0] != ':' || p.line != line {
		return p.fail("unexpected %q: want a colon behind the key", short(p.rest()))
	}
	p.at++
	at := *p
	if err := p.inside(); err != nil {
		return err
	}
	if c := p.rest()[0]; c == ',' || c == '}' {
		n.Content = append(n.Content, key, at.node(Scalar))
		return nil
	}
	if p.line == at.line && p.at == at.at && key.Style == Plain {
		return p.fail("want a blank behind the colon")
	}
	v, err := p.part()
	n.Content = append(n.Content, key, v)
	return err
}

// part is a value within brackets.
func (p *parser) part() (*Node, error) {
	switch p.rest()[0] {
	case '{', '[':
		return p.flow()
	case '"', '\'':
		n := p.node(Scalar)
		return n, p.quoted(n)
	}
	n := p.node(Scalar)
	var err error
	n.Value, err = p.plain(",[]{}")
	return n, err
}
