package pgsink

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules/sqlrow"
)

// table is what the server says of an action's table, and the statements that follow from it.
type table struct {
	classes []class     // of the plan's columns
	insert  string      // one statement for any number of rows
	copy    string      // the same without a key
	key     []int       // where the key's columns are
	noCopy  atomic.Bool // it takes INSERTs only
	askedAt time.Time
}

// describe asks for the columns of the table.
func (c *Conn) describe(ctx context.Context, p *sqlrow.Plan) (*table, error) {
	// A domain is what its base is, but cast to itself. -1 is a type without its length: a cast to it cuts nothing, and the column
	// refuses what is too long.
	rows, err := c.pool.Query(ctx, `SELECT a.attname, format_type(a.atttypid, -1), CASE WHEN t.typbasetype <> 0 THEN t.typbasetype ELSE t.oid END
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
		WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`, string(p.AppendTable(nil)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	type column struct {
		typ   string
		class class
	}
	there := make(map[string]column)
	for rows.Next() {
		var name string
		var col column
		var oid uint32
		if err := rows.Scan(&name, &col.typ, &oid); err != nil {
			return nil, err
		}
		col.class = classOf(oid)
		there[name] = col
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("there is no table %s", p.Table) // an operator may make it
	}
	t := &table{classes: make([]class, len(p.Columns)), askedAt: time.Now()}
	types := make([]string, len(p.Columns))
	for i := range p.Columns {
		col, ok := there[p.Columns[i].Name]
		if !ok {
			return nil, fmt.Errorf("%w: table %s has no column %s", errMisfit, p.Table, p.Columns[i].Name)
		}
		t.classes[i], types[i] = col.class, col.typ
	}
	for _, k := range p.Key {
		t.key = append(t.key, slices.IndexFunc(p.Columns, func(c sqlrow.Column) bool { return c.Name == k }))
	}
	t.insert, t.copy = t.insertText(p, types), copyText(p)
	return t, nil
}

func copyText(p *sqlrow.Plan) string {
	b := append(p.AppendTable([]byte("COPY ")), " ("...)
	return string(p.AppendColumns(b)) + ") FROM STDIN"
}

// insertText is the statement that takes an array for each column.
func (t *table) insertText(p *sqlrow.Plan, types []string) string {
	b := append(p.AppendTable([]byte("INSERT INTO ")), " ("...)
	b = append(p.AppendColumns(b), ") SELECT "...)
	var from, as strings.Builder
	for i, k := range t.classes {
		if i > 0 {
			b = append(b, ", "...)
			from.WriteString(", ")
			as.WriteString(", ")
		}
		n := strconv.Itoa(i + 1)
		b = append(b, "u.c"+n...)
		if k.cast() {
			b = append(b, "::"+types[i]...)
		}
		from.WriteString("$" + n + "::" + k.arrayType())
		as.WriteString("c" + n)
	}
	b = append(b, " FROM unnest("+from.String()+") AS u("+as.String()+")"...)
	return string(appendConflict(b, p))
}

// appendConflict appends what happens to rows whose key is there.
func appendConflict(b []byte, p *sqlrow.Plan) []byte {
	if len(p.Key) == 0 {
		return b
	}
	b = append(b, " ON CONFLICT ("...)
	for i, k := range p.Key {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = dialect.AppendName(b, k)
	}
	rest := slices.DeleteFunc(slices.Clone(p.Columns), func(c sqlrow.Column) bool { return slices.Contains(p.Key, c.Name) })
	if p.OnConflict != sqlrow.Update || len(rest) == 0 {
		return append(b, ") DO NOTHING"...)
	}
	b = append(b, ") DO UPDATE SET "...)
	for i := range rest {
		if i > 0 {
			b = append(b, ", "...)
		}
		name := string(dialect.AppendName(nil, rest[i].Name))
		b = append(b, name+" = EXCLUDED."+name...)
	}
	return b
}
