package mongosink

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/template"
	"github.com/hawser-iot/hawser/protocol/codec"
)

// limits are for results: longer than any message that they were made of.
var limits = codec.Limits{Size: 16 << 20, Depth: 64, Count: 1 << 20}

// maxDocument is what MongoDB takes.
const maxDocument = 16 << 20

var errNoObject = errors.New("the result is no JSON object, and a document must be one")

// encoder makes documents of results.
type encoder struct {
	dates []string // names or paths of members that are times
}

// document makes the document of a result. Its _id, which comes first, is id if that has a type, else the member _id of the result,
// else fallback; own tells that it is the last.
func (e *encoder) document(result []byte, id bson.RawValue, fallback string) (d bson.Raw, own bool, err error) {
	doc, err := codec.DecodeAs(codec.JSON, result, limits)
	if err != nil {
		return nil, false, fmt.Errorf("%w: the result cannot be read: %w", rules.ErrPermanent, err)
	}
	defer doc.Release()
	root := doc.Root()
	if root.Kind() != codec.Object {
		return nil, false, fmt.Errorf("%w: %w", rules.ErrPermanent, errNoObject)
	}
	start, b := bsoncore.AppendDocumentStart(make([]byte, 0, len(result)+len(result)/2+64))
	member := root.Get("_id")
	switch own = id.Type == 0 && !member.Exists(); {
	case own:
		b = bsoncore.AppendStringElement(b, "_id", fallback)
	case id.Type != 0:
		b = bsoncore.AppendValueElement(b, "_id", bsoncore.Value{Type: bsoncore.Type(id.Type), Data: id.Value})
	default:
		b, err = e.value(b, "_id", member, "_id")
	}
	if err == nil {
		b, err = e.members(b, root, "")
	}
	if err == nil {
		b, err = bsoncore.AppendDocumentEnd(b, start)
	}
	if err == nil && len(b) > maxDocument {
		err = fmt.Errorf("a document of %d bytes is larger than MongoDB takes, %d", len(b), maxDocument)
	}
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	}
	return b, own, nil
}

// members appends those of an object; _id of the whole is there already.
func (e *encoder) members(b []byte, v codec.Value, path string) ([]byte, error) {
	var err error
	v.Each(func(key string, w codec.Value) bool {
		if path == "" && key == "_id" {
			return true
		}
		if strings.Contains(key, "\x00") {
			err = fmt.Errorf("%q cannot be the name of a member", key)
			return false
		}
		b, err = e.value(b, strings.Clone(key), w, path+key)
		return err == nil
	})
	return b, err
}

func (e *encoder) value(b []byte, key string, v codec.Value, path string) ([]byte, error) {
	if len(e.dates) > 0 && slices.Contains(e.dates, path) {
		ms, err := date(v)
		if err != nil {
			return b, &template.FieldError{Field: path, Err: err}
		}
		if v.Kind() != codec.Null {
			return bsoncore.AppendDateTimeElement(b, key, ms), nil
		}
	}
	switch v.Kind() {
	case codec.Bool:
		t, _ := v.Bool()
		return bsoncore.AppendBooleanElement(b, key, t), nil
	case codec.Int:
		n, _ := v.Int()
		return bsoncore.AppendInt64Element(b, key, n), nil
	case codec.Float:
		return number(b, key, v), nil
	case codec.String:
		s, _ := v.Str()
		return bsoncore.AppendStringElement(b, key, s), nil
	case codec.Object:
		start, b := bsoncore.AppendDocumentElementStart(b, key)
		b, err := e.members(b, v, path+".")
		if err != nil {
			return b, err
		}
		return bsoncore.AppendDocumentEnd(b, start)
	case codec.Array:
		return e.array(b, key, v, path)
	}
	return bsoncore.AppendNullElement(b, key), nil
}

func (e *encoder) array(b []byte, key string, v codec.Value, path string) ([]byte, error) {
	start, b := bsoncore.AppendArrayElementStart(b, key)
	var err error
	v.Elems(func(i int, w codec.Value) bool {
		n := strconv.Itoa(i)
		b, err = e.value(b, n, w, path+"."+n)
		return err == nil
	})
	if err != nil {
		return b, err
	}
	return bsoncore.AppendArrayEnd(b, start)
}

// number is a number with a fraction or an exponent, or an integer that has no room in 64 bits: that one becomes a decimal, so
// that no digit is lost.
func number(b []byte, key string, v codec.Value) []byte {
	f, _ := v.Float()
	if math.Abs(f) >= 1<<63 {
		if text := string(v.AppendJSON(nil)); !strings.ContainsAny(text, ".eE") {
			if d, err := bson.ParseDecimal128(text); err == nil {
				high, low := d.GetBytes()
				return bsoncore.AppendDecimal128Element(b, key, high, low)
			}
		}
	}
	return bsoncore.AppendDoubleElement(b, key, f)
}

var errDate = errors.New("it is no time: RFC 3339, or Unix time in milliseconds, is")

// date reads a time as Unix ms; null stays null.
func date(v codec.Value) (int64, error) {
	switch v.Kind() {
	case codec.Int:
		ms, _ := v.Int()
		return ms, nil
	case codec.Float:
		f, _ := v.Float()
		if math.Abs(f) < 1<<53 {
			return int64(f), nil
		}
	case codec.String:
		s, _ := v.Str()
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t.UnixMilli(), nil
		}
	case codec.Null:
		return 0, nil
	}
	return 0, errDate
}

// rawOf is the BSON of a template's value.
func rawOf(v any) (bson.RawValue, error) {
	if v == nil {
		return bson.RawValue{Type: bson.TypeNull}, nil
	}
	if n, ok := v.(uint64); ok { // as in a document
		v = json.RawMessage(strconv.FormatUint(n, 10))
	}
	if raw, ok := v.(interface{ MarshalJSON() ([]byte, error) }); ok {
		text, err := raw.MarshalJSON()
		if err != nil {
			return bson.RawValue{}, err
		}
		d, _, err := (&encoder{}).document([]byte(`{"v":`+string(text)+`}`), bson.RawValue{}, "")
		if err != nil {
			return bson.RawValue{}, err
		}
		return d.Lookup("v"), nil
	}
	t, b, err := bson.MarshalValue(v)
	return bson.RawValue{Type: t, Value: b}, err
}
