package metric

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/cloud/store"
)

// hourErrors are this node's errors of an hour.
type hourErrors struct {
	start  int64
	counts map[meter.Error]int64
}

// ErrorCount is an error and how often it came.
type ErrorCount struct {
	meter.Error
	Count int64 `json:"count"`
}

// maxHourErrors bounds what is told apart in an hour.
const maxHourErrors = 200

func (h *History) loadErrors(ctx context.Context, now time.Time) error {
	h.errors = hourErrors{hourOf(now), make(map[meter.Error]int64)}
	var data []byte
	err := h.Store.QueryRow(ctx, `SELECT data FROM metric_error WHERE start = ? AND node = ?`, h.errors.start, h.cfg.Node).Scan(&data)
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("metric: read errors: %w", err)
	}
	for _, e := range parseErrors(data) {
		h.errors.counts[e.Error] = e.Count
	}
	return nil
}

func parseErrors(data []byte) (list []ErrorCount) {
	_ = json.Unmarshal(data, &list) // what cannot be read counts nothing
	return list
}

var writeErrors = store.NewStmt(`INSERT INTO metric_error (start, node, data) VALUES (?, ?, ?) ON CONFLICT (start, node) DO UPDATE SET data = excluded.data`)

// saveErrors adds the errors since the last time to a minute's hour.
func (h *History) saveErrors(ctx context.Context, minute time.Time) error {
	if start := hourOf(minute); start != h.errors.start {
		h.errors = hourErrors{start, make(map[meter.Error]int64)}
	}
	taken := h.Meter.TakeErrors()
	if len(taken) == 0 {
		return nil
	}
	for e, n := range taken {
		if _, known := h.errors.counts[e]; !known && len(h.errors.counts) >= maxHourErrors {
			e = meter.Error{Where: e.Where, What: "others"}
		}
		h.errors.counts[e] += n
	}
	list := make([]ErrorCount, 0, len(h.errors.counts))
	for e, n := range h.errors.counts {
		list = append(list, ErrorCount{e, n})
	}
	b, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("metric: write errors: %w", err)
	}
	if err := h.Store.Do(ctx, &store.Unit{Ops: []store.Op{{Stmt: writeErrors, Want: -1, Args: []any{h.errors.start, h.cfg.Node, b}}}}); err != nil {
		return fmt.Errorf("metric: write errors: %w", err)
	}
	return nil
}

// Errors are the most frequent errors of all nodes since the beginning of an hour, of the products that are wanted; those that are of no
// product are passed to it with "".
func (h *History) Errors(ctx context.Context, since time.Time, wanted func(product string) bool, limit int) (list []ErrorCount, err error) {
	rows, err := h.Store.Query(ctx, `SELECT data FROM metric_error WHERE start >= ?`, hourOf(since))
	if err != nil {
		return nil, fmt.Errorf("metric: read errors: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	sums := make(map[meter.Error]int64)
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return nil, err
		}
		for _, e := range parseErrors(data) {
			sums[e.Error] += e.Count
		}
	}
	for e, n := range sums {
		if wanted(e.Product) {
			list = append(list, ErrorCount{e, n})
		}
	}
	slices.SortFunc(list, func(a, b ErrorCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Where, b.Where), cmp.Compare(a.Product, b.Product), cmp.Compare(a.What, b.What))
	})
	return list[:min(len(list), limit)], nil
}
