package slot

import (
	"bytes"
	"fmt"
	"strings"
)

// grubSize and grubHead are of GRUB's environment block.
const (
	grubSize = 1024
	grubHead = "# GRUB Environment Block\n"
)

// ParseGRUB reads a GRUB environment block: 1,024 bytes, a first line that says so, a line for each variable with a backslash before a backslash or a
// line feed of the value, comments, and # to the end.
func ParseGRUB(b []byte) (Variables, error) {
	if len(b) != grubSize || !bytes.HasPrefix(b, []byte(grubHead)) {
		return nil, fmt.Errorf("%w: no GRUB environment block (%d bytes)", ErrInvalid, len(b))
	}
	var v Variables
	for rest := b[len(grubHead):]; len(rest) > 0; {
		if rest[0] == '#' { // a comment, or the padding
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				break
			}
			rest = rest[end+1:]
			continue
		}
		line, n := grubLine(rest)
		if n == 0 {
			return nil, fmt.Errorf("%w: a line of the GRUB environment has no end", ErrInvalid)
		}
		rest = rest[n:]
		x, ok := cutVariable(line)
		if !ok {
			return nil, fmt.Errorf("%w: %.40q in the GRUB environment is no variable", ErrInvalid, line)
		}
		v = append(v, x)
	}
	return v, nil
}

// grubLine takes a line without its escapes from b; n is how long it was, 0 if it does not end.
func grubLine(b []byte) (line string, n int) {
	var text strings.Builder
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '\n':
			return text.String(), i + 1
		case b[i] == '\\' && i+1 < len(b):
			i++
		}
		text.WriteByte(b[i])
	}
	return "", 0
}

// EncodeGRUB writes a block, as ParseGRUB reads it.
func EncodeGRUB(v Variables) ([]byte, error) {
	b := []byte(grubHead)
	escape := strings.NewReplacer(`\`, `\\`, "\n", "\\\n")
	for _, x := range v {
		if x.Name == "" || x.Name[0] == '#' || strings.ContainsAny(x.Name, "=\n\\") {
			return nil, fmt.Errorf("%w: variable %.40q", ErrInvalid, x.Name)
		}
		b = append(b, x.Name+"="+escape.Replace(x.Value)+"\n"...)
	}
	if len(b) > grubSize {
		return nil, fmt.Errorf("slot: the GRUB environment needs %d bytes and has %d", len(b), grubSize)
	}
	return append(b, bytes.Repeat([]byte{'#'}, grubSize-len(b))...), nil
}
