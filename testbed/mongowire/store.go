package mongowire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// store keeps collections in memory and, with a folder, a log of what was done to them: BSON documents one after the other,
// {ns, op, …}. A process that is killed loses nothing that was written; a torn end is cut off.
type store struct {
	mu   sync.Mutex // guards the fields below
	file *os.File   // nil: nothing is kept
	sets map[string]*collection
}

type collection struct {
	docs     []bson.Raw // nil: deleted
	ids      map[string]int
	unique   [][]string
	required []string
}

type writeError struct {
	code int32
	text string
	more bson.D
}

// entry is one thing that was done, as it is written down.
type entry struct {
	NS     string
	Op     string   // insert, replace, delete, unique, create, drop
	Doc    bson.Raw `bson:",omitempty"` // of delete: {_id}
	Fields []string `bson:",omitempty"`
}

func openStore(dir string) (*store, error) {
	s := &store{sets: map[string]*collection{}}
	if dir == "" {
		return s, nil
	}
	f, err := os.OpenFile(filepath.Join(dir, "documents.log"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("mongowire: %w", err)
	}
	good := int64(0)
	for r := bufio.NewReader(f); ; {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			break
		}
		b := append(size[:], make([]byte, max(int64(binary.LittleEndian.Uint32(size[:]))-4, 0))...)
		var e entry
		if _, err := io.ReadFull(r, b[4:]); err != nil || bson.Unmarshal(b, &e) != nil {
			break
		}
		good += int64(len(b))
		s.apply(e)
	}
	if err := f.Truncate(good); err != nil {
		return nil, fmt.Errorf("mongowire: %w", err)
	}
	if _, err := f.Seek(good, io.SeekStart); err != nil {
		return nil, fmt.Errorf("mongowire: %w", err)
	}
	s.file = f
	return s, nil
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// doLocked writes e down and does it.
func (s *store) doLocked(e entry) *writeError {
	if s.file != nil {
		b, err := bson.Marshal(e)
		if err == nil {
			_, err = s.file.Write(b)
		}
		if err != nil {
			return &writeError{code: 14031, text: err.Error()}
		}
	}
	s.apply(e)
	return nil
}

func (s *store) apply(e entry) {
	c := s.sets[e.NS]
	if c == nil {
		c = &collection{ids: map[string]int{}}
		s.sets[e.NS] = c
	}
	id := valueKey(e.Doc.Lookup("_id"))
	switch e.Op {
	case "insert":
		c.ids[id] = len(c.docs)
		c.docs = append(c.docs, e.Doc)
	case "replace":
		c.docs[c.ids[id]] = e.Doc
	case "delete":
		c.docs[c.ids[id]] = nil
		delete(c.ids, id)
	case "unique":
		c.unique = append(c.unique, e.Fields)
	case "create":
		c.required = e.Fields
	case "drop":
		delete(s.sets, e.NS)
	}
}

// valueKey tells values apart, also those of different types.
func valueKey(v bson.RawValue) string { return string([]byte{byte(v.Type)}) + string(v.Value) }

func (s *store) create(ns string, required []string) bson.D {
	return s.plain(entry{NS: ns, Op: "create", Fields: required})
}
func (s *store) drop(ns string) bson.D { return s.plain(entry{NS: ns, Op: "drop"}) }
func (s *store) unique(ns string, fields []string) {
	s.plain(entry{NS: ns, Op: "unique", Fields: fields})
}

func (s *store) plain(e entry) bson.D {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.doLocked(e); err != nil {
		return fail(err.code, "OutOfDiskSpace", err.text)
	}
	return done
}

func (s *store) insert(ns string, d bson.Raw) *writeError {
	s.mu.Lock()
	defer s.mu.Unlock()
	d = withID(d)
	if e := s.refuseLocked(ns, d, -1); e != nil {
		return e
	}
	return s.doLocked(entry{NS: ns, Op: "insert", Doc: d})
}

// withID puts _id first, and makes one where there is none.
func withID(d bson.Raw) bson.Raw {
	if first, err := d.IndexErr(0); err == nil && first.Key() == "_id" {
		return bytes.Clone(d)
	}
	out := bson.D{{Key: "_id", Value: bson.NewObjectID()}}
	elements, _ := d.Elements() // it was validated
	for _, e := range elements {
		if e.Key() == "_id" {
			out[0].Value = e.Value()
			continue
		}
		out = append(out, bson.E{Key: e.Key(), Value: e.Value()})
	}
	b, _ := bson.Marshal(out) // of what was a document
	return b
}

// refuseLocked tells what stands against d in the place at, -1 for a new one.
func (s *store) refuseLocked(ns string, d bson.Raw, at int) *writeError {
	c := s.sets[ns]
	if len(d) > maxBSON {
		return &writeError{code: 10334, text: "BSONObj size is invalid: it must be between 0 and 16793600"}
	}
	if c == nil {
		return nil
	}
	for _, f := range c.required {
		if d.Lookup(f).Type == 0 {
			return &writeError{code: 121, text: "Document failed validation"}
		}
	}
	if i, ok := c.ids[valueKey(d.Lookup("_id"))]; ok && i != at {
		return duplicate(ns, []string{"_id"}, d)
	}
	for _, fields := range c.unique {
		for i, other := range c.docs {
			if other != nil && i != at && !slices.ContainsFunc(fields, func(f string) bool { return valueKey(other.Lookup(f)) != valueKey(d.Lookup(f)) }) {
				return duplicate(ns, fields, d)
			}
		}
	}
	return nil
}

func duplicate(ns string, fields []string, d bson.Raw) *writeError {
	var pattern, value bson.D
	for _, f := range fields {
		pattern, value = append(pattern, bson.E{Key: f, Value: int32(1)}), append(value, bson.E{Key: f, Value: d.Lookup(f)})
	}
	text := fmt.Sprintf("E11000 duplicate key error collection: %s index: %s_1 dup key: %s", ns, strings.Join(fields, "_1_"), d)
	return &writeError{code: 11000, text: text, more: bson.D{{Key: "keyPattern", Value: pattern}, {Key: "keyValue", Value: value}}}
}

func (s *store) update(ns string, q, with bson.Raw, upsert bool) (found bool, id bson.RawValue, e *writeError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := -1
	var old bson.Raw
	if c := s.sets[ns]; c != nil {
		at = slices.IndexFunc(c.docs, func(d bson.Raw) bool { return d != nil && matches(d, q) })
		if at >= 0 {
			old = c.docs[at]
		}
	}
	if at < 0 && !upsert {
		return false, id, nil
	}
	d, err := changed(old, q, with)
	if err != nil {
		return false, id, &writeError{code: 66, text: err.Error()}
	}
	if e := s.refuseLocked(ns, d, at); e != nil {
		return false, id, e
	}
	if at >= 0 {
		return true, id, s.doLocked(entry{NS: ns, Op: "replace", Doc: d})
	}
	return false, d.Lookup("_id"), s.doLocked(entry{NS: ns, Op: "insert", Doc: d})
}

var errImmutable = errors.New("performing an update on the path '_id' would modify the immutable field '_id'")

// changed is old, or what the filter makes of nothing, after with: a replacement, or $set and $setOnInsert of top-level fields.
func changed(old, q, with bson.Raw) (bson.Raw, error) {
	first, err := with.IndexErr(0)
	if err != nil || !strings.HasPrefix(first.Key(), "$") {
		id := old.Lookup("_id")
		if old == nil {
			id = q.Lookup("_id")
		}
		own := with.Lookup("_id")
		if id.Type == 0 || own.Type != 0 && old == nil {
			return withID(with), nil
		}
		if own.Type != 0 && !own.Equal(id) {
			return nil, errImmutable
		}
		out := bson.D{{Key: "_id", Value: id}}
		for _, e := range elementsOf(with) {
			if e.Key() != "_id" {
				out = append(out, bson.E{Key: e.Key(), Value: e.Value()})
			}
		}
		return bson.Marshal(out)
	}
	base := old
	if old == nil {
		base = q
	}
	var out bson.D
	for _, e := range elementsOf(base) {
		out = append(out, bson.E{Key: e.Key(), Value: e.Value()})
	}
	for _, op := range elementsOf(with) {
		if op.Key() != "$set" && (op.Key() != "$setOnInsert" || old != nil) {
			continue
		}
		for _, e := range elementsOf(op.Value().Document()) {
			out = append(slices.DeleteFunc(out, func(x bson.E) bool { return x.Key == e.Key() }), bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	b, err := bson.Marshal(out)
	return withID(b), err
}

func elementsOf(d bson.Raw) []bson.RawElement {
	list, _ := d.Elements() // it was validated
	return list
}

// matches compares top-level fields for equality, with $in for any of several.
func matches(d, q bson.Raw) bool {
	for _, e := range elementsOf(q) {
		got := valueKey(d.Lookup(strings.Split(e.Key(), ".")...))
		if in, ok := e.Value().DocumentOK(); ok {
			if list, ok := in.Lookup("$in").ArrayOK(); ok {
				values, _ := list.Values() // it was validated
				if !slices.ContainsFunc(values, func(v bson.RawValue) bool { return valueKey(v) == got }) {
					return false
				}
				continue
			}
		}
		if valueKey(e.Value()) != got {
			return false
		}
	}
	return true
}

func (s *store) find(ns string, q bson.Raw, limit int) (list []bson.Raw) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.sets[ns]
	if c == nil {
		return nil
	}
	if in, ok := q.Lookup("_id", "$in").ArrayOK(); ok && len(elementsOf(q)) == 1 {
		values, _ := in.Values() // it was validated
		for _, v := range values {
			if i, ok := c.ids[valueKey(v)]; ok {
				list = append(list, c.docs[i])
			}
		}
		return list
	}
	for _, d := range c.docs {
		if d != nil && matches(d, q) {
			if list = append(list, d); limit > 0 && len(list) == limit {
				break
			}
		}
	}
	return list
}

func (s *store) remove(ns string, q bson.Raw, limit int) (n int) {
	for _, d := range s.find(ns, q, limit) {
		id, err := bson.Marshal(bson.D{{Key: "_id", Value: d.Lookup("_id")}})
		if err != nil {
			continue
		}
		s.plain(entry{NS: ns, Op: "delete", Doc: id})
		n++
	}
	return n
}
