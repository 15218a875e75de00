package metric

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Query says which points are wanted.
type Query struct {
	Scopes   []string // what they are of; the points are the sum of these
	Names    []Name
	From, To time.Time     // From included, To not
	Step     time.Duration // 0: so that there are about 240 points
}

// Point is one value of a step that begins at Time.
type Point struct {
	Time  time.Time
	Value float64
}

// Line is a metric over time, the oldest point first. A gauge has no point where nobody has written one.
type Line struct {
	Name   Name
	Points []Point
}

// Answer is what a Query gives. Step may be longer than was asked for, where only quarters of an hour are kept.
type Answer struct {
	From, To time.Time
	Step     time.Duration
	Lines    []Line
}

// MaxPoints bounds the points of a line.
const MaxPoints = 150_000

// ErrTooMany is a question for more points than MaxPoints.
var ErrTooMany = errors.New("metric: too many points: ask for a longer step or a shorter time")

// steps are those that are chosen by themselves.
var steps = []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
	3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour}

const (
	quarter = 15 * time.Minute
	day     = 24 * time.Hour
)

// fineFrom is the time from which on there are minutes.
func (h *History) fineFrom(now time.Time) time.Time {
	if h.cfg.MinuteAge >= h.cfg.Age {
		return time.Time{}
	}
	return now.Add(-h.cfg.MinuteAge).UTC().Truncate(day)
}

// shape settles the step and aligns the ends to it.
func (h *History) shape(q *Query) error {
	now := h.now()
	if q.To.IsZero() || q.To.After(now) {
		q.To = now.Add(time.Minute)
	}
	if oldest := now.Add(-h.cfg.Age).Truncate(day); q.From.Before(oldest) {
		q.From = oldest
	}
	if !q.From.Before(q.To) {
		q.From = q.To.Add(-time.Minute)
	}
	if q.Step <= 0 {
		i := slices.IndexFunc(steps, func(s time.Duration) bool { return q.To.Sub(q.From) <= 240*s })
		if i < 0 {
			i = len(steps) - 1
		}
		q.Step = steps[i]
	}
	if q.Step = max(q.Step.Truncate(time.Minute), time.Minute); q.From.Before(h.fineFrom(now)) && q.Step%quarter != 0 {
		q.Step = (q.Step + quarter - 1).Truncate(quarter)
	}
	align := int64(q.Step / time.Second)
	q.From = time.Unix(q.From.Unix()/align*align, 0).UTC()
	q.To = time.Unix((q.To.Unix()+align-1)/align*align, 0).UTC()
	if q.To.Sub(q.From)/q.Step > MaxPoints {
		return ErrTooMany
	}
	return nil
}

// Query reads points, of all nodes.
func (h *History) Query(ctx context.Context, q Query) (Answer, error) {
	if err := h.shape(&q); err != nil {
		return Answer{}, err
	}
	sum := newSum(&q, h.now())
	for scopes := range slices.Chunk(q.Scopes, 200) {
		for _, step := range []int64{60, 900} {
			if err := h.read(ctx, &q, scopes, step, sum); err != nil {
				return Answer{}, fmt.Errorf("metric: read points: %w", err)
			}
		}
	}
	a := Answer{From: q.From, To: q.To, Step: q.Step}
	for _, n := range q.Names {
		a.Lines = append(a.Lines, sum.line(n))
	}
	return a, nil
}

// spanOf is how long a row is in seconds.
func spanOf(step int64) int64 {
	if step == 60 {
		return 3600
	}
	return 86400
}

// read adds the rows of one kind.
func (h *History) read(ctx context.Context, q *Query, scopes []string, step int64, sum *sum) (err error) {
	args := []any{step, q.From.Unix() - spanOf(step), q.To.Unix()}
	for _, s := range scopes {
		args = append(args, s)
	}
	rows, err := h.Store.Query(ctx, `SELECT scope, node, start, data FROM metric_chunk WHERE step = ? AND start > ? AND start < ? AND scope IN (?`+
		strings.Repeat(`, ?`, len(scopes)-1)+`)`, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var scope, node string
		var start int64
		var data []byte
		if err := rows.Scan(&scope, &node, &start, &data); err != nil {
			return err
		}
		c, err := decodeChunk(data)
		if err != nil {
			h.Log.Warn("row of the metrics cannot be read, it is left out", "scope", scope, "start", start, "node", node)
			continue
		}
		sum.add(c, scope+"\x00"+node, start, step)
	}
	return nil
}

// Totals are counters summed up, and gauges as they were last, of the last full minutes: d of them.
func (h *History) Totals(ctx context.Context, scopes []string, d time.Duration) (map[Name]float64, error) {
	to := h.now().Truncate(time.Minute)
	a, err := h.Query(ctx, Query{Scopes: scopes, Names: Names(), From: to.Add(-d), To: to, Step: time.Minute})
	if err != nil {
		return nil, err
	}
	totals := make(map[Name]float64)
	for _, l := range a.Lines {
		for _, p := range l.Points {
			if l.Name.Info().Gauge {
				totals[l.Name] = 0
			}
			totals[l.Name] += p.Value
		}
	}
	return totals, nil
}

// Known tells whether there is a metric of that name.
func (h *History) Known(name string) bool {
	_, ok := Parse(name)
	return ok
}

// Window is a counter's sum, or a gauge's mean, of the last full minutes: d of them. known is false for a gauge that nobody has written.
func (h *History) Window(ctx context.Context, scope, name string, d time.Duration) (v float64, known bool, err error) {
	n, ok := Parse(name)
	if !ok {
		return 0, false, nil
	}
	to := h.now().Truncate(time.Minute)
	a, err := h.Query(ctx, Query{Scopes: []string{scope}, Names: []Name{n}, From: to.Add(-d), To: to, Step: time.Minute})
	if err != nil {
		return 0, false, err
	}
	points := a.Lines[0].Points
	for _, p := range points {
		v += p.Value
	}
	if n.Info().Gauge && len(points) > 0 {
		v /= float64(len(points))
	}
	return v, len(points) > 0, nil
}

// sum gathers rows into the steps of a query.
type sum struct {
	q        *Query
	n        int // steps
	now      int64
	counters map[Name][]int64
	gauges   map[Name]map[string]*means // by scope and node: each has its own mean in a step, and these are added up
}

// means are of one gauge of one row's writer.
type means struct {
	sum []float64
	n   []int32
}

func newSum(q *Query, now time.Time) *sum {
	s := &sum{q: q, n: int(q.To.Sub(q.From) / q.Step), now: now.Unix(), counters: make(map[Name][]int64), gauges: make(map[Name]map[string]*means)}
	for _, n := range q.Names {
		if n.Info().Gauge {
			s.gauges[n] = make(map[string]*means)
		} else {
			s.counters[n] = make([]int64, s.n)
		}
	}
	return s
}

func (s *sum) add(c *chunk, writer string, start, step int64) {
	from, width := s.q.From.Unix(), int64(s.q.Step/time.Second)
	bucket := func(slot int) int {
		at := start + int64(slot)*step - from
		if at < 0 {
			return -1
		}
		return int(at / width)
	}
	for n, v := range c.values {
		if into, ok := s.counters[n]; ok {
			for slot, x := range v {
				if b := bucket(slot); x != 0 && b >= 0 && b < s.n {
					into[b] += x
				}
			}
		}
	}
	for n, writers := range s.gauges {
		v := c.values[n]
		if v == nil && !c.tells(n, writer) {
			continue
		}
		m := writers[writer]
		if m == nil {
			m = &means{make([]float64, s.n), make([]int32, s.n)}
			writers[writer] = m
		}
		c.carry(writer, start, step, s.now, func(slot int) {
			b := bucket(slot)
			if b < 0 || b >= s.n {
				return
			}
			m.n[b]++
			if v != nil && c.has(slot) {
				m.sum[b] += float64(v[slot])
			} else if v != nil {
				m.sum[b] += float64(v[c.before(slot)])
			}
		})
	}
}

// tells whether a row without values for a gauge tells that it was 0: those of the store's own gauges do.
func (c *chunk) tells(n Name, writer string) bool {
	return ofStore(writer) && (n == DevicesOnline || n == DevicesRegistered)
}

func ofStore(writer string) bool { return strings.HasSuffix(writer, "\x00") }

// carry calls f for the slots of a gauge: those that were written, and of the store's gauges those up to now that follow one.
func (c *chunk) carry(writer string, start, step, now int64, f func(slot int)) {
	known := false
	for slot := range c.slots {
		if c.has(slot) {
			known = true
			f(slot)
		} else if known && ofStore(writer) && step == 60 && start+int64(slot)*step < now-step {
			f(slot)
		}
	}
}

// before is the last slot up to slot that was written.
func (c *chunk) before(slot int) int {
	for slot > 0 && !c.has(slot) {
		slot--
	}
	return slot
}

// line is what came of a metric.
func (s *sum) line(n Name) Line {
	l := Line{Name: n, Points: make([]Point, 0, s.n)}
	at := func(b int) time.Time { return s.q.From.Add(time.Duration(b) * s.q.Step) }
	if counter, ok := s.counters[n]; ok {
		for b, v := range counter {
			l.Points = append(l.Points, Point{at(b), float64(v)})
		}
		return l
	}
	for b := range s.n {
		total, known := 0.0, false
		for _, m := range s.gauges[n] {
			if m.n[b] > 0 {
				total, known = total+m.sum[b]/float64(m.n[b]), true
			}
		}
		if known {
			l.Points = append(l.Points, Point{at(b), total})
		}
	}
	return l
}
