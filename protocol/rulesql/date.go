package rulesql

import (
	"strconv"
	"strings"
	"time"
)

// times are the functions of points in time, which are milliseconds since 1970 in UTC. Layouts, units and zones are constants, so that
// what is wrong with them is said when the rule is written.
func times() []function {
	return []function{
		{name: "now", run: func(*Env, *Call, val, val, val) val { return integer(time.Now().UnixMilli()) }},
		{name: "format_date", params: "it?t?", compile: (*compiler).formatDate},
		{name: "parse_date", params: "tt?t?", compile: (*compiler).parseDate},
		{name: "date_diff", params: "tii", compile: (*compiler).dateDiff},
		{name: "date_add", params: "tii", compile: (*compiler).dateAdd},
		{name: "date_trunc", params: "tit?", compile: (*compiler).dateTrunc},
		{name: "date_part", params: "tit?", compile: (*compiler).datePart},
	}
}

// word returns a constant argument; def where it is left out.
func (c *compiler) word(x *Call, i int, def, what string) string {
	if i >= len(x.Args) {
		return def
	}
	l, ok := x.Args[i].(*Literal)
	if !ok || l.value.kind != vString {
		c.fail(x.line, x.column, "write it as a text in quotes", what+" must be a constant")
		return def
	}
	return l.value.str
}

// zone returns a time zone: a name like Asia/Shanghai, UTC, or an offset like +08:00.
func (c *compiler) zone(x *Call, i int) *time.Location {
	name := c.word(x, i, "UTC", "the time zone")
	if t, err := time.Parse("-07:00", name); err == nil {
		_, offset := t.Zone()
		return time.FixedZone(name, offset)
	}
	z, err := time.LoadLocation(name)
	if err != nil || name == "Local" || name == "" {
		c.fail(x.line, x.column, "for example 'UTC', '+08:00' or 'Asia/Shanghai'", "there is no time zone "+strconv.Quote(name))
		return time.UTC
	}
	return z
}

// number compiles the i-th argument as a whole number.
func (c *compiler) number(x *Call, i int) func(*Env) (val, bool) {
	value := c.evaluator(x.Args[i])
	return func(e *Env) (val, bool) { return e.argument(x, i, 'i', value(e)) }
}

// The years that dates can have.
const (
	minMillis = -62135596800000 // 0001-01-01
	maxMillis = 253402300799999 // 9999-12-31
)

// date compiles the i-th argument as a point in time.
func (c *compiler) date(x *Call, i int) func(*Env) (time.Time, val, bool) {
	value := c.number(x, i)
	return func(e *Env) (time.Time, val, bool) {
		v, ok := value(e)
		if !ok {
			return time.Time{}, v, false
		}
		if v.num < minMillis || v.num > maxMillis {
			return time.Time{}, e.unfit(x, "times are milliseconds since 1970, in the years 1 to 9999"), false
		}
		return time.UnixMilli(v.num).UTC(), v, true
	}
}

func millis(e *Env, x *Call, t time.Time) val {
	if ms := t.UnixMilli(); ms >= minMillis && ms <= maxMillis {
		return integer(ms)
	}
	return e.unfit(x, "the time is not in the years 1 to 9999")
}

// directives are what stands for parts of a time in a layout, and how Go writes them.
var directives = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'L': "000", 'y': "06", 'I': "03", 'p': "PM", 'j': "002",
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'z': "-0700", 'Z': "MST", 'e': "_2",
}

// layout cuts a layout into directives and texts in turn.
func (c *compiler) layout(x *Call, i int) (parts []string) {
	s := c.word(x, i, "", "the layout")
	for s != "" {
		before, after, found := strings.Cut(s, "%")
		switch {
		case !found:
			return append(parts, before)
		case strings.HasPrefix(after, "%"):
			parts = append(parts, before+"%", "")
		case after == "" || directives[after[0]] == "":
			c.fail(x.line, x.column, "for example '%Y-%m-%d %H:%M:%S'", "after % stands one of Y m d H M S L y I p j a A b B e z Z %")
			return nil
		default:
			parts = append(parts, before, after[:1])
		}
		s = after[1:]
	}
	return parts
}

func (c *compiler) formatDate(x *Call) evaluator {
	date, parts, zone := c.date(x, 0), c.layout(x, 1), c.zone(x, 2)
	return func(e *Env) val {
		t, v, ok := date(e)
		if !ok {
			return v
		}
		t = t.In(zone)
		if parts == nil {
			return text(t.Format("2006-01-02T15:04:05.000Z07:00"))
		}
		var room [64]byte
		b := room[:0]
		for i, part := range parts {
			switch {
			case i%2 == 0:
				b = append(b, part...)
			case part == "L":
				b = append(b, t.Format(".000")[1:]...)
			case part != "":
				b = t.AppendFormat(b, directives[part[0]])
			}
		}
		return text(string(b))
	}
}

// isoLayouts are what parse_date takes without a layout.
var isoLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.DateOnly}

func (c *compiler) parseDate(x *Call) evaluator {
	value, layouts, zone := c.evaluator(x.Args[0]), isoLayouts, c.zone(x, 2)
	if parts := c.layout(x, 1); parts != nil {
		layouts = []string{c.goLayout(x, parts)}
	}
	return func(e *Env) val {
		s, ok := e.argument(x, 0, 't', value(e))
		if !ok {
			return s
		}
		for _, layout := range layouts {
			if t, err := time.ParseInLocation(layout, s.str, zone); err == nil {
				return millis(e, x, t)
			}
		}
		return e.unfit(x, "the text is not a date of this layout")
	}
}

// goLayout writes a layout as Go's parser takes it, which would read some words and digits as parts of a date.
func (c *compiler) goLayout(x *Call, parts []string) string {
	var b strings.Builder
	for i, part := range parts {
		if i%2 == 0 {
			if strings.ContainsFunc(part, func(r rune) bool {
				return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' && r != 'T' && r != 'Z' || r == '_'
			}) {
				c.fail(x.line, x.column, "cut them off first, for example with substr", "a layout for reading can have no letters but T and Z, and no digits")
			}
			b.WriteString(part)
			continue
		}
		if part == "L" && !strings.HasSuffix(b.String(), ".") && !strings.HasSuffix(b.String(), ",") {
			c.fail(x.line, x.column, "for example '%S.%L'", "in a layout for reading %L stands behind a point")
		}
		if part != "" {
			b.WriteString(directives[part[0]])
		}
	}
	return b.String()
}
