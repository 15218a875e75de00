package store

import (
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

var benchLatest = NewStmt(`INSERT INTO latest (device, revision, doc, updated_at) VALUES (?, ?, ?, ?)
	ON CONFLICT (device) DO UPDATE SET revision = excluded.revision, doc = excluded.doc, updated_at = excluded.updated_at
	WHERE latest.revision = excluded.revision - 1`)

// benchUnits are n units of different devices out of 500: the guarded upsert of a latest document of 200 bytes and one
// outbox record of 200 bytes, fenced.
func benchUnits(n int, revisions []int64, next *int) []*Unit {
	doc := make([]byte, 200)
	units := make([]*Unit, n)
	for i := range units {
		d := *next * 211 % len(revisions) // neighbours in time are no neighbours on the disk
		*next++
		revisions[d]++
		units[i] = &Unit{Device: int64(d + 1), Epoch: 1, Out: [][]byte{doc},
			Ops: []Op{benchLatest.Guard(int64(d+1), revisions[d], doc, int64(1700000000000))}}
	}
	return units
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail with these arguments
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchOpen(b *testing.B, cfg Config) *DB {
	b.Helper()
	db, err := Open(b.Context(), cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	err = db.Update(b.Context(), func(tx *Tx) error {
		for d := range 500 {
			if _, err := tx.Exec(b.Context(), `INSERT INTO session (device, epoch) VALUES (?, 1)`, d+1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return db
}

// BenchmarkCommit measures one group commit of the committer, without its waiting: CPU a unit, of all threads.
func BenchmarkCommit(b *testing.B) {
	for _, engine := range []string{"sqlite", "sqlite-process", "postgres"} {
		for _, n := range []int{1, 25, 100, 500} {
			b.Run(fmt.Sprintf("%s/%d", engine, n), func(b *testing.B) {
				cfg := Config{Dir: b.TempDir()}
				switch engine {
				case "postgres":
					cfg.DSN = harness.Postgres(b)
				case "sqlite-process":
					cfg.Durability = DurabilityProcess
				}
				db := benchOpen(b, cfg)
				cfg, _ = cfg.withDefaults()
				c := newCommitter(cfg, db)
				revisions, next := make([]int64, 500), 0
				var failed int
				b.ReportAllocs()
				var spent time.Duration
				for b.Loop() {
					b.StopTimer()
					c.pending = benchUnits(n, revisions, &next)
					for _, u := range c.pending {
						u.Done = func(err error) {
							if err != nil {
								failed++
							}
						}
					}
					b.StartTimer()
					start := cpu()
					c.commit()
					spent += cpu() - start
				}
				if failed > 0 {
					b.Fatalf("%d units failed", failed)
				}
				b.ReportMetric(float64(spent.Nanoseconds())/1000/float64(b.N*n), "cpu-µs/unit")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1000/float64(b.N*n), "µs/unit")
			})
		}
	}
}

// BenchmarkSubmit has clients that each wait for their unit before they send the next: throughput and latency of the whole,
// windows included.
func BenchmarkSubmit(b *testing.B) {
	for _, clients := range []int{1, 4, 32, 500} {
		b.Run(fmt.Sprintf("sqlite/%d", clients), func(b *testing.B) {
			db := benchOpen(b, Config{Dir: b.TempDir()})
			var wg sync.WaitGroup
			work := make(chan struct{})
			for d := range clients {
				wg.Go(func() {
					revisions, next := make([]int64, 500), d
					for range work {
						u := benchUnits(1, revisions, &next)[0]
						next--
						if err := db.Do(b.Context(), u); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			start := cpu()
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64((cpu()-start).Nanoseconds())/1000/float64(b.N), "cpu-µs/unit")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)*float64(clients), "latency-µs")
		})
	}
}
