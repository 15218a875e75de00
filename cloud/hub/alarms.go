package hub

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/alarm"
	"github.com/hawser-iot/hawser/cloud/alarm/notify"
	"github.com/hawser-iot/hawser/cloud/monitor/metric"
)

// openAlarms opens the alarms.
func (h *Hub) openAlarms(ctx context.Context) (err error) {
	cfg := alarm.DefaultConfig()
	cfg.Node, cfg.Alone, cfg.MaxAge, cfg.MaxRows = h.node(), h.cfg.NATSURL == "", h.cfg.AlarmAge, h.cfg.AlarmRows
	h.alarms, err = alarm.New(ctx, cfg, alarm.Deps{Store: h.db, Bus: h.bus, IDs: h.numbers.IDs, Metrics: h.history, Kinds: notify.Kinds(h.outbound()),
		Scopes: alarm.Scopes{Project: metric.Project, Product: metric.Product, Rule: metric.Of},
		Product: func(ctx context.Context, sn string) (string, bool) {
			p, err := h.registry.Product(ctx, sn)
			if err != nil {
				return "", false
			}
			return p.Project, true
		},
		RuleProject: func(ctx context.Context, id int64) (string, bool) {
			r, err := h.rules.Get(ctx, id)
			if err != nil {
				return "", false
			}
			return r.Project, true
		}, Log: h.log.With("part", "alarms"), Registerer: h.metrics})
	return err
}
