// Package agentconf keeps what agents are to work with: versions of a configuration for a device, for the members of a group and for the devices of a
// product, and what each agent has made of what it was offered (docs/agent-config.md).
//
// It promises: an offer is signed by the hub's director key for one device, under a counter that no other offer to it has or has had, also after the store
// was restored from a copy; a device's own configuration goes before a group's, and that before its product's; what an agent has refused, or has gone
// back from, is not offered again before there is another version. Documents lie sealed in the store, and go out of here masked but for offers.
//
// It knows no connection: whoever speaks with agents asks for offers, and tells what they say.
package agentconf

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Errors of the package.
var (
	ErrNotFound        = errors.New("agentconf: there is no configuration")
	ErrVersionNotFound = errors.New("agentconf: there is no such version")
	ErrRevision        = errors.New("agentconf: the configuration has been changed in the meantime")
)

// InvalidError is what is wrong with a change.
type InvalidError struct{ Field, Reason string }

func (e *InvalidError) Error() string { return e.Field + ": " + e.Reason }

// Limits of a configuration.
const (
	MaxDocument = signing.MaxDocument // bytes
	MaxNote     = 1024
	MaxVersions = 20 // that are kept
)

// Config says how offers are made.
type Config struct {
	Life time.Duration // of an offer
	// Patience is how long an agent may take to answer one before it gets it again.
	Patience time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{Life: 24 * time.Hour, Patience: time.Minute} }

// Deps are the rooms around.
type Deps struct {
	Store *store.DB
	IDs   interface{ Next() message.ID }
	// Key is what offers are signed with.
	Key     func(ctx context.Context) (signing.PrivateKey, error)
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: not exported
}

// Configs is safe for concurrent use.
type Configs struct {
	cfg Config
	Deps
	offers prometheus.Counter
	told   *prometheus.CounterVec
}

// New returns the Configs of a node.
func New(cfg Config, deps Deps) *Configs {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	c := &Configs{cfg: cfg, Deps: deps,
		offers: prometheus.NewCounter(prometheus.CounterOpts{Name: "hawser_agent_config_offers_total", Help: "Configurations that were signed for an agent."}),
		told: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hawser_agent_config_states_total",
			Help: "What agents have told of configurations: trial, applied, back or refused."}, []string{"state"})}
	if deps.Metrics != nil {
		deps.Metrics.MustRegister(c.offers, c.told)
	}
	return c
}
