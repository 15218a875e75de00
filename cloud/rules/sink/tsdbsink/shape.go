package tsdbsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/template"
)

const maxKeys = 256 // tags and fields of a point

// shape makes points of records.
type shape struct {
	measurement *template.Template
	tags        []tagShape
	fields      []fieldShape
	time        *template.Template // nil: the record's own
	unit        int64              // nanoseconds of one unit of time
}

type tagShape struct {
	key   string
	value *template.Template
}

type fieldShape struct {
	key   string
	value *template.Template
	as    conversion
}

func newShape(c *Config) (s shape, err error) {
	if c.Measurement == "" {
		return s, errors.New("measurement is missing")
	}
	if s.measurement, err = template.Parse(c.Measurement); err != nil {
		return s, fmt.Errorf("measurement: %w", err)
	}
	if len(c.Fields) == 0 {
		return s, errors.New("fields: a point has at least one")
	}
	if len(c.Tags)+len(c.Fields) > maxKeys {
		return s, fmt.Errorf("tags and fields: there may be at most %d", maxKeys)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		t := tagShape{key: key}
		if err := validKey(key); err != nil {
			return s, fmt.Errorf("tags: %w", err)
		}
		if t.value, err = template.Parse(c.Tags[key]); err != nil {
			return s, fmt.Errorf("tags.%s: %w", key, err)
		}
		s.tags = append(s.tags, t)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Fields)) {
		spec, f := c.Fields[key], fieldShape{key: key}
		if err := validKey(key); err != nil {
			return s, fmt.Errorf("fields: %w", err)
		}
		if f.value, err = template.Parse(spec.Value); err != nil {
			return s, fmt.Errorf("fields.%s.value: %w", key, err)
		}
		if f.as = conversions[spec.Type]; f.as == nil {
			return s, fmt.Errorf("fields.%s.type: %q is none of float, int, string, bool, auto", key, spec.Type)
		}
		s.fields = append(s.fields, f)
	}
	return s, s.setTime(c.Timestamp)
}

var units = map[string]int64{"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1}

func (s *shape) setTime(t *TimeSpec) (err error) {
	if t == nil {
		return nil
	}
	if s.unit = units[t.Unit]; s.unit == 0 {
		return fmt.Errorf("timestamp.unit: %q is none of s, ms, us, ns", t.Unit)
	}
	if s.time, err = template.Parse(t.Value); err != nil {
		return fmt.Errorf("timestamp.value: %w", err)
	}
	if len(s.time.Fields()) == 0 {
		return errors.New("timestamp.value: names no field of the result, like ${ts}")
	}
	return nil
}

// validKey refuses what some server reads differently from others. InfluxDB keeps "time" for itself.
func validKey(key string) error {
	switch {
	case key == "":
		return errors.New("a key is empty")
	case key == "time":
		return errors.New(`"time" is no key: the time of a point is its timestamp`)
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == '"' }):
		return fmt.Errorf("%q has a quote, a backslash or a control character", key)
	}
	return nil
}

// appendLine appends the point of a record. Its errors are permanent. Without strings, fields that are strings are left out.
func (s *shape) appendLine(dst []byte, r *rules.Record, strings bool) ([]byte, error) {
	p, err := s.point(r, strings)
	if err == nil {
		dst, err = p.append(dst)
	}
	if err != nil && !errors.Is(err, rules.ErrPermanent) {
		err = fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	}
	return dst, err
}

func (s *shape) point(r *rules.Record, strings bool) (*point, error) {
	row, err := template.Open(r)
	if err != nil {
		return nil, err
	}
	defer row.Release()
	p := &point{tags: make([]tag, 0, len(s.tags)), fields: make([]field, 0, len(s.fields))}
	if p.measurement, err = s.measurement.Text(row); err != nil {
		return nil, fmt.Errorf("measurement: %w", err)
	}
	for _, t := range s.tags {
		text, err := tagText(t.value, row)
		if err != nil {
			return nil, fmt.Errorf("tag %s: %w", t.key, err)
		}
		p.tags = append(p.tags, tag{t.key, text})
	}
	for _, f := range s.fields {
		v, err := f.of(row)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.key, err)
		}
		if _, text := v.(string); v != nil && (strings || !text) {
			p.fields = append(p.fields, field{f.key, v})
		}
	}
	p.nanos, err = s.nanos(row)
	return p, err
}

// tagText is the value of a tag; "" for one that is not there or null.
func tagText(t *template.Template, row *template.Row) (string, error) {
	v, err := t.Value(row)
	switch v := v.(type) {
	case nil:
		return "", absent(err)
	case string:
		return v, nil
	}
	return t.Text(row)
}

// absent takes away the fault that a field is not there: the point is then without it.
func absent(err error) error {
	if errors.Is(err, template.ErrMissing) {
		return nil
	}
	return err
}

// of is the field's value; nil for one that is not there or null.
func (f *fieldShape) of(row *template.Row) (any, error) {
	v, err := f.value.Value(row)
	if err != nil || v == nil {
		return nil, absent(err)
	}
	if raw, ok := v.(json.RawMessage); ok {
		v = string(raw)
	}
	return f.as(v)
}

// conversion makes a float64, int64, bool or string of any of these.
type conversion func(v any) (any, error)

var conversions = map[string]conversion{"": auto, "auto": auto, "float": toFloat, "int": toInt, "bool": toBool, "string": toString}

// auto takes every number for a float. The first point fixes the type of a field, and a device that sends 20 today sends 20.5 tomorrow.
func auto(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		return float64(v), nil
	case uint64:
		return float64(v), nil
	}
	return v, nil
}

func toFloat(v any) (any, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	case uint64:
		return float64(v), nil
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f, nil
		}
	}
	return nil, unfit(v, "number")
}

func toInt(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case float64:
		if v == math.Trunc(v) && v >= -1<<63 && v < 1<<63 {
			return int64(v), nil
		}
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n, nil
		}
	}
	return nil, unfit(v, "integer")
}

func toBool(v any) (any, error) {
	switch v {
	case true, int64(1), 1.0, "true", "1":
		return true, nil
	case false, int64(0), 0.0, "false", "0":
		return false, nil
	}
	return nil, unfit(v, "bool")
}

func toString(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return v, nil
}

func unfit(v any, want string) error {
	text := fmt.Sprint(v)
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return fmt.Errorf("%q is no %s", text, want)
}
