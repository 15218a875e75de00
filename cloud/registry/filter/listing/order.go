package listing

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

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
	if sort == "" {
		sort = t.Order
	}
	name, down := strings.CutPrefix(sort, "-")
	o := &order{table: t, down: down, text: sort}
	switch {
	case sort == "":
		o.down = t.Down
		return o, nil
	case name == Created && !t.Named:
		if t.Order == "" && down == t.Down {
			o.text = ""
		}
		return o, nil
	}
	if o.field = t.field(name); o.field == nil || !o.field.Sort {
		return nil, &registry.ErrInvalid{Field: "sort",
			Reason: fmt.Sprintf("%q is no order of this list: they are %s, and each with a - before it", sort, strings.Join(t.orders(), ", "))}
	}
	return o, nil
}

// orders are the names of what rows can be sorted by.
func (t *Table) orders() (names []string) {
	if !t.Named {
		names = append(names, Created)
	}
	for i := range t.Fields {
		if t.Fields[i].Sort {
			names = append(names, t.Fields[i].Name)
		}
	}
	return names
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

// A cursor is the id of the last row of a page in base 36, and in another order than that of ids, in base64, that order, the key and the
// id, with a line feed between them. An id that is a text is in it as it is.

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
	key, last := "", cursor
	if o.text != "" {
		b, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil || !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 { // what no text of the store is
			return errCursor
		}
		rest, ok := strings.CutPrefix(string(b), o.text+"\n")
		i := strings.LastIndexByte(rest, '\n')
		if !ok || i < 0 {
			return errCursor
		}
		key, last = rest[:i], rest[i+1:]
	}
	id, err := o.id(last)
	if err != nil {
		return err
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

// id reads the id out of a cursor.
func (o *order) id(text string) (any, error) {
	if o.table.Named {
		if text == "" {
			return nil, errCursor
		}
		return text, nil
	}
	id, err := strconv.ParseInt(text, 36, 64)
	if err != nil || id <= 0 {
		return nil, errCursor
	}
	return id, nil
}

// scan reads a row's id, which is a name when the table is Named, and the cursor behind it.
func (o *order) scan(row interface{ Scan(...any) error }) (id int64, name, cursor string, err error) {
	var number int64
	var key string
	var to, of any = &number, &id
	if o.field != nil && o.isText() {
		to = &key
	}
	if o.table.Named {
		of = &name
	}
	if err := row.Scan(to, of); err != nil {
		return 0, "", "", err
	}
	if cursor = name; !o.table.Named {
		cursor = strconv.FormatInt(id, 36)
	}
	if o.text == "" {
		return id, name, cursor, nil
	}
	if o.field != nil && !o.isText() {
		key = strconv.FormatInt(number, 10)
	}
	return id, name, base64.RawURLEncoding.EncodeToString([]byte(o.text + "\n" + key + "\n" + cursor)), nil
}
