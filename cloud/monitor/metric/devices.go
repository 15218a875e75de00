package metric

import (
	"context"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// gauges are the rows of the store's own numbers, as the last node that wrote them left them.
type gauges struct {
	pages pages
	start int64
	last  map[string]Devices // what was written last, by scope
}

// turn takes a minute for this node; mine tells whether no other had it, again whether the one before was this node's too.
func (h *History) turn(ctx context.Context, what string, minute time.Time) (mine, again bool, err error) {
	err = h.Store.Update(ctx, func(tx *store.Tx) error {
		var last int64
		var node string
		if err := tx.QueryRow(ctx, `SELECT minute, node FROM metric_turn WHERE what = ?`, what).Scan(&last, &node); err != nil {
			return err
		}
		res, err := tx.Exec(ctx, `UPDATE metric_turn SET minute = ?, node = ? WHERE what = ? AND minute < ?`, minute.Unix(), h.cfg.Node, what, minute.Unix())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		mine, again = n == 1, n == 1 && node == h.cfg.Node && last == minute.Add(-time.Minute).Unix()
		return err
	})
	if err != nil {
		return false, false, fmt.Errorf("metric: take a minute: %w", err)
	}
	return mine, again, nil
}

// Turn takes a minute of some work for this node; it is true on one node of all. what has a row in metric_turn.
func (h *History) Turn(ctx context.Context, what string, minute time.Time) (bool, error) {
	mine, _, err := h.turn(ctx, what, minute)
	return mine, err
}

// countDevices writes how many devices there are, if no other node has done so for this minute. Of projects and products only what has
// changed: readers take the value before for the minutes between, within an hour.
func (h *History) countDevices(ctx context.Context, minute time.Time) error {
	mine, again, err := h.turn(ctx, "devices", minute)
	if err != nil || !mine {
		return err
	}
	g := &h.devices
	if start := hourOf(minute); !again || g.start != start {
		if g.pages, err = h.readPages(ctx, start, ""); err != nil {
			return fmt.Errorf("metric: read the devices of the hour: %w", err)
		}
		g.start, g.last = start, make(map[string]Devices)
	}
	all, err := h.scopedDevices(ctx)
	if err != nil {
		return err
	}
	for scope := range g.last {
		if _, there := all[scope]; !there {
			all[scope] = Devices{} // the last of them is gone
		}
	}
	for scope, d := range all {
		if last, known := g.last[scope]; known && last == d && scope != Hub {
			continue
		}
		p := &point{}
		p.gauge(DevicesRegistered, d.Registered)
		p.gauge(DevicesOnline, d.Online)
		g.pages.page(scope, g.start).addPoint(slotOf(minute), p)
		g.last[scope] = d
	}
	return h.savePages(ctx, g.pages, "")
}

// DevicesNow are how many devices some scopes have together, as the store has them at this moment.
func (h *History) DevicesNow(ctx context.Context, scopes []string) (sum Devices, err error) {
	all, err := h.scopedDevices(ctx)
	for _, s := range scopes {
		sum.Registered, sum.Online = sum.Registered+all[s].Registered, sum.Online+all[s].Online
	}
	return sum, err
}

// scopedDevices counts the devices of the hub, of projects and of products.
func (h *History) scopedDevices(ctx context.Context) (map[string]Devices, error) {
	list, err := h.Devices(ctx)
	if err != nil {
		return nil, fmt.Errorf("metric: count devices: %w", err)
	}
	all := map[string]Devices{Hub: {}}
	add := func(scope string, d Devices) {
		sum := all[scope]
		all[scope] = Devices{Registered: sum.Registered + d.Registered, Online: sum.Online + d.Online}
	}
	for _, d := range list {
		add(Hub, d)
		if project := h.Project(d.Product); project != "" {
			add(Project(project), d)
			add(Product(d.Product), d)
		}
	}
	return all, nil
}
