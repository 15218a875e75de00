package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// counted tells that what c asks for is counted by product and state already.
func (s search) counted(c clause) bool {
	rest := c
	rest.products = nil
	return s.among == nil && rest.onlyStates()
}

// counters asks the counters for columns of what a clause takes of a product or a project, as c.product, c.state and c.n.
func (s search) counters(c clause, columns, group string) *text {
	q := &text{}
	q.add(`SELECT ` + columns + ` FROM (SELECT product, state, n FROM device_count UNION ALL
		SELECT product, state, n FROM device_count_delta) AS c JOIN product p ON p.sn = c.product WHERE c.state IN (` + stateList(c.states) + `)`)
	if s.project != "" {
		q.add(` AND p.project = ?`, s.project)
	}
	if len(c.products) > 0 {
		q.add(` AND c.product = ?`, c.products[0])
	}
	q.add(` GROUP BY ` + group)
	return q
}

// fromCounters counts the devices of a clause that is counted already.
func (s search) fromCounters(ctx context.Context, c clause) (Count, error) {
	return s.counts(ctx, s.counters(c, `c.state, CAST(SUM(c.n) AS BIGINT)`, `c.state`))
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
	var all int
	err := s.db.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM (SELECT n FROM device_count UNION ALL SELECT n FROM device_count_delta) AS c`).Scan(&all)
	if err == nil && w.size > s.gather && w.size*10 >= all*9 {
		w.places = nil
	}
	return err
}

// foldEvery is how often counted changes are added up. At 2,000 changes of state a second 8,000 rows wait at most, which
// every reader adds up for itself.
const foldEvery = 2 * time.Second

// Run adds counted changes up, where they are rows of their own, until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	if r.db.Dialect() != store.Postgres {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(foldEvery)
	defer tick.Stop()
	for {
		if err := r.fold(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("device counts not added up, it is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// foldMax bounds one statement.
const foldMax = 50_000

// fold moves rows of device_count_delta into device_count. Nodes that do so at once take different rows.
func (r *Registry) fold(ctx context.Context) error {
	for {
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
		if err != nil || left < foldMax {
			return err
		}
	}
}
