package conf

import (
	"strconv"
	"strings"
)

// indicators are what a plain scalar does not begin with.
const indicators = ",[]{}#&*!|>'\"%@`"

// plain is a plain scalar up to the end of the line, a comment, or one of stops.
func (p *parser) plain(stops string) (string, error) {
	rest := p.rest()
	switch c := rest[0]; {
	case c == '&' || c == '*' || c == '!':
		return "", p.fail("anchors, aliases and tags are not known here: quote the value if it is none")
	case strings.IndexByte(indicators, c) >= 0:
		return "", p.fail("a value does not begin with %q: quote it", c)
	case c == '?', c == ':', c == '-' && (len(rest) == 1 || rest[1] == ' ' || strings.IndexByte(stops, rest[1]) >= 0):
		return "", p.fail("unexpected %q", c)
	}
	end := len(rest)
	for i := range len(rest) {
		if rest[i] == '\t' {
			p.at += i
			return "", p.fail("a tab in a value: quote it")
		}
		if rest[i] == ':' && stops == "" && (i+1 == len(rest) || rest[i+1] == ' ') {
			p.at += i
			return "", p.fail("a colon in a value: quote it")
		}
		if stops != "" && (rest[i] == '?' || rest[i] == ':' && i+1 < len(rest) && strings.IndexByte(stops, rest[i+1]) >= 0) {
			p.at += i
			return "", p.fail("%q within brackets: quote the value, or put a blank behind a colon", rest[i])
		}
		if rest[i] == '#' && i > 0 && rest[i-1] == ' ' || strings.IndexByte(stops, rest[i]) >= 0 ||
			rest[i] == ':' && (i+1 == len(rest) || rest[i+1] == ' ') {
			end = i
			break
		}
	}
	value := strings.TrimRight(rest[:end], " ")
	p.at += len(value)
	return value, nil
}

// quoted is a scalar in quotes, on one line.
func (p *parser) quoted(n *Node) error {
	n.Style = Quoted
	rest := p.rest()
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == rest[0] && c == '\'' && strings.HasPrefix(rest[i+1:], "'"):
			b.WriteByte('\'')
			i++
		case c == rest[0]:
			n.Value = b.String()
			p.at += i + 1
			return nil
		case c == '\\' && rest[0] == '"':
			size, ok := escape(&b, rest[i+1:])
			if !ok {
				p.at += i
				return p.fail("an escape that is not known")
			}
			i += size
		default:
			b.WriteByte(c)
		}
	}
	return p.fail("the quotes do not end on this line")
}

// escapes are those of one character.
var escapes = map[byte]string{
	'0': "\x00", 'a': "\a", 'b': "\b", 't': "\t", 'n': "\n", 'v': "\v", 'f': "\f", 'r': "\r", 'e': "\x1b", ' ': " ", '"': "\"", '/': "/", '\\': "\\",
	'N': "\u0085", '_': "\u00a0", 'L': "\u2028", 'P': "\u2029",
}

// escape writes what an escape stands for, and returns how many bytes it has behind the backslash.
func escape(b *strings.Builder, s string) (int, bool) {
	if s == "" {
		return 0, false
	}
	if text, ok := escapes[s[0]]; ok {
		b.WriteString(text)
		return 1, true
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[0]]
	if digits == 0 || len(s) <= digits || strings.ContainsAny(s[1:digits+1], "_+-") {
		return 0, false
	}
	v, err := strconv.ParseUint(s[1:digits+1], 16, 32)
	if err != nil || v >= 0xd800 && v < 0xe000 || v > 0x10ffff {
		return 0, false
	}
	b.WriteRune(rune(v))
	return digits + 1, true
}

// text is a literal or folded block. Its lines are indented by more than indent, and all as the first one.
func (p *parser) text(indent int) (*Node, error) {
	n := p.node(Scalar)
	head := p.rest()
	n.Style = Literal
	if head[0] == '>' {
		n.Style = Folded
	}
	chomp := strings.TrimRight(head[1:], " ")
	if chomp != "" && chomp != "-" && chomp != "+" {
		return nil, p.fail("unexpected %q: want |, |-, |+, >, >- or >+ and nothing behind it", short(head))
	}
	p.line, p.at = p.line+1, 0
	lines, open, err := p.indented(max(indent, 0))
	if err != nil {
		return nil, err
	}
	body := lines
	for len(body) > 0 && body[len(body)-1] == "" {
		body = body[:len(body)-1]
	}
	n.Value = strings.Join(body, "\n")
	if n.Style == Folded {
		if n.Value, err = p.fold(body); err != nil {
			return nil, err
		}
	}
	if chomp == "+" {
		n.Value += strings.Repeat("\n", len(lines)-len(body))
	}
	if chomp != "-" && len(body) > 0 && !open { // the file's last line may have no end
		n.Value += "\n"
	}
	return n, nil
}

// indented are the lines of a block, without what indents them; open says that the last one has no end.
func (p *parser) indented(indent int) (lines []string, open bool, err error) {
	by := -1
	for ; !p.end(); p.line++ {
		line := p.lines[p.line]
		trimmed := strings.TrimLeft(line, " ")
		depth := len(line) - len(trimmed)
		switch {
		case trimmed == "" && (by < 0 || depth <= by):
			if p.line == len(p.lines)-1 {
				continue // behind the last line's end
			}
			if by < 0 && depth > 0 {
				return nil, false, p.fail("blanks in an empty line before a text")
			}
			lines = append(lines, "")
			continue
		case by < 0 && depth > indent:
			by = depth
		case depth < by || by < 0:
			if depth > indent && trimmed[0] != '#' || trimmed[0] == '\t' {
				return nil, false, p.fail("a line of the text is indented by less than the first")
			}
			return lines, false, nil
		}
		if line[by:] == "" || line[by] == '\t' {
			return nil, false, p.fail("a line of the text that begins with a tab")
		}
		lines = append(lines, line[by:])
		open = p.line == len(p.lines)-1
	}
	return lines, open, nil
}

// fold makes blanks of line ends, and line ends of empty lines.
func (p *parser) fold(lines []string) (string, error) {
	var b strings.Builder
	for i, line := range lines {
		if strings.HasPrefix(line, " ") {
			return "", p.fail("a line of a folded text that is indented further: use | instead of >")
		}
		switch {
		case line == "":
			b.WriteByte('\n')
		case i > 0 && lines[i-1] != "":
			b.WriteString(" " + line)
		default:
			b.WriteString(line)
		}
	}
	return b.String(), nil
}
