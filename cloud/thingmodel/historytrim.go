package thingmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/thingmodel/series"
)

// historyEvery is how often the history of properties is looked through, which reads all of it.
const historyEvery = 6 * time.Hour

// HistoryTrimmer removes from this node's history of properties what the products of the devices do not keep.
type HistoryTrimmer struct {
	db       *store.DB
	registry *registry.Registry
	series   *series.Series
	last     time.Time
}

// NewHistoryTrimmer returns the trimmer of s; nil is no history.
func NewHistoryTrimmer(db *store.DB, r *registry.Registry, s *series.Series) *HistoryTrimmer {
	return &HistoryTrimmer{db: db, registry: r, series: s}
}

// Trim looks the history through when it has not for six hours; removed counts reports of devices. One Trim at a time.
func (h *HistoryTrimmer) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	if h.series == nil || now.Sub(h.last) < historyEvery {
		return 0, nil
	}
	bounds, err := h.bounds(ctx, now)
	if err != nil {
		return 0, fmt.Errorf("bounds of the history of properties: %w", err)
	}
	if removed, err = h.series.Trim(ctx, bounds); err == nil {
		h.last = now
	}
	return removed, err
}

// bounds are those of the devices whose products have some.
func (h *HistoryTrimmer) bounds(ctx context.Context, now time.Time) (map[int64]series.Bound, error) {
	bounds := map[int64]series.Bound{}
	page := registry.Page{Limit: registry.MaxLimit}
	for {
		list, next, err := h.registry.Products(ctx, registry.Filter{}, page)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			b, ok := bound(p.Settings, now)
			if !ok {
				continue
			}
			if err := h.devices(ctx, p.SN, func(id int64) { bounds[id] = b }); err != nil {
				return nil, err
			}
		}
		if page.Cursor = next; next == "" {
			return bounds, nil
		}
	}
}

func bound(s registry.Settings, now time.Time) (b series.Bound, ok bool) {
	if s.HistoryDays != nil {
		b.Since = now.AddDate(0, 0, -int(*s.HistoryDays))
	}
	if s.HistoryCount != nil {
		b.Most = int(*s.HistoryCount)
	}
	return b, s.HistoryDays != nil || s.HistoryCount != nil
}

// devices calls f for each of a product's devices. It goes past the registry's cache, which is for devices that are there.
func (h *HistoryTrimmer) devices(ctx context.Context, product string, f func(id int64)) error {
	rows, err := h.db.Query(ctx, `SELECT id FROM device WHERE product = ?`, product)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		f(id)
	}
	return rows.Err()
}
