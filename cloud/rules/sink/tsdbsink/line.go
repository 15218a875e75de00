package tsdbsink

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// point is one line of the line protocol: measurement,tag=value field=value nanoseconds.
type point struct {
	measurement string
	tags        []tag   // by key, ascending, which is the order that servers store them in
	fields      []field // at least one
	nanos       int64
}

type tag struct{ key, value string }

// field's value is a float64, int64, bool or string.
type field struct {
	key   string
	value any
}

// errNoField is returned for a point without a field: the protocol has none.
var errNoField = errors.New("none of the fields has a value")

// append appends the line with its line feed. What the protocol cannot say is an error, and dst is returned as it was: a
// changed name would be another series, and nobody would see it.
//
// A backslash is escaped nowhere but in strings: before another character it stands for itself. So one before a character
// that is escaped, before another backslash or at the end cannot be written in a measurement, tag or key; servers read
// it differently.
func (p *point) append(dst []byte) ([]byte, error) {
	line, err := appendName(dst, p.measurement, ", ")
	if err != nil {
		return dst, fmt.Errorf("measurement: %w", err)
	}
	if p.measurement == "" || p.measurement[0] == '#' {
		return dst, errors.New("measurement: is empty or begins with #, which makes the line a comment")
	}
	for _, t := range p.tags {
		if t.value == "" {
			continue // a tag without a value is one that is not there
		}
		if line, err = appendName(append(line, ','), t.key, ",= "); err == nil {
			line, err = appendName(append(line, '='), t.value, ",= ")
		}
		if err != nil {
			return dst, fmt.Errorf("tag %s: %w", t.key, err)
		}
	}
	separator := byte(' ')
	for _, f := range p.fields {
		if line, err = appendName(append(line, separator), f.key, ",= "); err != nil {
			return dst, fmt.Errorf("field %s: %w", f.key, err)
		}
		if line, err = appendValue(append(line, '='), f.value); err != nil {
			return dst, fmt.Errorf("field %s: %w", f.key, err)
		}
		separator = ','
	}
	if len(p.fields) == 0 {
		return dst, errNoField
	}
	return append(strconv.AppendInt(append(line, ' '), p.nanos, 10), '\n'), nil
}

// appendName appends a measurement, key or tag value, with a backslash before each of special.
func appendName(dst []byte, s, special string) ([]byte, error) {
	for i := range len(s) {
		c := s[i]
		switch {
		case c < ' ' || c == 0x7f:
			return dst, fmt.Errorf("%q: the line protocol has no control characters there", s)
		case c == '\\' && (i+1 == len(s) || strings.IndexByte(`,= \`, s[i+1]) >= 0):
			return dst, fmt.Errorf("%q: the line protocol has no backslash at the end, before another, or before a comma, an equals sign or a space", s)
		case strings.IndexByte(special, c) >= 0:
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return dst, nil
}

func appendValue(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case int64:
		return append(strconv.AppendInt(dst, v, 10), 'i'), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case string:
		dst = append(dst, '"')
		for i := range len(v) {
			if v[i] == '"' || v[i] == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, v[i])
		}
		return append(dst, '"'), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return dst, errors.New("the line protocol has no infinity")
		}
		return strconv.AppendFloat(dst, v, 'g', -1, 64), nil
	}
	return dst, fmt.Errorf("the line protocol has no %T", v)
}
