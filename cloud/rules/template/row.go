package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/codec"
)

// ErrMissing is the kind of error for a field that is neither in the result nor known of the record.
var ErrMissing = errors.New("the rule's result has no such field")

// FieldError says which field cannot be had, and why. It wraps rules.ErrPermanent: trying again changes nothing.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return fmt.Sprintf("${%s}: %v", e.Field, e.Err) }

// Unwrap makes the error permanent.
func (e *FieldError) Unwrap() []error { return []error{rules.ErrPermanent, e.Err} }

// limits are for results: longer than any message that they were made of.
var limits = codec.Limits{Size: 16 << 20, Depth: 64, Count: 1 << 20}

// Row is one record, ready to be asked for its fields. It is not safe for concurrent use.
type Row struct {
	record *rules.Record
	doc    *codec.Doc
	err    error // the result is not JSON
}

var pool = sync.Pool{New: func() any { return new(Row) }}

// Open reads a record. Its result need not be JSON: then only the record's own fields can be had. The record must not change before
// Release.
func Open(r *rules.Record) (*Row, error) {
	doc, err := codec.DecodeAs(codec.JSON, r.Result, limits)
	switch {
	case errors.Is(err, codec.ErrTooLarge) || errors.Is(err, codec.ErrTooDeep) || errors.Is(err, codec.ErrTooMany):
		return nil, fmt.Errorf("%w: result: %w", rules.ErrPermanent, err)
	case err != nil:
		doc = nil
	}
	row := pool.Get().(*Row)
	row.record, row.doc, row.err = r, doc, err
	return row, nil
}

// Release gives the row's memory back. It must be the last call.
func (r *Row) Release() {
	r.doc.Release()
	*r = Row{}
	pool.Put(r)
}

// Record is what the row was opened for.
func (r *Row) Record() *rules.Record { return r.record }

// find looks a field up in the result.
func (r *Row) find(f *field) codec.Value {
	if r.doc == nil {
		return codec.Value{}
	}
	root := r.doc.Root()
	v := root.Get(f.name)
	if v.Exists() || f.path == nil {
		return v
	}
	v = root
	for _, s := range f.path {
		if v.Kind() == codec.Array && s.index >= 0 {
			v = v.Index(s.index)
		} else {
			v = v.Get(s.key)
		}
	}
	return v
}

// known is a field of the record itself.
func (r *Row) known(name string) (v any, ok bool) {
	switch name {
	case "deviceSN", "deviceSN()":
		return r.record.Device.SN, true
	case "productSN", "productSN()":
		return r.record.Device.Product, true
	case "topic":
		return r.record.Topic, true
	case "messageID":
		return r.record.MessageID.String(), true
	case "timestamp":
		return r.record.Time.UnixMilli(), true
	case "recordKey":
		return r.record.Key(), true
	}
	return nil, false
}

func (r *Row) missing(name string) error {
	if r.err != nil {
		return &FieldError{name, fmt.Errorf("the rule's result is not JSON: %w", r.err)}
	}
	return &FieldError{name, ErrMissing}
}

func (r *Row) value(f *field) (any, error) {
	switch v := r.find(f); v.Kind() {
	case codec.Missing:
		if own, ok := r.known(f.name); ok {
			return own, nil
		}
		return nil, r.missing(f.name)
	case codec.Null:
		return nil, nil
	case codec.Bool:
		b, _ := v.Bool()
		return b, nil
	case codec.Int:
		n, _ := v.Int()
		return n, nil
	case codec.Float:
		x, _ := v.Float()
		if x >= 1<<63 { // a whole number of 64 bits has more digits than a float64
			if n, err := strconv.ParseUint(string(v.AppendJSON(nil)), 10, 64); err == nil {
				return n, nil
			}
		}
		return x, nil
	case codec.String:
		s, _ := v.Str()
		return strings.Clone(s), nil
	default:
		return json.RawMessage(v.AppendJSON(nil)), nil
	}
}

func (r *Row) appendText(b []byte, f *field) ([]byte, error) {
	switch v := r.find(f); v.Kind() {
	case codec.String:
		s, _ := v.Str()
		return append(b, s...), nil
	case codec.Missing:
		switch own, _ := r.known(f.name); own := own.(type) {
		case string:
			return append(b, own...), nil
		case int64:
			return fmt.Append(b, own), nil
		}
		return nil, r.missing(f.name)
	default:
		return v.AppendJSON(b), nil
	}
}
