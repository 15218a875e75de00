package mysqlsink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/sqlrow"
)

// class is what kind of values a column takes.
type class byte

const (
	other class = iota // as the driver binds them
	textual
	temporal
	document // JSON
)

// table is what the server says of an action's table.
type table struct {
	classes []class // of the plan's columns
}

var classes = map[string]class{
	"char": textual, "varchar": textual, "tinytext": textual, "text": textual, "mediumtext": textual, "longtext": textual,
	"date": temporal, "datetime": temporal, "timestamp": temporal, "json": document,
}

// describe asks for the columns and the unique indices of the table. It needs no right on the table but the one to insert.
func (c *Conn) describe(ctx context.Context, p *sqlrow.Plan) (*table, error) {
	database, name, ok := strings.Cut(p.Table, ".")
	if !ok {
		database, name = c.database, p.Table
	}
	types, err := c.columns(ctx, database, name)
	if err != nil {
		return nil, err
	}
	if len(types) == 0 {
		return nil, fmt.Errorf("%w: there is no table %s, or the hub's user may not write into it", rules.ErrUnavailable, p.Table)
	}
	t := &table{classes: make([]class, len(p.Columns))}
	for i := range p.Columns {
		kind, ok := types[strings.ToLower(p.Columns[i].Name)]
		if !ok {
			return nil, fmt.Errorf("%w: table %s has no column %s", rules.ErrPermanent, p.Table, p.Columns[i].Name)
		}
		t.classes[i] = classes[kind]
	}
	if len(p.Key) == 0 {
		return t, nil
	}
	return t, c.checkKey(ctx, database, name, p)
}

func (c *Conn) columns(ctx context.Context, database, name string) (types map[string]string, err error) {
	rows, err := c.db.QueryContext(ctx, `SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = ? AND table_name = ?`, database, name)
	if err != nil {
		return nil, classify(err)
	}
	defer func() { err = errors.Join(err, classify(rows.Err()), rows.Close()) }()
	types = make(map[string]string)
	for rows.Next() {
		var column, kind string
		if err := rows.Scan(&column, &kind); err != nil {
			return nil, classify(err)
		}
		types[strings.ToLower(column)] = strings.ToLower(kind)
	}
	return types, nil
}

// checkKey holds that the key is unique in the table: else every repeat would be one more row.
func (c *Conn) checkKey(ctx context.Context, database, name string, p *sqlrow.Plan) (err error) {
	rows, err := c.db.QueryContext(ctx, `SELECT index_name, column_name FROM information_schema.statistics
		WHERE table_schema = ? AND table_name = ? AND non_unique = 0 ORDER BY index_name, seq_in_index`, database, name)
	if err != nil {
		return classify(err)
	}
	defer func() { err = errors.Join(err, classify(rows.Err()), rows.Close()) }()
	indices := make(map[string][]string)
	for rows.Next() {
		var index, column string
		if err := rows.Scan(&index, &column); err != nil {
			return classify(err)
		}
		indices[index] = append(indices[index], strings.ToLower(column))
	}
	want := make([]string, len(p.Key))
	for i, k := range p.Key {
		want[i] = strings.ToLower(k)
	}
	slices.Sort(want)
	for _, columns := range indices {
		if slices.Sort(columns); slices.Equal(columns, want) {
			return nil
		}
	}
	return fmt.Errorf("%w: table %s has no unique index on %s, which is the key", rules.ErrUnavailable, p.Table, strings.Join(p.Key, ", "))
}

// fit makes the values of one row what their columns take.
func (t *table) fit(row []any) {
	for i, v := range row {
		row[i] = t.classes[i].fit(v)
	}
}

func (k class) fit(v any) any {
	switch k {
	case temporal:
		return moment(v)
	case document:
		return asJSON(v)
	}
	switch v := v.(type) {
	case json.RawMessage:
		return string(v)
	case bool:
		if k == textual { // a driver makes 1 and 0 of them
			if v {
				return "true"
			}
			return "false"
		}
	}
	return v
}

// maxMillis is beyond the last moment that a column can hold.
const maxMillis = 1e15

// moment reads a time: a number is Unix milliseconds, a text RFC 3339 or what the server makes of it. A time of a year that the driver cannot
// write stays what it was: the server refuses it, while the driver's own error would say nothing of the record.
func moment(v any) any {
	var t time.Time
	var err error
	switch v := v.(type) {
	case int64:
		if v > -maxMillis && v < maxMillis {
			t = time.UnixMilli(v)
		}
	case float64:
		if math.Abs(v) < maxMillis {
			t = time.UnixMicro(int64(math.Round(v * 1000)))
		}
	case string:
		if t, err = time.Parse(time.RFC3339, v); err != nil {
			return v
		}
	case json.RawMessage:
		return string(v)
	}
	if t = t.UTC(); t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return v
	}
	return t
}

// asJSON is a value as a document.
func asJSON(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case json.RawMessage:
		return string(v)
	}
	b, err := json.Marshal(v) // without escapes that HTML would want is not worth it: they mean the same
	if err != nil {
		return v
	}
	return string(b)
}
