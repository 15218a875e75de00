package mongowire

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func hello() bson.D {
	return bson.D{{Key: "ismaster", Value: true}, {Key: "isWritablePrimary", Value: true}, {Key: "helloOk", Value: true}, {Key: "maxBsonObjectSize", Value: int32(maxBSON)},
		{Key: "maxMessageSizeBytes", Value: int32(maxMessage)}, {Key: "maxWriteBatchSize", Value: int32(100000)}, {Key: "minWireVersion", Value: int32(0)},
		{Key: "maxWireVersion", Value: int32(21)}, {Key: "logicalSessionTimeoutMinutes", Value: int32(30)},
		{Key: "saslSupportedMechs", Value: bson.A{"SCRAM-SHA-256"}}, {Key: "ok", Value: 1.0}}
}

func fail(code int32, name, text string) bson.D {
	return bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: text}, {Key: "code", Value: code}, {Key: "codeName", Value: name}}
}

var done = bson.D{{Key: "ok", Value: 1.0}}

// failPoint is what configureFailPoint: "failCommand" has asked for.
type failPoint struct {
	commands []string
	code     int32
	hangUp   bool
	times    int32 // -1: until it is taken away
}

// run answers a command, or says that the connection is to be closed instead.
func (s *Server) run(c *command, st *session) (answer bson.D, hangUp bool) {
	switch c.name {
	case "hello", "isMaster", "ismaster":
		return hello(), false
	case "saslStart", "saslContinue":
		return s.sasl(c, st), false
	}
	if s.opt.User != "" && !st.in {
		return fail(13, "Unauthorized", "command "+c.name+" requires authentication"), false
	}
	if f := s.failing(c.name); f != nil {
		return fail(f.code, "Injected", "failCommand"), f.hangUp
	}
	switch c.name {
	case "ping", "endSessions", "killCursors":
		return done, false
	case "buildInfo":
		return bson.D{{Key: "version", Value: "7.0.0"}, {Key: "versionArray", Value: bson.A{int32(7), int32(0), int32(0), int32(0)}}, {Key: "ok", Value: 1.0}}, false
	case "configureFailPoint":
		return s.setFailPoint(c), false
	case "getMore":
		return s.getMore(c), false
	}
	ns := c.text("$db") + "." + c.text(c.name)
	if strings.HasSuffix(ns, ".") || strings.ContainsAny(ns, "\x00$") {
		return fail(73, "InvalidNamespace", "Invalid namespace specified '"+ns+"'"), false
	}
	switch c.name {
	case "create":
		required, _ := c.body.Lookup("validator", "$jsonSchema", "required").ArrayOK()
		return s.store.create(ns, texts(required)), false
	case "drop":
		return s.store.drop(ns), false
	case "createIndexes":
		return s.createIndexes(ns, c), false
	case "insert":
		return s.insert(ns, c), false
	case "update":
		return s.update(ns, c), false
	case "delete":
		return s.delete(ns, c), false
	case "find":
		return s.find(ns, c), false
	}
	return fail(59, "CommandNotFound", "no such command: '"+c.name+"'"), false
}

func texts(a bson.RawArray) (list []string) {
	values, _ := a.Values() // of what was validated
	for _, v := range values {
		if t, ok := v.StringValueOK(); ok {
			list = append(list, t)
		}
	}
	return list
}

func (s *Server) setFailPoint(c *command) bson.D {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail = nil; c.text("mode") == "off" {
		return done
	}
	f := &failPoint{times: -1}
	if n, ok := c.body.Lookup("mode", "times").AsInt64OK(); ok {
		f.times = int32(n) //nolint:gosec // a test's small number
	}
	a, _ := c.body.Lookup("data", "failCommands").ArrayOK()
	code, _ := c.body.Lookup("data", "errorCode").AsInt64OK()
	f.commands, f.code = texts(a), int32(code) //nolint:gosec // an error code
	f.hangUp, _ = c.body.Lookup("data", "closeConnection").BooleanOK()
	s.fail = f
	return done
}

func (s *Server) failing(name string) *failPoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fail
	if f == nil || f.times == 0 || !slices.Contains(f.commands, name) {
		return nil
	}
	if f.times > 0 {
		f.times--
	}
	return f
}

// writes runs each of docs and gathers their errors; an ordered command ends at the first.
func writes(c *command, docs []bson.Raw, do func(i int, d bson.Raw) (n int, e *writeError)) (n int, errs bson.A) {
	ordered := true
	if v, ok := c.body.Lookup("ordered").BooleanOK(); ok {
		ordered = v
	}
	for i, d := range docs {
		m, e := do(i, d)
		n += m
		if e == nil {
			continue
		}
		errs = append(errs, append(bson.D{{Key: "index", Value: int32(i)}, {Key: "code", Value: e.code}, {Key: "errmsg", Value: e.text}}, e.more...)) //nolint:gosec // an index
		if ordered {
			break
		}
	}
	return n, errs
}

func written(n int, errs bson.A, more ...bson.E) bson.D {
	d := append(bson.D{{Key: "n", Value: int32(n)}, {Key: "ok", Value: 1.0}}, more...) //nolint:gosec // a batch's number
	if len(errs) > 0 {
		d = append(d, bson.E{Key: "writeErrors", Value: errs})
	}
	return d
}

func (s *Server) insert(ns string, c *command) bson.D {
	n, errs := writes(c, c.list("documents"), func(_ int, d bson.Raw) (int, *writeError) {
		if e := s.store.insert(ns, d); e != nil {
			return 0, e
		}
		return 1, nil
	})
	return written(n, errs)
}

func (s *Server) update(ns string, c *command) bson.D {
	var upserted bson.A
	modified := 0
	n, errs := writes(c, c.list("updates"), func(i int, u bson.Raw) (int, *writeError) {
		q, _ := u.Lookup("q").DocumentOK()
		with, _ := u.Lookup("u").DocumentOK()
		upsert, _ := u.Lookup("upsert").BooleanOK()
		found, id, e := s.store.update(ns, q, with, upsert)
		switch {
		case e != nil:
			return 0, e
		case found:
			modified++
			return 1, nil
		case id.Type != 0:
			upserted = append(upserted, bson.D{{Key: "index", Value: int32(i)}, {Key: "_id", Value: id}}) //nolint:gosec // an index
			return 1, nil
		}
		return 0, nil
	})
	more := []bson.E{{Key: "nModified", Value: int32(modified)}} //nolint:gosec // a batch's number
	if len(upserted) > 0 {
		more = append(more, bson.E{Key: "upserted", Value: upserted})
	}
	return written(n, errs, more...)
}

func (s *Server) delete(ns string, c *command) bson.D {
	n, errs := writes(c, c.list("deletes"), func(_ int, d bson.Raw) (int, *writeError) {
		q, _ := d.Lookup("q").DocumentOK()
		limit, _ := d.Lookup("limit").AsInt64OK()
		return s.store.remove(ns, q, int(limit)), nil
	})
	return written(n, errs)
}

func (s *Server) createIndexes(ns string, c *command) bson.D {
	for _, x := range c.list("indexes") {
		unique, _ := x.Lookup("unique").BooleanOK()
		keys, _ := x.Lookup("key").DocumentOK()
		elements, err := keys.Elements()
		if err != nil {
			return fail(9, "FailedToParse", "key")
		}
		var fields []string
		for _, e := range elements {
			fields = append(fields, e.Key())
		}
		if unique {
			s.store.unique(ns, fields)
		}
	}
	return done
}

func (s *Server) find(ns string, c *command) bson.D {
	q, _ := c.body.Lookup("filter").DocumentOK()
	limit, _ := c.body.Lookup("limit").AsInt64OK()
	single, _ := c.body.Lookup("singleBatch").BooleanOK()
	size, ok := c.body.Lookup("batchSize").AsInt64OK()
	if !ok {
		size = 101
	}
	docs := s.store.find(ns, q, int(limit))
	if keys := included(c.body.Lookup("projection")); len(keys) > 0 {
		for i, d := range docs {
			docs[i] = project(d, keys)
		}
	}
	first := docs[:min(int(size), len(docs))]
	id := int64(0)
	if rest := docs[len(first):]; len(rest) > 0 && !single {
		s.mu.Lock()
		s.last++
		id = s.last
		s.cursors[id] = &cursor{ns, rest}
		s.mu.Unlock()
	}
	return cursorAnswer(id, ns, "firstBatch", first)
}

func cursorAnswer(id int64, ns, batch string, docs []bson.Raw) bson.D {
	list := bson.A{}
	for _, d := range docs {
		list = append(list, d)
	}
	return bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: id}, {Key: "ns", Value: ns}, {Key: batch, Value: list}}}, {Key: "ok", Value: 1.0}}
}

func (s *Server) getMore(c *command) bson.D {
	id, _ := c.body.Lookup("getMore").AsInt64OK()
	size, ok := c.body.Lookup("batchSize").AsInt64OK()
	s.mu.Lock()
	defer s.mu.Unlock()
	cur := s.cursors[id]
	if cur == nil {
		return fail(43, "CursorNotFound", "cursor id not found")
	}
	n := len(cur.docs)
	if ok && size > 0 {
		n = min(int(size), n)
	}
	docs := cur.docs[:n]
	if cur.docs = cur.docs[n:]; len(cur.docs) == 0 {
		delete(s.cursors, id)
		id = 0
	}
	return cursorAnswer(id, cur.ns, "nextBatch", docs)
}

// included are the fields that a projection includes.
func included(v bson.RawValue) (keys []string) {
	d, _ := v.DocumentOK()
	elements, _ := d.Elements() // of what was validated
	for _, e := range elements {
		if on, ok := e.Value().AsInt64OK(); ok && on != 0 {
			keys = append(keys, e.Key())
		}
	}
	return keys
}

// project keeps _id and the fields of keys.
func project(d bson.Raw, keys []string) bson.Raw {
	var out bson.D
	elements, _ := d.Elements() // it is a stored document
	for _, e := range elements {
		if e.Key() == "_id" || slices.Contains(keys, e.Key()) {
			out = append(out, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	b, _ := bson.Marshal(out) // of what was a document
	return b
}
