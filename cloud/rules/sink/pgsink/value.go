package pgsink

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// errMisfit is what is found out here and not by the server.
var errMisfit = fmt.Errorf("%w: it does not fit the table", rules.ErrPermanent)

func misfit(v any, what string) error {
	text := fmt.Sprint(v)
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return fmt.Errorf("%w: %q is no %s", errMisfit, text, what)
}

// class is what kind of values a column takes.
type class byte

const (
	other class = iota // by its text, which the server casts
	textual
	integer
	floating
	temporal
	document // JSON
	bytes_
)

// classOf is the class of a type.
func classOf(oid uint32) class {
	switch oid {
	case pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID:
		return textual
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		return integer
	case pgtype.Float4OID, pgtype.Float8OID:
		return floating
	case pgtype.TimestamptzOID, pgtype.TimestampOID, pgtype.DateOID:
		return temporal
	case pgtype.JSONOID, pgtype.JSONBOID:
		return document
	case pgtype.ByteaOID:
		return bytes_
	}
	return other
}

// appendText appends a value, which is not nil, as the server reads it for a column of the class.
func (k class) appendText(b []byte, v any) ([]byte, error) {
	switch k {
	case temporal:
		t, err := moment(v)
		return t.AppendFormat(b, "2006-01-02 15:04:05.999999Z07:00"), err
	case integer:
		n, err := whole(v)
		return strconv.AppendInt(b, n, 10), err
	case document:
		return appendJSON(b, v)
	case bytes_:
		plain, err := other.appendText(nil, v)
		return hex.AppendEncode(append(b, `\x`...), plain), err
	}
	switch v := v.(type) {
	case string:
		return append(b, v...), nil
	case json.RawMessage:
		return append(b, v...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case uint64:
		return strconv.AppendUint(b, v, 10), nil
	case float64:
		return strconv.AppendFloat(b, v, 'g', -1, 64), nil
	}
	return b, misfit(v, "value")
}

func appendJSON(b []byte, v any) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok {
		return append(b, raw...), nil
	}
	text, err := json.Marshal(v)
	return append(b, text...), err
}

// layouts are those of times that are texts, beside RFC 3339; without a zone they are UTC.
var layouts = []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", time.DateTime, time.DateOnly}

// maxMillis is beyond the last moment that is taken for one.
const maxMillis = 1e15

// moment reads a time: a number is Unix milliseconds, a text one of the layouts.
func moment(v any) (time.Time, error) {
	switch v := v.(type) {
	case int64:
		if v > -maxMillis && v < maxMillis {
			return time.UnixMilli(v).UTC(), nil
		}
	case float64:
		if math.Abs(v) < maxMillis {
			return time.UnixMicro(int64(math.Round(v * 1000))).UTC(), nil
		}
	case string:
		for _, layout := range layouts {
			if t, err := time.Parse(layout, v); err == nil {
				return t.UTC(), nil
			}
		}
	}
	return time.Time{}, misfit(v, "time: a number of Unix milliseconds, or a text like 2026-01-02T03:04:05Z")
}

// whole reads an integer. What has a fraction is refused, not rounded.
func whole(v any) (int64, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<63 {
			return int64(v), nil
		}
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, misfit(v, "integer")
}

func float(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	case uint64:
		return float64(v), nil
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return f, nil
		}
	}
	return 0, misfit(v, "number")
}

// carrier gathers the values of one column for a statement: an array of a type that the server takes without parsing where there is
// one, else of texts.
type carrier struct {
	class  class
	ints   []pgtype.Int8
	floats []pgtype.Float8
	times  []pgtype.Timestamptz
	texts  []pgtype.Text
}

// arrayType is the type of a class's carrier.
func (k class) arrayType() string {
	switch k {
	case integer:
		return "int8[]"
	case floating:
		return "float8[]"
	case temporal:
		return "timestamptz[]"
	}
	return "text[]"
}

// cast is whether a carrier's texts must be cast to the column's type.
func (k class) cast() bool { return k == other || k == document || k == bytes_ }

func (c *carrier) add(v any) (err error) {
	valid := v != nil
	switch c.class {
	case integer:
		n := int64(0)
		if valid {
			n, err = whole(v)
		}
		c.ints = append(c.ints, pgtype.Int8{Int64: n, Valid: valid})
	case floating:
		f := 0.0
		if valid {
			f, err = float(v)
		}
		c.floats = append(c.floats, pgtype.Float8{Float64: f, Valid: valid})
	case temporal:
		t := time.Time{}
		if valid {
			t, err = moment(v)
		}
		c.times = append(c.times, pgtype.Timestamptz{Time: t, Valid: valid})
	default:
		text, ok := v.(string)
		if valid && (!ok || c.class.cast()) {
			var b []byte
			b, err = c.class.appendText(nil, v)
			text = string(b)
		}
		c.texts = append(c.texts, pgtype.Text{String: text, Valid: valid})
	}
	return err
}

// array is what was gathered, as the driver takes it.
func (c *carrier) array() any {
	switch c.class {
	case integer:
		return c.ints
	case floating:
		return c.floats
	case temporal:
		return c.times
	}
	return c.texts
}
