// Package mongosink stores rule outputs in MongoDB: the result is the document.
//
// It promises that a delivery has succeeded only when a majority of the replica set has every document of it; that documents of one
// device are inserted in their order; and that a document is there once, however often it is delivered: its _id is the record's
// key, unless the rule's result or the action says another, and a document whose _id is there already was delivered before.
// With upsertBy the document replaces the one that has the same values in these fields.
//
// Integers become int64 (decimals when they have no room there), other numbers doubles, and the members that the action names
// dates. What a failure means: a server that cannot be reached, is no primary, refuses the login or does not replicate is tried
// again for as long as it takes, and so is a collection that the user may not write, when all documents go there; a document that
// is too large, breaks a validator or a unique index, or has no object in it is refused for good; anything else that the server
// says is tried a limited number of times.
package mongosink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/actionconfig"
	"github.com/hawser-iot/hawser/cloud/rules/template"
)

// Kind is the kind of action, and of the connectors that it uses.
const Kind = "mongodb"

const (
	defaultBatch  = 500
	maxBatch      = 5000
	defaultLinger = 10 * time.Millisecond
	maxFields     = 32
	maxDatabase   = 63
	maxCollection = 180
)

// Config is an action's configuration.
type Config struct {
	Connector  string   `json:"connector"`
	Database   string   `json:"database"`           // a template
	Collection string   `json:"collection"`         // a template
	ID         string   `json:"id,omitempty"`       // a template of _id; "": the result's _id, or the record's key
	UpsertBy   []string `json:"upsertBy,omitempty"` // fields of the result that tell which document is replaced
	Dates      []string `json:"dates,omitempty"`    // members, by name or path, that are times: RFC 3339 or Unix ms
	actionconfig.Batch
}

// New is the factory of the kind.
func New(config json.RawMessage, env rules.Env) (rules.Sink, error) {
	var c Config
	if err := actionconfig.Decode(config, &c); err != nil {
		return nil, err
	}
	if env.Binary {
		return nil, errors.New("a rule for binary messages has no documents: kafka, http and republish take its bytes")
	}
	s := &Sink{encoder: encoder{dates: c.Dates}}
	var err error
	if s.batch, s.linger, err = c.Sizes(defaultBatch, maxBatch, defaultLinger); err != nil {
		return nil, err
	}
	if err := s.setTemplates(c); err != nil {
		return nil, err
	}
	s.connector, err = env.Connector(Kind, c.Connector)
	return s, err
}

// Sink is the sink of one action.
type Sink struct {
	connector rules.Handle
	batch     int
	linger    time.Duration

	encoder              encoder
	database, collection *template.Template
	shared               bool // all documents go to one collection
	id                   *template.Template
	match                []field
}

// field is one of those that tell which document is replaced.
type field struct {
	name  string
	value *template.Template
}

var (
	_ rules.Sink      = (*Sink)(nil)
	_ rules.Previewer = (*Sink)(nil)
)

func (s *Sink) setTemplates(c Config) error {
	var err error
	if s.database, err = template.Parse(c.Database); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if s.collection, err = template.Parse(c.Collection); err != nil {
		return fmt.Errorf("collection: %w", err)
	}
	database, fixed := s.database.Literal()
	if fixed {
		if err := checkDatabase(database); err != nil {
			return err
		}
	}
	collection, fixedToo := s.collection.Literal()
	if fixedToo {
		if err := checkCollection(collection); err != nil {
			return err
		}
	}
	s.shared = fixed && fixedToo
	if c.ID != "" {
		if s.id, err = template.Parse(c.ID); err != nil {
			return fmt.Errorf("id: %w", err)
		}
	}
	if len(c.UpsertBy) > maxFields || len(c.Dates) > maxFields {
		return fmt.Errorf("upsertBy and dates: there may be at most %d fields", maxFields)
	}
	for _, name := range c.UpsertBy {
		t, err := template.Parse("${" + name + "}")
		if err != nil || strings.HasPrefix(name, "$") {
			return fmt.Errorf("upsertBy: %q is no field", name)
		}
		s.match = append(s.match, field{name, t})
	}
	if slices.Contains(c.Dates, "") {
		return errors.New("dates: a field has no name")
	}
	return nil
}

func checkDatabase(name string) error {
	if name == "" || len(name) > maxDatabase || strings.ContainsAny(name, "/\\. \"$*<>:|?\x00") {
		return fmt.Errorf("database: %q is no name of a database", name)
	}
	return nil
}

func checkCollection(name string) error {
	if name == "" || len(name) > maxCollection || strings.ContainsAny(name, "$\x00") || strings.HasPrefix(name, "system.") || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
		return fmt.Errorf("collection: %q is no name of a collection", name)
	}
	return nil
}

// MaxBatch implements rules.Sink.
func (s *Sink) MaxBatch() int { return s.batch }

// Linger implements rules.Sink.
func (s *Sink) Linger() time.Duration { return s.linger }

// Close implements rules.Sink.
func (s *Sink) Close() error { return nil }

// Send implements rules.Sink. It writes nothing when one of the records makes no document.
func (s *Sink) Send(ctx context.Context, records []rules.Record) error {
	writes := make([]write, len(records))
	for i := range records {
		var err error
		if writes[i], err = s.write(&records[i]); err != nil {
			return err
		}
	}
	return s.connector.Use(func(c rules.Connection) error {
		conn, ok := c.(*Connection)
		if !ok {
			return fmt.Errorf("%w: the connector is a %T", rules.ErrUnavailable, c)
		}
		return conn.do(ctx, writes, s.shared)
	})
}

// write says what becomes of a record.
func (s *Sink) write(r *rules.Record) (w write, err error) {
	var row *template.Row
	if !s.shared || s.id != nil || s.match != nil {
		if row, err = template.Open(r); err != nil {
			return w, err
		}
		defer row.Release()
	}
	if w.database, w.collection, err = s.place(row); err != nil {
		return w, err
	}
	var id bson.RawValue
	if s.id != nil {
		if id, err = valueOf(s.id, row); err != nil {
			return w, err
		}
	}
	if w.doc, w.own, err = s.encoder.document(r.Result, id, r.Key()); err != nil || s.match == nil {
		return w, err
	}
	for _, f := range s.match {
		v, err := valueOf(f.value, row)
		if err != nil {
			return w, err
		}
		if in := w.doc.Lookup(strings.Split(f.name, ".")...); in.Type != 0 { // a date, or anything else that the document has in its own way
			v = in
		}
		w.match = append(w.match, bson.E{Key: f.name, Value: v})
	}
	if w.own { // MongoDB makes the _id of what replaces by other fields
		w.doc, err = withoutID(w.doc)
	}
	return w, err
}

func (s *Sink) place(row *template.Row) (database, collection string, err error) {
	if database, err = s.database.Text(row); err != nil {
		return "", "", err
	}
	if collection, err = s.collection.Text(row); err != nil || s.shared {
		return database, collection, err
	}
	if err = checkDatabase(database); err == nil {
		err = checkCollection(collection)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	}
	return database, collection, err
}

func valueOf(t *template.Template, row *template.Row) (bson.RawValue, error) {
	v, err := t.Value(row)
	if err != nil {
		return bson.RawValue{}, err
	}
	return rawOf(v)
}

// withoutID takes _id, which is the first member, off.
func withoutID(d bson.Raw) (bson.Raw, error) {
	elements, err := d.Elements()
	if err != nil {
		return nil, err
	}
	rest := make(bson.D, 0, len(elements))
	for _, e := range elements[1:] {
		rest = append(rest, bson.E{Key: e.Key(), Value: e.Value()})
	}
	return bson.Marshal(rest)
}

// Preview implements rules.Previewer.
func (s *Sink) Preview(r *rules.Record) (rules.Preview, error) {
	w, err := s.write(r)
	if err != nil {
		return rules.Preview{}, err
	}
	name, config := s.connector.Info()
	var c ConnectorConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return rules.Preview{}, errors.New("the connector is gone")
	}
	where := c.URI
	if where == "" {
		where = strings.Join(c.Hosts, ",")
	}
	doc, err := bson.MarshalExtJSON(w.doc, false, false)
	if err != nil {
		return rules.Preview{}, err
	}
	p := rules.Preview{Target: fmt.Sprintf("MongoDB %s (%s), %s.%s", name, where, w.database, w.collection), Statement: "insert " + string(doc)}
	if w.match != nil {
		filter, err := bson.MarshalExtJSON(w.match, false, false)
		if err != nil {
			return rules.Preview{}, err
		}
		p.Statement = "replace, or insert, what matches " + string(filter) + " with " + string(doc)
	}
	return p, nil
}
