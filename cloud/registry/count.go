package registry

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// counted tells that what c asks for is counted by product and state already.
func (s search) counted(c clause) bool {
	rest := c
	rest.products = nil
	return s.among == nil && rest.onlyStates()
}

// counters asks the counters for columns of what a clause takes of a product or a project, as c.product, c.state and c.n. The changes that wait to be
// added up are added up before they meet their products: there may be thousands of them.
func (s search) counters(c clause, columns, group string) *text {
	q := &text{}
	q.add(`SELECT ` + columns + ` FROM (SELECT product, state, SUM(n) AS n FROM (`)
	for i, table := range []string{"device_count", "device_count_delta"} {
		if i > 0 {
			q.add(` UNION ALL `)
		}
		q.add(`SELECT product, state, n FROM ` + table + ` WHERE state IN (` + stateList(c.states) + `)`)
		if len(c.products) > 0 {
			q.add(` AND product = ?`, c.products[0])
		}
	}
	q.add(`) AS a GROUP BY product, state) AS c JOIN product p ON p.sn = c.product`)
	if s.project != "" {
		q.add(` WHERE p.project = ?`, s.project)
	}
	q.add(` GROUP BY ` + group)
	return q
}

// fromCounters counts the devices of a clause that is counted already.
func (s search) fromCounters(ctx context.Context, c clause) (Count, error) {
	return s.counts(ctx, s.counters(c, `c.state, CAST(SUM(c.n) AS BIGINT)`, `c.state`))
}

// ProductCount is how many devices a product has.
type ProductCount struct {
	Product            string
	Registered, Online int64
}

// CountByProduct counts the devices of all products that have some.
func (r *Registry) CountByProduct(ctx context.Context) ([]ProductCount, error) {
	rows, err := r.db.Query(ctx, `SELECT product, CAST(SUM(n) AS BIGINT), CAST(SUM(CASE WHEN state = 1 THEN n ELSE 0 END) AS BIGINT)
		FROM (SELECT product, state, n FROM device_count UNION ALL SELECT product, state, n FROM device_count_delta) AS c GROUP BY product`)
	if err != nil {
		return nil, fmt.Errorf("registry: count devices: %w", err)
	}
	return collect(rows, func(row scanner) (c ProductCount, err error) {
		err = row.Scan(&c.Product, &c.Registered, &c.Online)
		return c, err
	})
}

// maxPlaces bounds the parts of one statement.
const maxPlaces = 100

// place cuts a way through a project or a product into places, and measures it.
func (s search) place(ctx context.Context, w *way, c clause) error {
	if s.project == "" && len(c.products) == 0 {
		return nil
	}
	q := s.counters(c, `c.product, c.state, CAST(SUM(c.n) AS BIGINT)`, `c.product, c.state HAVING SUM(c.n) > 0`)
	rows, err := s.db.Query(ctx, q.String()+` LIMIT ?`, append(q.args, maxPlaces+1)...)
	if err != nil {
		return err
	}
	w.measured, w.size, w.places = true, 0, []*way{} // not nil: none is not too many
	_, err = collect(rows, func(row scanner) (one struct{}, err error) {
		var product string
		var state, n int
		err = row.Scan(&product, &state, &n)
		p := &way{id: "d.id", rest: w.rest}
		p.cond.add(`d.product = ? AND d.state = `+fmt.Sprint(state), product)
		p.rest.states, p.rest.products = allStates, nil
		w.places, w.size = append(w.places, p), w.size+n
		return one, err
	})
	if err != nil {
		return err
	}
	if len(w.places) > maxPlaces {
		w.places, w.size = nil, maxProbe
	}
	if len(c.products) == 0 && w.places != nil {
		return s.nearlyAll(ctx, w)
	}
	return nil
}

// nearlyAll lets a way to nine of ten devices or more go along all, as they come: hardly any must be passed over.
func (s search) nearlyAll(ctx context.Context, w *way) error {
	all, err := number(ctx, s.db)
	if err == nil && w.size > s.gather && w.size*10 >= all*9 {
		w.places = nil
	}
	return err
}

// number is how many devices there are.
func number(ctx context.Context, db *store.DB) (n int, err error) {
	err = db.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM (SELECT n FROM device_count UNION ALL SELECT n FROM device_count_delta) AS c`).Scan(&n)
	return n, err
}

// foldEvery is how often counted changes are added up. At 2,000 changes of state a second 8,000 rows wait at most, which
// every reader adds up for itself.
const foldEvery = 2 * time.Second

// Tend does once, and to its end, what Run does over and over: for who measures a registry at rest.
func (r *Registry) Tend(ctx context.Context) error {
	if err := r.fold(ctx); err != nil {
		return err
	}
	return r.recut(ctx)
}

// Run adds counted changes up, where they are rows of their own, and finds out where to cut long counts, until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	fold, cut := time.NewTicker(foldEvery), time.NewTicker(cutEvery)
	defer fold.Stop()
	defer cut.Stop()
	r.tend(ctx, "add up device counts", r.fold)
	for {
		r.tend(ctx, "find out where to cut long counts", r.recut)
		for due := false; !due; {
			select {
			case <-ctx.Done():
				return nil
			case <-fold.C:
				r.tend(ctx, "add up device counts", r.fold)
			case <-cut.C:
				due = true
			}
		}
	}
}

func (r *Registry) tend(ctx context.Context, what string, f func(context.Context) error) {
	if err := f(ctx); err != nil && ctx.Err() == nil {
		r.log.Warn("upkeep of the registry failed, it is tried again", "what", what, "err", err)
	}
}

// foldMax bounds one statement.
const foldMax = 50_000

// foldLeave is how many rows may wait for the next time.
const foldLeave = 1000

// fold moves rows of device_count_delta into device_count, as long as there are many, and they get fewer. Nodes that do so at once take different rows.
func (r *Registry) fold(ctx context.Context) error {
	if r.db.Dialect() != store.Postgres {
		return nil
	}
	for before := math.MaxInt; ; {
		var left int
		err := r.db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `WITH gone AS (DELETE FROM device_count_delta WHERE id IN
				(SELECT id FROM device_count_delta ORDER BY id LIMIT `+fmt.Sprint(foldMax)+` FOR UPDATE SKIP LOCKED) RETURNING product, state, n)
				INSERT INTO device_count (product, state, n) SELECT product, state, SUM(n) FROM gone GROUP BY product, state ORDER BY product, state
				ON CONFLICT (product, state) DO UPDATE SET n = device_count.n + excluded.n`)
			if err != nil {
				return err
			}
			return tx.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM device_count_delta LIMIT ?) AS rest`, foldMax).Scan(&left)
		})
		if err != nil || left < foldLeave || left >= before {
			return err
		}
		before = left
	}
}
