// Package sqlrow is what actions that write rows into SQL tables have in common: their configuration, the rows that records
// become, and statements of people's own.
//
// It promises that no value of a message ever becomes part of a statement's text. Table and column names are the operator's; they
// are checked and quoted. In a statement of the operator's own each ${field} becomes a placeholder, and where it could not be one,
// inside quotes or a comment, it is refused. How names are quoted, and how values become what a column takes, is the dialect's.
package sqlrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/template"
)

const (
	maxColumns     = 256
	maxStatement   = 16 << 10
	defaultBatch   = 256
	maxBatch       = 1000
	defaultLinger  = 50 * time.Millisecond
	maxLinger      = 10 * time.Second
	defaultTimeout = 10 * time.Second
	maxTimeout     = 120 * time.Second
)

// What happens to a row whose key is in the table already.
const (
	Ignore = "ignore" // it stays as it is
	Update = "update" // it becomes the new one
)

// What a field that a result does not have becomes.
const (
	MissingNull   = "null"
	MissingRefuse = "refuse"
)

// ErrBinary is returned for an action of a rule for binary messages.
var ErrBinary = errors.New("a rule for binary messages has no fields to put into columns: republish, http and kafka take its bytes")

// Config is an action's configuration.
type Config struct {
	Connector string `json:"connector"`

	// Table, database.table or schema.table; Columns are its columns with what goes into each: a template, or a number, boolean or null.
	Table   string                     `json:"table,omitempty"`
	Columns map[string]json.RawMessage `json:"columns,omitempty"`
	// Key is a column or several that are unique in the table. A row whose key is there already is not inserted again.
	Key Names `json:"key,omitempty"`
	// OnConflict is ignore (absent) or update.
	OnConflict string `json:"onConflict,omitempty"`

	// Statement stands instead of Table and what belongs to it.
	Statement string `json:"statement,omitempty"`

	Missing        string  `json:"missing,omitempty"`        // null (absent) or refuse: for a field that the result does not have
	BatchSize      int     `json:"batchSize,omitempty"`      // 0: 256
	LingerMillis   *int    `json:"lingerMillis,omitempty"`   // absent: 50
	TimeoutSeconds float64 `json:"timeoutSeconds,omitempty"` // of one delivery; 0: 10
}

// Names is a list in JSON that may also be a single string.
type Names []string

// UnmarshalJSON takes both forms.
func (n *Names) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*n = nil
		if one != "" {
			*n = Names{one}
		}
		return nil
	}
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return errors.New("must be a text or a list of texts")
	}
	*n = list
	return nil
}

// Dialect is what differs between databases.
type Dialect struct {
	Quote   byte // around names; doubled inside
	MaxName int  // characters of a name
	Hash    bool // # begins a comment
	// Placeholder appends the n-th placeholder of a statement, from 1.
	Placeholder func(dst []byte, n int) []byte
	// Foreign finds what would be taken for a placeholder in the operator's text outside of quotes; "" is nothing.
	Foreign func(text string) string
}

// Column is a column of the table with what goes into it.
type Column struct {
	Name  string
	value *template.Template // nil for a constant
	fixed any
}

// Plan is a configuration that was checked.
type Plan struct {
	Config
	Columns   []Column // in the order of their names
	Statement *Statement
	Batch     int
	Linger    time.Duration
	Timeout   time.Duration

	dialect Dialect
}

// Parse checks an action's configuration. The errors name the member.
func Parse(config json.RawMessage, d Dialect) (*Plan, error) {
	p := &Plan{dialect: d}
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p.Config); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if p.Connector == "" {
		return nil, errors.New("connector is missing: the id of a connector")
	}
	if err := p.setBounds(); err != nil {
		return nil, err
	}
	if p.Config.Statement != "" {
		return p, p.setStatement()
	}
	return p, p.setTable()
}

func (p *Plan) setBounds() error {
	c := &p.Config
	if c.Missing != "" && c.Missing != MissingNull && c.Missing != MissingRefuse {
		return fmt.Errorf("missing: must be %s or %s", MissingNull, MissingRefuse)
	}
	if p.Batch = c.BatchSize; p.Batch == 0 {
		p.Batch = defaultBatch
	}
	if p.Batch < 1 || p.Batch > maxBatch {
		return fmt.Errorf("batchSize must be between 1 and %d", maxBatch)
	}
	p.Linger = defaultLinger
	if c.LingerMillis != nil {
		if *c.LingerMillis < 0 || *c.LingerMillis > int(maxLinger.Milliseconds()) {
			return fmt.Errorf("lingerMillis must be between 0 and %d", maxLinger.Milliseconds())
		}
		p.Linger = time.Duration(*c.LingerMillis) * time.Millisecond
	}
	if p.Batch == 1 {
		p.Linger = 0
	}
	p.Timeout = time.Duration(c.TimeoutSeconds * float64(time.Second))
	if p.Timeout == 0 {
		p.Timeout = defaultTimeout
	}
	if p.Timeout < 0 || p.Timeout > maxTimeout {
		return fmt.Errorf("timeoutSeconds must be between 0 and %d", int(maxTimeout.Seconds()))
	}
	return nil
}

func (p *Plan) setStatement() error {
	c := &p.Config
	if c.Table != "" || len(c.Columns) > 0 || len(c.Key) > 0 || c.OnConflict != "" {
		return errors.New("statement stands instead of table, columns, key and onConflict: there is one or the other")
	}
	s, err := parseStatement(c.Statement, p.dialect)
	if err != nil {
		return fmt.Errorf("statement: %w", err)
	}
	p.Statement = s
	return nil
}

func (p *Plan) setTable() error {
	c := &p.Config
	switch {
	case c.Table == "":
		return errors.New("table is missing, or statement")
	case len(c.Columns) == 0:
		return errors.New("columns is missing: what goes into which column")
	case len(c.Columns) > maxColumns:
		return fmt.Errorf("columns: there may be at most %d", maxColumns)
	case c.OnConflict != "" && c.OnConflict != Ignore && c.OnConflict != Update:
		return fmt.Errorf("onConflict: must be %s or %s", Ignore, Update)
	case c.OnConflict != "" && len(c.Key) == 0:
		return errors.New("onConflict needs a key")
	}
	parts := strings.Split(c.Table, ".")
	if len(parts) > 2 {
		return fmt.Errorf("table: %q has more than two parts", c.Table)
	}
	for _, part := range parts {
		if err := p.checkName(part); err != nil {
			return fmt.Errorf("table: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Columns)) {
		if err := p.checkName(name); err != nil {
			return fmt.Errorf("columns: %w", err)
		}
		column, err := parseColumn(name, c.Columns[name])
		if err != nil {
			return fmt.Errorf("columns.%s: %w", name, err)
		}
		p.Columns = append(p.Columns, column)
	}
	for i, name := range c.Key {
		if _, ok := c.Columns[name]; !ok {
			return fmt.Errorf("key: %q is none of the columns", name)
		}
		if slices.Contains(c.Key[:i], name) {
			return fmt.Errorf("key: %q is there twice", name)
		}
	}
	return nil
}

// checkName takes what quoting makes safe: anything but what no database has in a name.
func (p *Plan) checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case utf8.RuneCountInString(name) > p.dialect.MaxName:
		return fmt.Errorf("%q is longer than %d characters", name, p.dialect.MaxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%q has characters that no name has", name)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%q begins or ends with a blank", name)
	}
	return nil
}

func parseColumn(name string, raw json.RawMessage) (Column, error) {
	c := Column{Name: name}
	var text string
	if json.Unmarshal(raw, &text) == nil && string(bytes.TrimSpace(raw)) != "null" {
		var err error
		c.value, err = template.Parse(text)
		return c, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&c.fixed); err != nil {
		return c, err
	}
	switch v := c.fixed.(type) {
	case nil, bool:
		return c, nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			c.fixed = n
			return c, nil
		}
		var err error
		c.fixed, err = v.Float64()
		return c, err
	}
	return c, errors.New("must be a template, a number, a boolean or null")
}

// AppendName appends a quoted name.
func (d Dialect) AppendName(dst []byte, name string) []byte {
	dst = append(dst, d.Quote)
	for i := range len(name) {
		if name[i] == d.Quote {
			dst = append(dst, d.Quote)
		}
		dst = append(dst, name[i])
	}
	return append(dst, d.Quote)
}

// AppendTable appends the quoted name of the table, of both parts if it has two.
func (p *Plan) AppendTable(dst []byte) []byte {
	for i, part := range strings.Split(p.Table, ".") {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = p.dialect.AppendName(dst, part)
	}
	return dst
}

// AppendColumns appends the quoted names of the columns, with commas between.
func (p *Plan) AppendColumns(dst []byte) []byte {
	for i := range p.Columns {
		if i > 0 {
			dst = append(dst, ',', ' ')
		}
		dst = p.dialect.AppendName(dst, p.Columns[i].Name)
	}
	return dst
}

// Width is how many values a row has.
func (p *Plan) Width() int {
	if p.Statement != nil {
		return len(p.Statement.args)
	}
	return len(p.Columns)
}

// Append appends the values of one record, Width of them. The error wraps rules.ErrPermanent.
func (p *Plan) Append(dst []any, r *rules.Record) ([]any, error) {
	row, err := template.Open(r)
	if err != nil {
		return dst, err
	}
	defer row.Release()
	for i := range p.Width() {
		v, err := p.value(i, row)
		if err != nil {
			return dst, err
		}
		dst = append(dst, v)
	}
	return dst, nil
}

func (p *Plan) value(i int, row *template.Row) (any, error) {
	t := (*template.Template)(nil)
	if p.Statement != nil {
		t = p.Statement.args[i]
	} else if t = p.Columns[i].value; t == nil {
		return p.Columns[i].fixed, nil
	}
	v, err := t.Value(row)
	if errors.Is(err, template.ErrMissing) && p.Missing != MissingRefuse && t.Single() {
		return nil, nil
	}
	if err != nil && p.Statement == nil {
		err = fmt.Errorf("column %s: %w", p.Columns[i].Name, err)
	}
	return v, err
}
