package tsdbsink

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestLine(t *testing.T) {
	f := []field{{"v", 1.5}}
	tests := []struct {
		name string
		p    point
		want string // "" is an error
	}{
		{"all kinds", point{"m", []tag{{"a", "b"}}, []field{{"f", 20.0}, {"i", int64(-7)}, {"b", true}, {"s", "x"}}, 5}, `m,a=b f=20,i=-7i,b=true,s="x" 5`},
		{"measurement", point{"a b,c=d", nil, f, -1}, `a\ b\,c=d v=1.5 -1`},
		{"tag", point{"m", []tag{{"k =,", "a b,c=d"}}, f, 0}, `m,k\ \=\,=a\ b\,c\=d v=1.5 0`},
		{"tag with quotes", point{"m", []tag{{"k", `"x"`}}, f, 0}, `m,k="x" v=1.5 0`},
		{"tag with a backslash", point{"m", []tag{{"k", `C:\dir`}}, f, 0}, `m,k=C:\dir v=1.5 0`},
		{"tag that is empty", point{"m", []tag{{"k", ""}, {"l", "1"}}, f, 0}, `m,l=1 v=1.5 0`},
		{"tag beyond ASCII", point{"m", []tag{{"k", "größe 東京"}}, f, 0}, `m,k=größe\ 東京 v=1.5 0`},
		{"field's key", point{"m", nil, []field{{"a b,c=d", 1.0}}, 0}, `m a\ b\,c\=d=1 0`},
		{"string", point{"m", nil, []field{{"s", "say \"hi\"\\\n, a=b"}}, 0}, "m s=\"say \\\"hi\\\"\\\\\n, a=b\" 0"},
		{"string that is empty", point{"m", nil, []field{{"s", ""}}, 0}, `m s="" 0`},
		{"big numbers", point{"m", nil, []field{{"f", 1e21}, {"i", int64(math.MaxInt64)}, {"t", 5e-324}}, math.MaxInt64}, `m f=1e+21,i=9223372036854775807i,t=5e-324 9223372036854775807`},
		{"no field", point{"m", nil, nil, 0}, ""},
		{"no measurement", point{"", nil, f, 0}, ""},
		{"a comment", point{"#m", nil, f, 0}, ""},
		{"line feed in a measurement", point{"a\nb", nil, f, 0}, ""},
		{"line feed in a tag", point{"m", []tag{{"k", "a\nb"}}, f, 0}, ""},
		{"backslash at the end", point{"m", []tag{{"k", `a\`}}, f, 0}, ""},
		{"backslash before a comma", point{"m", []tag{{"k", `a\,b`}}, f, 0}, ""},
		{"two backslashes", point{"m", []tag{{"k", `a\\b`}}, f, 0}, ""},
		{"infinity", point{"m", nil, []field{{"f", math.Inf(1)}}, 0}, ""},
		{"no number", point{"m", nil, []field{{"f", math.NaN()}}, 0}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.p.append([]byte("before "))
			if tt.want == "" {
				if err == nil || string(got) != "before " {
					t.Errorf("got %q, %v, want an error and nothing added", got, err)
				}
				return
			}
			if err != nil || string(got) != "before "+tt.want+"\n" {
				t.Errorf("got  %q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
}

// FuzzLine holds that a line reads back as the point that it was made of, and as one line, or is refused.
func FuzzLine(f *testing.F) {
	f.Add("m", "k", "v", "f", "text", 1.5, int64(7), int64(9))
	f.Add(`a\ b`, "a=b", `x\`, `"`, "\\\"\n", math.Inf(-1), int64(math.MinInt64), int64(-1))
	f.Add("#", ",", " ", "\x00", `\`, 1e300, int64(0), int64(0))
	f.Fuzz(func(t *testing.T, measurement, tagKey, tagValue, fieldKey, text string, num float64, i, nanos int64) {
		if validKey(tagKey) != nil || validKey(fieldKey) != nil {
			return // never gets as far
		}
		p := point{measurement, []tag{{tagKey, tagValue}}, []field{{fieldKey, num}, {fieldKey, i}, {fieldKey, i&1 == 0}, {fieldKey, text}}, nanos}
		line, err := p.append(nil)
		if err != nil {
			return
		}
		if tagValue == "" {
			p.tags = nil
		}
		for name, escaped := range map[string]bool{"a backslash stands for itself": false, "a backslash can be escaped": true} {
			got, err := read(string(line), escaped)
			if err != nil {
				t.Fatalf("%s: %q: %v", name, line, err)
			}
			if !reflect.DeepEqual(got, p) {
				t.Fatalf("%s: %q is read as\n%+v, want\n%+v", name, line, got, p)
			}
		}
	})
}

// read is a reader of the line protocol as its reference has it, independent of the encoder. Servers differ in one thing: whether \\ in a
// name is two backslashes (InfluxDB) or one (VictoriaMetrics).
func read(line string, escaped bool) (point, error) {
	r := reader{s: line, escaped: escaped}
	p := point{measurement: r.name(", ")}
	for r.take(',') {
		t := tag{key: r.name(",= ")}
		if !r.take('=') {
			return p, r.fault("tag without =")
		}
		t.value = r.name(",= ")
		p.tags = append(p.tags, t)
	}
	if !r.take(' ') {
		return p, r.fault("no space before the fields")
	}
	for more := true; more; more = r.take(',') {
		f := field{key: r.name(",= ")}
		if !r.take('=') {
			return p, r.fault("field without =")
		}
		var err error
		if f.value, err = r.value(); err != nil {
			return p, err
		}
		p.fields = append(p.fields, f)
	}
	if !r.take(' ') {
		return p, r.fault("no space before the time")
	}
	digits, rest, ok := strings.Cut(r.s, "\n")
	var err error
	if p.nanos, err = strconv.ParseInt(digits, 10, 64); err != nil || !ok || rest != "" {
		return p, r.fault("no time, or more than a line")
	}
	return p, nil
}

type reader struct {
	s       string
	escaped bool
}

func (r *reader) fault(what string) error { return fmt.Errorf("%s at %q", what, r.s) }

func (r *reader) take(c byte) bool {
	if r.s == "" || r.s[0] != c {
		return false
	}
	r.s = r.s[1:]
	return true
}

// name reads up to one of end that no backslash stands before.
func (r *reader) name(end string) string {
	var b strings.Builder
	for r.s != "" && strings.IndexByte(end+"\n", r.s[0]) < 0 {
		if r.s[0] == '\\' && len(r.s) > 1 && (strings.IndexByte(",= ", r.s[1]) >= 0 || r.escaped && r.s[1] == '\\') {
			r.s = r.s[1:]
		}
		b.WriteByte(r.s[0])
		r.s = r.s[1:]
	}
	return b.String()
}

func (r *reader) value() (any, error) {
	if r.take('"') {
		var b strings.Builder
		for r.s != "" {
			switch {
			case r.take('"'):
				return b.String(), nil
			case r.s[0] == '\\' && len(r.s) > 1 && (r.s[1] == '"' || r.s[1] == '\\'):
				r.s = r.s[1:]
			}
			b.WriteByte(r.s[0])
			r.s = r.s[1:]
		}
		return nil, errors.New("string without an end")
	}
	word := r.name(", ")
	switch {
	case word == "true", word == "false":
		return word == "true", nil
	case strings.HasSuffix(word, "i"):
		return strconv.ParseInt(word[:len(word)-1], 10, 64)
	}
	return strconv.ParseFloat(word, 64)
}
