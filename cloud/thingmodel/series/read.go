package series

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/segment"
)

// Query says which values of a device are wanted.
type Query struct {
	Device      int64
	Identifiers []string  // one at least
	From, To    time.Time // From included, To not; zero is no bound
	Ascending   bool      // the oldest first
	Limit       int       // points, 1 at least
	Cursor      string    // what the page before returned
	// Most is how many of the newest values of each property are there at all, on each node; 0 is no bound. With it the question
	// looks at all of them first.
	Most int
	// Step and Fn down-sample: one point for each property and Step in which there are values. Step is a multiple of 1 ms.
	Step time.Duration
	Fn   Fn
}

// Point is a value, or what came of the values of a step.
type Point struct {
	Identifier string
	Time       time.Time // of a step its beginning
	Value      json.RawMessage
	Count      int64 // values in the step; 1 without one
}

// Page is a part of the answer.
type Page struct {
	Points  []Point
	Next    string   // the cursor of the next page, "" on the last
	Missing []string // nodes that did not answer, whose values are not in it
}

// Errors of Points.
var (
	// ErrCursor is a cursor that no question has returned.
	ErrCursor = errors.New("series: the cursor was not made by this list: leave it out to start again")
	// ErrTooMuch is a question that looks at too many values.
	ErrTooMuch = errors.New("series: too many values: ask for a shorter time")
)

// maxAnswer bounds the values of one node's answer in bytes, so that it fits the bus.
const maxAnswer = 512 << 10

// answer is what one node has, in the order that was asked for. It is whole up to end: of a time all values or none.
type answer struct {
	samples []sample
	end     time.Time // where it stopped, zero when there is nothing more
}

// sample is a value, or one property's values in one step.
type sample struct {
	id   string
	time time.Time // of a step its beginning
	bucket
}

// Points returns what q asks for, of all nodes.
func (s *Series) Points(ctx context.Context, q Query) (Page, error) {
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return Page{}, err
	}
	answers, missing, err := s.all(ctx, q, at)
	if err != nil {
		return Page{}, err
	}
	p := q.merge(answers, at)
	p.Missing = missing
	return p, nil
}

// local is what this node has for the page that begins at the cursor. It stops behind the time that fills the page.
func (s *Series) local(ctx context.Context, q Query, at *cursor) (a answer, err error) {
	if err := s.log.Sync(ctx); err != nil {
		return a, fmt.Errorf("series: %w", err)
	}
	if q.Most > 0 {
		if q.From, err = s.oldest(ctx, q); err != nil {
			return a, err
		}
	}
	from, to, enough := q.From, q.To, q.Limit+1
	if at != nil {
		from, to = q.from(at)
		enough += at.seen
	}
	size, times := 0, 0
	err = s.scan(ctx, q, from, to, func(t time.Time, v value) bool {
		if q.Step > 0 {
			t = stepOf(t, q.Step)
		}
		last := len(a.samples) - 1
		if last < 0 || !t.Equal(a.samples[last].time) {
			if full := q.Step > 0 && times >= enough || q.Step == 0 && len(a.samples) >= enough; full || size > maxAnswer {
				a.end = t
				return false
			}
			times++
		}
		size += 16 + len(v.identifier) + len(v.json)
		if q.Step == 0 {
			a.samples = append(a.samples, sample{string(v.identifier), t, bucket{n: 1, last: slices.Clone(v.json)}})
			return true
		}
		for ; last >= 0 && a.samples[last].time.Equal(t); last-- {
			if a.samples[last].id == string(v.identifier) {
				a.samples[last].add(q.Fn, v, q.Ascending)
				return true
			}
		}
		one := sample{id: string(v.identifier), time: t}
		one.add(q.Fn, v, q.Ascending)
		a.samples = append(a.samples, one)
		return true
	})
	return a, err
}

// from is the span that begins at the cursor.
func (q *Query) from(at *cursor) (from, to time.Time) {
	switch {
	case q.Ascending:
		return at.time, q.To
	case q.Step > 0:
		return q.From, at.time.Add(q.Step)
	}
	return q.From, at.time.Add(time.Microsecond)
}

// before tells whether a comes before b in the order that is asked for.
func (q *Query) before(a, b time.Time) bool { return a.Before(b) == q.Ascending && !a.Equal(b) }

// merge puts the answers of nodes together to a page.
func (q *Query) merge(answers []answer, at *cursor) Page {
	var all []sample
	var end time.Time // up to here all nodes' answers are whole
	for _, a := range answers {
		all = append(all, a.samples...)
		if !a.end.IsZero() && (end.IsZero() || q.before(a.end, end)) {
			end = a.end
		}
	}
	slices.SortStableFunc(all, func(a, b sample) int {
		if q.Ascending {
			return a.time.Compare(b.time)
		}
		return b.time.Compare(a.time)
	})
	if !end.IsZero() {
		all = all[:sortedBefore(q, all, end)]
	}
	if q.Step > 0 {
		all = q.together(all)
	}
	return q.page(all, end, at)
}

// sortedBefore is how many of all come before end.
func sortedBefore(q *Query, all []sample, end time.Time) int {
	n, _ := slices.BinarySearchFunc(all, end, func(a sample, end time.Time) int {
		if q.before(a.time, end) {
			return -1
		}
		return 1
	})
	return n
}

// page cuts the page out of all. One of steps ends with a whole step.
func (q *Query) page(all []sample, end time.Time, at *cursor) (p Page) {
	place := cursor{}
	for i := range all {
		one := &all[i]
		if !one.time.Equal(place.time) {
			if q.Step > 0 && len(p.Points) >= q.Limit {
				p.Next = cursor{time: one.time}.String()
				return p
			}
			place = cursor{time: one.time}
		}
		if place.seen++; q.Step == 0 {
			if at != nil && one.time.Equal(at.time) && place.seen <= at.seen {
				continue
			}
			if len(p.Points) == q.Limit {
				place.seen--
				p.Next = place.String()
				return p
			}
			p.Points = append(p.Points, Point{one.id, one.time, one.last, 1})
		} else if one.n > 0 {
			p.Points = append(p.Points, Point{one.id, one.time, one.value(q.Fn), one.n})
		}
	}
	if !end.IsZero() {
		p.Next = cursor{time: end}.String()
	}
	return p
}

// together joins the parts that several nodes have of a step, and puts its properties in the order of the question.
func (q *Query) together(all []sample) []sample {
	var joined []sample
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].time.Equal(all[0].time) {
			n++
		}
		for _, id := range q.Identifiers {
			one := sample{id: id, time: all[0].time}
			for i := range all[:n] {
				if all[i].id == id {
					one.join(&all[i].bucket)
				}
			}
			joined = append(joined, one)
		}
		all = all[n:]
	}
	return joined
}

// scan calls f for the wanted values of a time.
func (s *Series) scan(ctx context.Context, q Query, from, to time.Time, f func(time.Time, value) bool) error {
	var values []value
	looked := 0
	var bad error
	err := s.log.Scan(ctx, segment.Query{Keys: []uint64{uint64(q.Device)}, From: from, To: to, Backward: !q.Ascending}, func(r segment.Record) bool {
		var on bool
		var err error
		values, on, err = each(r.Data, values, func(v value) bool {
			if looked++; looked > s.max {
				bad = ErrTooMuch
				return false
			}
			if !slices.Contains(q.Identifiers, string(v.identifier)) {
				return true
			}
			v.at = r.Time.UTC()
			return f(v.at, v)
		}, !q.Ascending)
		if err != nil && bad == nil {
			bad = err
			return true // the others may be whole
		}
		return on
	})
	var damage *segment.CorruptionError
	if errors.As(err, &damage) { // it is counted and logged; what could be read is the answer
		err = nil
	}
	if errors.Is(bad, ErrTooMuch) {
		return bad
	}
	if err != nil {
		return fmt.Errorf("series: %w", err)
	}
	return nil
}

// oldest is the time from which on there are at most q.Most values of each property.
func (s *Series) oldest(ctx context.Context, q Query) (time.Time, error) {
	seen := make(map[string]int, len(q.Identifiers))
	full, from := 0, q.From
	q.Ascending = false
	err := s.scan(ctx, q, q.From, time.Time{}, func(t time.Time, v value) bool {
		n := seen[string(v.identifier)] + 1
		if n > q.Most {
			return true
		}
		seen[string(v.identifier)] = n
		if n == q.Most {
			full++
			from = t
		}
		return full < len(q.Identifiers)
	})
	if full < len(q.Identifiers) {
		return q.From, err
	}
	return from, err
}

// cursor is where a page begins: at a time of which so many values have been seen, or at a step.
type cursor struct {
	time time.Time
	seen int
}

func (c cursor) String() string {
	b := binary.AppendVarint(nil, c.time.UnixMicro())
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(b, uint64(c.seen)))
}

func parseCursor(text string) (*cursor, error) {
	if text == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, ErrCursor
	}
	at, n := binary.Varint(b)
	if n <= 0 {
		return nil, ErrCursor
	}
	seen, m := binary.Uvarint(b[n:])
	if m <= 0 || n+m != len(b) || seen > 1<<20 {
		return nil, ErrCursor
	}
	return &cursor{time.UnixMicro(at).UTC(), int(seen)}, nil
}
