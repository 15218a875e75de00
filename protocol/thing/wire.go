package thing

import (
	"strconv"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// appendJSON appends a value that check accepts in the form that is sent.
func (s *shape) appendJSON(dst []byte, v codec.Value) []byte {
	switch s.kind {
	case Int32, Enum, Date:
		n, _ := integer(v)
		return strconv.AppendInt(dst, n, 10)
	case Float32, Float64:
		return v.AppendJSON(dst)
	case Bool:
		on, ok := v.Bool()
		if !ok {
			n, _ := integer(v)
			on = n == 1
		}
		if on {
			return append(dst, '1')
		}
		return append(dst, '0')
	case Array:
		dst = append(dst, '[')
		v.Elems(func(i int, e codec.Value) bool {
			dst = s.item.appendJSON(comma(dst, i), e)
			return true
		})
		return append(dst, ']')
	case Struct:
		return s.members.appendJSON(dst, v)
	}
	return v.AppendJSON(dst)
}

func (m *members) appendJSON(dst []byte, v codec.Value) []byte {
	dst = append(dst, '{')
	n := 0
	for i, name := range m.names {
		e := v.Get(name)
		if e.Kind() == codec.Missing {
			continue
		}
		dst = append(comma(dst, n), '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':')
		dst = m.shapes[i].appendJSON(dst, e)
		n++
	}
	return append(dst, '}')
}
