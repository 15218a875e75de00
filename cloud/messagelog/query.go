package messagelog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/segment"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Filter says which records are wanted; zero values want all.
type Filter struct {
	Product, Device string // a device wants its product too
	Application     string // a key's id, or with a colon the client's behind it
	Kinds           []string
	Results         []uplink.Result
	ID              message.ID
	Contains        string    // in the payload, the topic, or what a hop says
	From, To        time.Time // when it was logged: From included, To not
}

// MaxLimit bounds a page.
const MaxLimit = 500

// Page is a part of the log.
type Page struct {
	Records []Record // in the order that was asked for
	Next    Cursor   // where to go on
	More    bool     // there may be more
	Missing []string // nodes that did not answer: what they logged is not here
	Damaged bool     // a part of the log cannot be read any more
}

// Cursor is a place in the logs of all nodes: for each the time, in µs, of the last record that was given out or looked at.
type Cursor map[string]int64

// ErrCursor is returned for a text that String did not make.
var ErrCursor = errors.New("messagelog: no cursor of this log")

// String is the cursor for outside; "" for one without a place.
func (c Cursor) String() string {
	if len(c) == 0 {
		return ""
	}
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	var b []byte
	for _, name := range names {
		b = strconv.AppendInt(append(append(b, name...), '='), c[name], 36)
		b = append(b, ' ')
	}
	return base64.RawURLEncoding.EncodeToString(bytes.TrimRight(b, " "))
}

// of is a node's place. One that was not known when the cursor was made has nothing that is older, as far as anybody knows.
func (c Cursor) of(node string, backward bool) int64 {
	pos, ok := c[node]
	if ok || backward || len(c) == 0 {
		return pos
	}
	for _, other := range c {
		if pos == 0 || other < pos {
			pos = other
		}
	}
	return pos
}

// ParseCursor is the inverse of String.
func ParseCursor(s string) (Cursor, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, ErrCursor
	}
	c := Cursor{}
	for _, field := range strings.Fields(string(b)) {
		name, at, ok := strings.Cut(field, "=")
		if c[name], err = strconv.ParseInt(at, 36, 64); err != nil || !ok || len(c) > 1024 {
			return nil, ErrCursor
		}
	}
	return c, nil
}

// question is a query as one node is asked.
type question struct {
	Filter
	pos      int64 // go on behind this time; 0: from the end that the order begins with
	limit    int
	backward bool
}

// answer is what one node has.
type answer struct {
	records []Record
	end     int64 // everything up to here was looked at
	more    bool  // and there is more behind it
	damaged bool
}

// budget is how long one node looks for matches before it gives out what it has.
const budget = 2 * time.Second

// maxAnswer bounds the payloads of one answer, so that it fits the bus.
const maxAnswer = 512 << 10

// local asks this node's own log.
func (l *Log) local(ctx context.Context, q question) (a answer, err error) {
	l.mu.Lock()
	newest := l.last
	l.mu.Unlock()
	if !q.backward || q.pos == 0 { // what was logged before the question is in the answer
		if err := l.records.Sync(ctx); err != nil {
			return a, err
		}
	}
	if !q.backward {
		a.end = max(newest, q.pos)
	}
	until, size := time.Now().Add(budget), 0
	looked := 0
	err = l.records.Scan(ctx, q.scan(), func(raw segment.Record) bool {
		looked++
		at := raw.Time.UnixMicro()
		if !q.backward && at > newest {
			return false // it came after the question
		}
		r, err := parse(raw.Data)
		if err != nil {
			a.damaged = true
			return true
		}
		if q.takes(&r, raw.Keys) {
			a.records = append(a.records, l.keep(raw, r.ID))
			size += len(raw.Data)
		}
		a.more = len(a.records) >= q.limit || size >= maxAnswer || looked%64 == 0 && time.Now().After(until)
		if a.more || q.backward {
			a.end = at
		}
		return !a.more
	})
	var damage *segment.CorruptionError
	if errors.As(err, &damage) {
		a.damaged, err = true, nil
	}
	return a, err
}

// keep makes a record of its own of one that the scan shows.
func (l *Log) keep(raw segment.Record, id message.ID) Record {
	data := bytes.Clone(raw.Data)
	r, _ := parse(data) // it could be parsed a moment ago
	r.ID, r.Logged, r.Node, r.raw = id, raw.Time.UTC(), l.cfg.Node, data
	return r
}

// scan is the question as the segments understand it.
func (q *question) scan() segment.Query {
	s := segment.Query{From: q.From, To: q.To, Backward: q.backward}
	k := keysOf(q.Product, q.Device, q.ID)
	switch {
	case q.Device != "":
		s.Keys = append(s.Keys, k.k[keyDevice])
	case q.Product != "":
		s.Keys = append(s.Keys, k.k[keyProduct])
	}
	if q.ID != 0 {
		s.Keys = append(s.Keys, k.k[keyMessage])
	}
	switch {
	case q.pos == 0:
	case q.backward:
		if at := time.UnixMicro(q.pos); s.To.IsZero() || at.Before(s.To) {
			s.To = at
		}
	default:
		if at := time.UnixMicro(q.pos + 1); at.After(s.From) {
			s.From = at
		}
	}
	return s
}

// takes tells whether a record is wanted, and gives it its id.
func (f *Filter) takes(r *Record, keys []uint64) bool {
	if len(keys) > keyMessage {
		r.ID = message.ID(keys[keyMessage])
	}
	return (f.Product == "" || f.Product == r.Product) && (f.Device == "" || f.Device == r.Device) && (f.ID == 0 || f.ID == r.ID) &&
		(f.Application == "" || r.by(f.Application)) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, r.Kind)) && (len(f.Results) == 0 || slices.Contains(f.Results, r.Result)) &&
		(f.Contains == "" || r.contains(f.Contains))
}

// by tells whether the record is of an application.
func (r *Record) by(application string) bool {
	rest, ok := strings.CutPrefix(r.Application, application)
	return ok && (rest == "" || rest[0] == ':' && !strings.Contains(application, ":"))
}

func (r *Record) contains(text string) bool {
	if strings.Contains(string(r.Text()), text) || strings.Contains(r.Topic, text) || strings.Contains(r.Action, text) {
		return true
	}
	for i := range r.Hops {
		if strings.Contains(r.Hops[i].Reason, text) || strings.Contains(r.Hops[i].Detail, text) {
			return true
		}
	}
	return false
}

// Text is the payload as people read it: CBOR as JSON, all else as it is.
func (r *Record) Text() []byte {
	if r.Truncated || codec.Detect(r.Payload) != codec.CBOR {
		return r.Payload
	}
	doc, err := codec.Decode(r.Payload, codec.DefaultLimits())
	if err != nil {
		return r.Payload
	}
	defer doc.Release()
	return doc.Root().AppendJSON(nil)
}

// merge puts the answers of several nodes into one page, and says where each is to go on.
func merge(answers map[string]answer, c Cursor, limit int, backward bool) (p Page) {
	p.Next = Cursor{}
	for node, pos := range c {
		p.Next[node] = pos // of nodes that did not answer too
	}
	for _, a := range answers {
		p.Records = append(p.Records, a.records...)
		p.Damaged = p.Damaged || a.damaged
	}
	slices.SortStableFunc(p.Records, func(a, b Record) int {
		if backward {
			a, b = b, a
		}
		return cmp.Or(a.Logged.Compare(b.Logged), strings.Compare(a.Node, b.Node))
	})
	// A node that has more behind what it answered may have records before those of the others.
	cut := len(p.Records)
	for node, a := range answers {
		if a.more {
			cut = min(cut, behind(p.Records, node, a.end, backward))
			p.More = true
		}
	}
	if cut = min(cut, limit); cut < len(p.Records) {
		p.Records, p.More = p.Records[:cut], true
	}
	given := map[string]int{}
	for i := range p.Records {
		given[p.Records[i].Node]++
		p.Next[p.Records[i].Node] = p.Records[i].Logged.UnixMicro()
	}
	for node, a := range answers {
		if given[node] == len(a.records) && a.end != 0 {
			p.Next[node] = a.end
		}
	}
	return p
}

// behind is how many records come before or at a node's time.
func behind(list []Record, node string, end int64, backward bool) int {
	for i := range list {
		at := list[i].Logged.UnixMicro()
		if list[i].Node != node && (backward && at < end || !backward && at > end) {
			return i
		}
	}
	return len(list)
}
