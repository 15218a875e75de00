package hub

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
)

// trimEvery is how often what is kept by age and count is looked through.
const trimEvery = 10 * time.Minute

// retention removes what was kept for long enough, of everybody who keeps something. Several nodes may do so at once.
type retention struct {
	keepers []keeper
	log     *slog.Logger
}

// keeper is somebody who keeps something by age and count.
type keeper struct {
	what string
	trim func(ctx context.Context, now time.Time) (removed int, err error)
}

// retention lists all who keep something.
func (h *Hub) retention() *retention {
	history := registry.NewHistory(h.db, registry.HistoryConfig{MaxAge: h.cfg.HistoryAge, MaxCount: h.cfg.HistoryRows})
	return &retention{log: h.log.With("part", "retention"), keepers: []keeper{
		{"jobs", h.jobs.Trim},
		{"kept answers", h.answers.Trim},
		{"sessions", h.presence.Trim},
		{"files of devices", h.uploads.Trim},
		{"firmwares", h.ota.Trim}, {"moments of old campaigns", h.ota.TrimHistory},
		{"files of signed releases", h.artifacts.Trim},
		{"retained messages", h.retained.Trim},
		{"connection history", history.Trim},
		{"commands", thingmodel.NewCommandTrimmer(h.db, thingmodel.Keep{MaxAge: h.cfg.CommandAge, MaxCount: h.cfg.CommandRows}).Trim},
		{"events", thingmodel.NewEventTrimmer(h.db, thingmodel.Keep{MaxAge: h.cfg.EventAge, MaxCount: h.cfg.EventRows}).Trim},
		{"history of properties", thingmodel.NewHistoryTrimmer(h.db, h.registry, h.series).Trim},
		{"shadow history", h.shadows.Trimmer().Trim},
		{"audit log", h.accounts.Trim},
		{"logins", h.accounts.TrimSessions},
		{"metrics", h.history.Trim},
		{"alarms", h.alarms.Trim},
	}}
}

// run trims now and then until ctx ends.
func (r *retention) run(ctx context.Context) error {
	for {
		for _, k := range r.keepers {
			removed, err := k.trim(ctx, time.Now())
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				r.log.Warn("not trimmed, it is tried again", "what", k.what, "err", err)
			case removed > 0:
				r.log.Info("trimmed", "what", k.what, "removed", removed)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(trimEvery - rand.N(trimEvery/10)):
		}
	}
}
