package listing

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter"
)

// order is what a page is sorted by: a field and the id, or the id alone.
type order struct {
	table *Table
	field *Field // nil is the id alone
	down  bool
	text  string // as it is asked for; "" is the table's own
}

func (t *Table) order(sort string) (*order, error) {
	name, down := strings.CutPrefix(sort, "-")
	o := &order{table: t, down: down, text: sort}
	switch {
	case sort == "":
		o.down = t.Down
		return o, nil
	case name == Created:
		if down == t.Down {
			o.text = ""
		}
		return o, nil
	}
	if o.field = t.field(name); o.field == nil || !o.field.Sort {
		known := Created
		for i := range t.Fields {
			if t.Fields[i].Sort {
				known += ", " + t.Fields[i].Name
			}
		}
		return nil, &registry.ErrInvalid{Field: "sort", Reason: fmt.Sprintf("%q is no order of this list: they are %s, and each with a - before it", sort, known)}
	}
	return o, nil
}

// isText tells whether the field is a text; else it is a number.
func (o *order) isText() bool {
	k := o.field.Kind
	return k == filter.Word || k == filter.Prefix || k == filter.Filled
}

// key is what is sorted by before the id.
func (o *order) key(w *where) string {
	switch {
	case o.field == nil:
		return `0`
	case o.isText():
		return w.folded(o.field.SQL)
	}
	return o.field.SQL
}

func (o *order) by(w *where) string {
	down := ``
	if o.down {
		down = ` DESC`
	}
	if o.field == nil {
		return ` ORDER BY ` + o.table.ID + down
	}
	return ` ORDER BY ` + o.key(w) + down + `, ` + o.table.ID + down
}

// A cursor is the id of the last row of a page in base 36, and in another order than the table's own, in base64, that order, the key
// and the id, with a line feed between them.

var errCursor = &registry.ErrInvalid{Field: "cursor", Reason: "was not made by this list in this order: leave it out to start again"}

// behind adds the condition that rows come behind a cursor.
func (o *order) behind(w *where, cursor string) error {
	if cursor == "" {
		return nil
	}
	compare := ` > `
	if o.down {
		compare = ` < `
	}
	key, number := "", cursor
	if o.text != "" {
		b, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil {
			return errCursor
		}
		rest, ok := strings.CutPrefix(string(b), o.text+"\n")
		i := strings.LastIndexByte(rest, '\n')
		if !ok || i < 0 {
			return errCursor
		}
		key, number = rest[:i], rest[i+1:]
	}
	id, err := strconv.ParseInt(number, 36, 64)
	if err != nil || id <= 0 {
		return errCursor
	}
	if o.field == nil {
		w.add(` AND `+o.table.ID+compare+`?`, id)
		return nil
	}
	var value any = key
	if !o.isText() {
		if value, err = strconv.ParseInt(key, 10, 64); err != nil {
			return errCursor
		}
	}
	w.add(` AND (`+o.key(w)+`, `+o.table.ID+`)`+compare+`(?, ?)`, value, id)
	return nil
}

// scan reads a row's id, and the cursor behind it.
func (o *order) scan(row interface{ Scan(...any) error }) (id int64, cursor string, err error) {
	var number int64
	var key string
	var to any = &number
	if o.field != nil && o.isText() {
		to = &key
	}
	if err := row.Scan(to, &id); err != nil {
		return 0, "", err
	}
	cursor = strconv.FormatInt(id, 36)
	if o.text == "" {
		return id, cursor, nil
	}
	if o.field != nil && !o.isText() {
		key = strconv.FormatInt(number, 10)
	}
	return id, base64.RawURLEncoding.EncodeToString([]byte(o.text + "\n" + key + "\n" + cursor)), nil
}
