package tsdbsink

import (
	"fmt"
	"math"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/template"
)

// nanos is the time of a row's point.
func (s *shape) nanos(row *template.Row) (int64, error) {
	if s.time == nil {
		return ownNanos(row.Record()), nil
	}
	v, err := s.time.Value(row)
	if err != nil {
		return 0, fmt.Errorf("timestamp: %w", err)
	}
	n, ok := scale(v, s.unit)
	if !ok {
		return 0, fmt.Errorf("timestamp: %w in the years 1678 to 2261", unfit(v, "time"))
	}
	return n, nil
}

// ownNanos is when the message came, with a part below the millisecond that tells apart what came in the same one. It is the same for
// each delivery of the output. A node numbers up to 4,096 messages in a millisecond, which leaves 244 places for the
// outputs of one. Where FOREACH makes more of a message they take those of the messages behind it, which are other devices' as a rule.
func ownNanos(r *rules.Record) int64 {
	const counters, places = 1 << 12, 1_000_000 >> 12
	base, row := rules.SplitIndex(r.Index)
	switch {
	case base >= 1<<8: // it was republished
		base %= places
	case base > 0: // the hub has derived it of the message, whose own rows come first
		base = places/2 + base%(places/2)
	}
	return r.Time.UnixMilli()*1_000_000 + int64(r.MessageID)%counters*places + int64(base+row)
}

// InfluxDB's first and last nanosecond.
const (
	minNanos = math.MinInt64 + 2
	maxNanos = math.MaxInt64 - 1
)

// scale makes nanoseconds of a number of units.
func scale(v any, unit int64) (int64, bool) {
	switch n := v.(type) {
	case int64:
		if n > maxNanos/unit || n < minNanos/unit {
			return 0, false
		}
		return n * unit, true
	case float64:
		// Whole and fraction apart: together they have more digits than a float64.
		whole, fraction := math.Modf(n)
		if math.IsNaN(n) || math.Abs(whole) >= 1<<62 {
			return 0, false
		}
		ns, ok := scale(int64(whole), unit)
		return ns + int64(math.Round(fraction*float64(unit))), ok
	case string:
		if i, err := strconv.ParseInt(n, 10, 64); err == nil {
			return scale(i, unit)
		}
		f, err := strconv.ParseFloat(n, 64)
		if err != nil {
			return 0, false
		}
		return scale(f, unit)
	}
	return 0, false
}
