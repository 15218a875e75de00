// Package conf reads configuration files: the part of YAML that people write in them. It knows maps and lists in blocks and in braces, scalars plain, quoted and
// as literal or folded blocks, and comments. It refuses, with line and column, what makes YAML large: anchors, aliases, tags, several documents, keys that
// are no scalars, scalars over several lines without a mark, and a key twice.
//
// What it takes means the same as in YAML: tests and a fuzz test hold it to a whole implementation, which would be 4 % of the agent's program.
package conf

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Kind is what a Node is.
type Kind uint8

// The kinds.
const (
	Scalar Kind = iota
	Map
	List
)

// Style is how a scalar is written.
type Style uint8

// The styles.
const (
	Plain Style = iota
	Quoted
	Literal
	Folded
)

// Node is a value and where it begins. A Map's Content is key, value, key, value …
type Node struct {
	Kind         Kind
	Style        Style
	Value        string // of a Scalar
	Line, Column int    // from 1
	Content      []*Node
}

// Null reports whether n stands for nothing.
func (n *Node) Null() bool {
	if n.Kind != Scalar || n.Style != Plain {
		return false
	}
	switch n.Value {
	case "", "~", "null", "Null", "NULL":
		return true
	}
	return false
}

// Error is what is wrong with a file, and where.
type Error struct {
	Line, Column int
	Reason       string
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// Limits of a file.
const (
	MaxBytes = 1 << 20
	maxDepth = 64
	maxKey   = 1000 // YAML's own is 1024 characters
)

var (
	errLarge = errors.New("conf: more than 1 MiB")
	errText  = errors.New("conf: not text in UTF-8")
)

// Parse reads a file. An empty one is a null.
func Parse(b []byte) (*Node, error) {
	if len(b) > MaxBytes {
		return nil, errLarge
	}
	text := strings.TrimPrefix(string(b), "\ufeff")
	if !utf8.ValidString(text) || strings.ContainsFunc(text, control) {
		return nil, errText
	}
	p := &parser{}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.Contains(line, "\r") {
			return nil, errText // alone it is a line's end in YAML
		}
		p.lines = append(p.lines, line)
	}
	return p.document()
}

// control are characters that YAML does not have, and those that it breaks lines at beside the usual ones.
func control(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r <= 0x9f || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff
}
