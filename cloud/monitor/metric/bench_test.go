package metric

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// BenchmarkThreeMonths is the question for three months of minutes of one busy product, among what others have written, and how much room
// they take.
func BenchmarkThreeMonths(b *testing.B) {
	db := storetest.SQLite(b)
	h := New(Config{Node: "n1", Alone: true, MinuteAge: 93 * day, Age: 93 * day}, Deps{Store: db})
	end := midnight.Add(92 * day)
	h.now = func() time.Time { return end }
	r := rand.New(rand.NewPCG(1, 2))
	bytes, rows := 0, 0
	for at := midnight; at.Before(end); at = at.Add(time.Hour) {
		u := &store.Unit{}
		for _, scope := range []string{"busy", Hub} {
			op := HourOp(scope, at, "n1", func(slot int) map[Name]int64 {
				n := int64(600 + 200*math.Sin(float64(at.Hour()*60+slot)/229) + r.NormFloat64()*25) // ten messages a second, more by day
				return map[Name]int64{MessagesUp: n, BytesUp: n * (180 + r.Int64N(9)), MessagesDown: n + r.Int64N(30), BytesDown: n * 70, ErrorsUp: r.Int64N(3),
					RuleMatched: n, RuleDelivered: n - r.Int64N(2), RuleDead: r.Int64N(20) / 19}
			})
			u.Ops = append(u.Ops, op)
			if scope == "busy" {
				bytes, rows = bytes+len(op.Args[3].([]byte)), rows+1
			}
		}
		if err := db.Do(b.Context(), u); err != nil {
			b.Fatal(err)
		}
	}
	for name, step := range map[string]time.Duration{"minutes": time.Minute, "240 points": 0} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				begun := time.Now()
				a, err := h.Query(b.Context(), Query{Scopes: []string{"busy"}, Names: []Name{MessagesUp}, From: midnight, To: end, Step: step})
				if err != nil || len(a.Lines[0].Points) < 90 {
					b.Fatal(len(a.Lines), err)
				}
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
	b.Logf("%d rows, %d bytes a day in all columns", rows, bytes/92)
}
