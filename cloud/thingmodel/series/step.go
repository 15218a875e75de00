package series

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
)

// Fn is what becomes of the values of a step.
type Fn string

// The functions. Those of numbers leave out values that are none.
const (
	Avg   Fn = "avg"
	Min   Fn = "min"
	Max   Fn = "max"
	Last  Fn = "last"
	Sum   Fn = "sum"
	Count Fn = "count"
)

// Fns are all of them.
var Fns = []Fn{Avg, Min, Max, Last, Sum, Count}

// OfNumbers tells whether it is for numbers only.
func (f Fn) OfNumbers() bool { return f != Last && f != Count }

// bucket is one property's values in one step.
type bucket struct {
	n             int64
	sum, min, max float64
	last          []byte
	lastAt        time.Time
}

// add takes a value in; later says that of values of the same time this one came in later.
func (b *bucket) add(fn Fn, v value, later bool) {
	if fn.OfNumbers() {
		f, err := strconv.ParseFloat(string(v.json), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return
		}
		b.join(&bucket{n: 1, sum: f, min: f, max: f})
		return
	}
	if b.n++; fn == Last && (b.n == 1 || v.at.After(b.lastAt) || later && v.at.Equal(b.lastAt)) {
		b.last, b.lastAt = append(b.last[:0], v.json...), v.at
	}
}

// join takes the values of another part of the step in.
func (b *bucket) join(o *bucket) {
	switch {
	case o.n == 0:
		return
	case b.n == 0:
		b.min, b.max = o.min, o.max
	}
	if b.n == 0 || o.lastAt.After(b.lastAt) {
		b.last, b.lastAt = o.last, o.lastAt
	}
	b.n, b.sum, b.min, b.max = b.n+o.n, b.sum+o.sum, min(b.min, o.min), max(b.max, o.max)
}

func (b *bucket) value(fn Fn) json.RawMessage {
	number := func(v float64) json.RawMessage { return strconv.AppendFloat(nil, v, 'f', -1, 64) }
	switch fn {
	case Avg:
		return number(b.sum / float64(b.n))
	case Min:
		return number(b.min)
	case Max:
		return number(b.max)
	case Sum:
		return number(b.sum)
	case Last:
		return slices.Clone(b.last)
	}
	return strconv.AppendInt(nil, b.n, 10)
}

// stepOf is the beginning of the step that t is in: steps count from 1970.
func stepOf(t time.Time, step time.Duration) time.Time {
	ms, width := t.UnixMilli(), step.Milliseconds()
	n := ms / width
	if ms%width < 0 {
		n--
	}
	return time.UnixMilli(n * width).UTC()
}
