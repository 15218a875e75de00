// Package mongowire is a MongoDB as far as a driver that stores documents can tell: it speaks the wire protocol (OP_MSG, and the
// OP_QUERY that drivers begin with), logs in with SCRAM-SHA-256, and knows hello, ping, create, insert, find with getMore, update
// with upsert, delete, createIndexes and configureFailPoint.
//
// It exists because no mongod can be had where the tests run. It promises that _id and unique indexes are unique, that what it has
// acknowledged is there after it was killed, and that documents keep their bytes and their order. It leaves out most of MongoDB:
// filters compare top-level fields for equality (or $in) and values of different types are different, validators know
// $jsonSchema.required only, there are no transactions, no aggregation, and one member.
package mongowire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Options say what a Server is like.
type Options struct {
	Dir            string // where documents are kept; "" forgets them
	User, Password string // "": no login
}

// Server is safe for concurrent use.
type Server struct {
	opt   Options
	store *store

	mu      sync.Mutex // guards the fields below
	fail    *failPoint
	cursors map[int64]*cursor
	last    int64 // cursor id
	conns   map[net.Conn]bool
	closed  bool
}

type cursor struct {
	ns   string
	docs []bson.Raw
}

// New opens a Server with what is in its folder.
func New(opt Options) (*Server, error) {
	st, err := openStore(opt.Dir)
	if err != nil {
		return nil, err
	}
	return &Server{opt: opt, store: st, cursors: map[int64]*cursor{}, conns: map[net.Conn]bool{}}, nil
}

// Serve answers connections of ln until it is closed.
func (s *Server) Serve(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		if s.closed {
			_ = c.Close()
		}
		s.conns[c] = true
		s.mu.Unlock()
		go s.talk(c)
	}
}

// Close ends all connections and closes the store; the listener is the caller's to close, before.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	return s.store.close()
}

// Numbers of the wire protocol.
const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013

	checksumPresent = 1 << 0
	moreToCome      = 1 << 1

	maxMessage = 48_000_000
	maxBSON    = 16 << 20
)

type header struct{ Length, RequestID, ResponseTo, OpCode int32 }

func (s *Server) talk(c net.Conn) {
	defer func() {
		_ = c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	r := bufio.NewReader(c)
	var session session
	for {
		var h header
		if binary.Read(r, binary.LittleEndian, &h) != nil || h.Length < 16 || h.Length > maxMessage {
			return
		}
		b := make([]byte, h.Length-16)
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		switch h.OpCode {
		case opQuery: // a driver's first hello
			if !reply(c, h.RequestID, opReply, hello()) {
				return
			}
		case opMsg:
			cmd, flags, err := parseMessage(b)
			if err != nil {
				return
			}
			answer, hangUp := s.run(cmd, &session)
			if hangUp || flags&moreToCome == 0 && !reply(c, h.RequestID, opMsg, answer) {
				return
			}
		default:
			return
		}
	}
}

// command is a parsed OP_MSG: the body, and the documents that came beside it.
type command struct {
	name string
	body bson.Raw
	docs map[string][]bson.Raw
}

// list is an array of the command, wherever it came.
func (c *command) list(name string) []bson.Raw {
	if docs, ok := c.docs[name]; ok {
		return docs
	}
	values, err := c.body.Lookup(name).Array().Values()
	if err != nil {
		return nil
	}
	var docs []bson.Raw
	for _, v := range values {
		if d, ok := v.DocumentOK(); ok {
			docs = append(docs, d)
		}
	}
	return docs
}

func (c *command) text(name string) string { s, _ := c.body.Lookup(name).StringValueOK(); return s }

var errMalformed = errors.New("mongowire: malformed message")

func parseMessage(b []byte) (*command, uint32, error) {
	if len(b) < 5 {
		return nil, 0, errMalformed
	}
	flags := binary.LittleEndian.Uint32(b)
	b = b[4:]
	if flags&checksumPresent != 0 {
		b = b[:max(len(b)-4, 0)]
	}
	c := &command{docs: map[string][]bson.Raw{}}
	for len(b) > 0 {
		kind := b[0]
		d, rest, err := cut(b[1:])
		if err != nil {
			return nil, 0, err
		}
		switch kind {
		case 0:
			c.body = bson.Raw(d)
		case 1:
			name, docs, err := parseSequence(d[4:])
			if err != nil {
				return nil, 0, err
			}
			c.docs[name] = docs
		default:
			return nil, 0, errMalformed
		}
		b = rest
	}
	if c.body.Validate() != nil {
		return nil, 0, errMalformed
	}
	first, err := c.body.IndexErr(0)
	if err != nil {
		return nil, 0, errMalformed
	}
	c.name = first.Key()
	return c, flags, nil
}

func parseSequence(b []byte) (name string, docs []bson.Raw, err error) {
	for i, x := range b {
		if x != 0 {
			continue
		}
		name, b = string(b[:i]), b[i+1:]
		for len(b) > 0 {
			var d []byte
			if d, b, err = cut(b); err != nil {
				return "", nil, err
			}
			if bson.Raw(d).Validate() != nil {
				return "", nil, errMalformed
			}
			docs = append(docs, d)
		}
		return name, docs, nil
	}
	return "", nil, errMalformed
}

// cut takes off what begins with its own length.
func cut(b []byte) (first, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errMalformed
	}
	n := int64(binary.LittleEndian.Uint32(b))
	if n < 5 || n > int64(len(b)) {
		return nil, nil, errMalformed
	}
	return b[:n], b[n:], nil
}

// reply sends a document in the form that the request came in.
func reply(c net.Conn, to, op int32, doc bson.D) bool {
	d, err := bson.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("mongowire: answer %v: %v", doc, err)) // it was made here
	}
	head := []byte{0, 0, 0, 0, 0} // flags and the kind of the body
	if op == opReply {
		head = make([]byte, 20) // flags, cursor, starting from, number returned
		head[16] = 1
	}
	b := make([]byte, 16, 16+len(head)+len(d))
	for i, v := range []int32{int32(16 + len(head) + len(d)), 0, to, op} { //nolint:gosec // an answer is small
		binary.LittleEndian.PutUint32(b[4*i:], uint32(v)) //nolint:gosec // bits
	}
	_, err = c.Write(append(append(b, head...), d...))
	return err == nil
}
