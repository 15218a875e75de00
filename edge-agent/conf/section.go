package conf

import (
	"bytes"
	"strings"
)

// Section is a key of the outermost map with the lines that it stands on: Text begins with the key and ends before the next one.
type Section struct {
	Key  string
	Text []byte
}

// Sections takes a file apart, so that another can be put together of them; what stands before the first key is left out. Each key must begin a line.
func Sections(b []byte) ([]Section, error) {
	root, err := Parse(b)
	if err != nil || root.Null() {
		return nil, err
	}
	if root.Kind != Map {
		return nil, root.fail("want keys with values")
	}
	lines := bytes.SplitAfter(bytes.TrimPrefix(b, []byte("\ufeff")), []byte("\n"))
	var list []Section
	for i := 0; i < len(root.Content); i += 2 {
		key, end := root.Content[i], len(lines)
		if i+2 < len(root.Content) {
			end = root.Content[i+2].Line - 1
		}
		if key.Column != 1 || strings.HasPrefix(string(lines[key.Line-1]), "{") || end < key.Line {
			return nil, key.fail("each of the outermost keys must begin a line")
		}
		text := bytes.Join(lines[key.Line-1:end], nil)
		if !bytes.HasSuffix(text, []byte("\n")) {
			text = append(text, '\n')
		}
		list = append(list, Section{key.Value, text})
	}
	return list, nil
}
