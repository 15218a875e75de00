package buffer

import (
	"math"
	"slices"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// maxFields is how many numbers of a message are looked at, the first ones of the newest message of its topic.
const maxFields = 4

// Bounds of a message whose numbers are looked at; of a longer one none are.
var fieldLimits = codec.Limits{Size: 4 << 10, Depth: 8, Count: 256}

// field is a number of a message.
type field struct {
	path  string
	value float64
}

// fieldsOf are the first numbers of a document, without the times that the protocol has beside values; nil for what is no document or has none.
func fieldsOf(payload []byte) (list []field) {
	if len(payload) > fieldLimits.Size {
		return nil
	}
	doc, err := codec.Decode(payload, fieldLimits)
	if err != nil {
		return nil
	}
	defer doc.Release()
	var walk func(path string, v codec.Value) bool
	walk = func(path string, v codec.Value) bool {
		if f, ok := v.Float(); ok && !math.IsNaN(f) && !math.IsInf(f, 0) {
			list = append(list, field{path, f})
		}
		v.Each(func(key string, v codec.Value) bool {
			return key == "Time" || key == "Timestamp" || walk(path+"/"+key, v)
		})
		return len(list) < maxFields
	}
	walk("", doc.Root())
	return list
}

// sampler chooses among the records of one topic.
type sampler struct {
	recs   []*thinRecord // oldest first
	values [][]float64   // by field and record; NaN where a record has no such number
}

// newSampler returns a sampler without values when these records have none to compare.
func newSampler(recs []*thinRecord) *sampler {
	s := &sampler{recs: recs}
	names := fieldsOf(recs[len(recs)-1].payload())
	for range names {
		s.values = append(s.values, make([]float64, len(recs)))
	}
	for i, r := range recs {
		of := fieldsOf(r.payload())
		for k, n := range names {
			s.values[k][i] = math.NaN()
			if at := slices.IndexFunc(of, func(f field) bool { return f.path == n.path }); at >= 0 {
				s.values[k][i] = of[at].value
			}
		}
	}
	return s
}

// mark marks half of the records, of an odd number one more with more. Of each interval of so many records that half of them are the least and the greatest of
// each number and one beside, these stay; without numbers it is every second one from the newest on.
func (s *sampler) mark(more bool) {
	if len(s.values) == 0 {
		for i := len(s.recs) - 1; i >= 0; i -= 2 {
			s.recs[i].stays = i > 0 || more || len(s.recs)%2 == 0
		}
		return
	}
	window := 4*len(s.values) + 2
	for from, to := 0, len(s.recs); to > 0; to = from {
		if from = to - window; from < window { // what is left alone would be too few for its extremes
			from = 0
		}
		n := (to - from) / 2
		if (to-from)%2 == 1 && more {
			n++
		}
		s.interval(from, to, n)
	}
}

// interval marks n of the records from one to before another: the newest of all, for each number that with the least and that with the greatest, then those that
// are the nearest to the mean of the first number.
func (s *sampler) interval(from, to, n int) {
	keep := func(i int) {
		if i >= 0 && n > 0 && !s.recs[i].stays {
			s.recs[i].stays = true
			n--
		}
	}
	if to == len(s.recs) {
		keep(to - 1)
	}
	for _, v := range s.values {
		least, most := -1, -1
		for i := from; i < to; i++ {
			if !math.IsNaN(v[i]) && (least < 0 || v[i] < v[least]) {
				least = i
			}
			if !math.IsNaN(v[i]) && (most < 0 || v[i] > v[most]) {
				most = i
			}
		}
		keep(least)
		keep(most)
	}
	mean := s.mean(from, to)
	for n > 0 {
		keep(s.nearest(from, to, mean))
	}
}

// mean is that of the first number.
func (s *sampler) mean(from, to int) float64 {
	sum, n := 0.0, 0.0
	for _, v := range s.values[0][from:to] {
		if !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	return sum / n
}

// nearest is the record that is not marked whose first number is the nearest to the mean; of several that which is the farthest from those that are.
func (s *sampler) nearest(from, to int, mean float64) int {
	best, bestOff, bestApart := -1, 0.0, 0
	for i := from; i < to; i++ {
		if s.recs[i].stays {
			continue
		}
		off := math.Abs(s.values[0][i] - mean)
		if math.IsNaN(off) {
			off = math.Inf(1)
		}
		apart := to - from
		for k := from; k < to; k++ {
			if s.recs[k].stays {
				apart = min(apart, max(i-k, k-i))
			}
		}
		if best < 0 || off < bestOff || off == bestOff && apart > bestApart {
			best, bestOff, bestApart = i, off, apart
		}
	}
	return best
}
