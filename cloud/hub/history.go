package hub

import (
	"context"
	"runtime"

	"github.com/hawser-iot/hawser/cloud/monitor/metric"
	"github.com/hawser-iot/hawser/cloud/rules"
)

// newHistory is the metrics over time, of what the other parts, which are made after it, count.
func (h *Hub) newHistory() *metric.History {
	cfg := metric.Config{Node: h.node(), Alone: h.cfg.NATSURL == "", MinuteAge: h.cfg.MetricsMinuteAge, Age: h.cfg.MetricsAge}
	return metric.New(cfg, metric.Deps{Store: h.db, Bus: h.bus, Meter: h.meter, Devices: h.countDevices, Project: h.projectOf,
		Rules: h.ruleCounts, Connections: func() int { return h.broker.Connections() }, Health: h.health, Log: h.log.With("part", "metrics")})
}

func (h *Hub) countDevices(ctx context.Context) ([]metric.Devices, error) {
	list, err := h.registry.CountByProduct(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]metric.Devices, len(list))
	for i, c := range list {
		out[i] = metric.Devices(c)
	}
	return out, nil
}

func (h *Hub) projectOf(product string) string {
	p, err := h.registry.Product(context.Background(), product)
	if err != nil {
		return "" // it is gone; the hub's own count has its messages
	}
	return p.Project
}

func (h *Hub) ruleCounts(f func(metric.Rule)) {
	h.rules.Activities(func(a rules.Activity) {
		f(metric.Rule{ID: a.ID, Project: a.Project, Matched: a.Matched, Delivered: a.Delivered, Dead: a.Dead, Dropped: a.Dropped,
			Failed: a.Fails, Retries: a.Retries, Waiting: a.Waiting})
	})
}

// health is what this node says of itself.
func (h *Hub) health() metric.Health {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return metric.Health{Version: h.version, StartedAt: h.started.UTC(), Connections: h.broker.Connections(), Goroutines: runtime.NumGoroutine(),
		HeapBytes: int64(m.HeapAlloc), DiskFree: diskFree(h.cfg.Data), StoreQueue: h.db.Queued()}
}
