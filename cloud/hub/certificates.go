package hub

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/cloud/auth/ca"
	"github.com/hawser-iot/hawser/cloud/keyring"
)

// tlsPoll is how often the certificate's file and the ticket keys are looked at.
const tlsPoll = 5 * time.Second

// tlsWatch takes over a changed certificate and turns the keys of session tickets.
type tlsWatch struct {
	authority *ca.Authority
	ring      *keyring.Keyring
	now       chan struct{} // look at once
	log       *slog.Logger
	failed    prometheus.Counter
	expires   prometheus.Gauge
}

func newTLSWatch(authority *ca.Authority, ring *keyring.Keyring, log *slog.Logger, reg prometheus.Registerer) *tlsWatch {
	f := promauto.With(reg)
	w := &tlsWatch{authority: authority, ring: ring, now: make(chan struct{}, 1), log: log,
		failed: f.NewCounter(prometheus.CounterOpts{Name: "hawser_tls_reload_errors_total",
			Help: "Changed certificate files that could not be used; the certificate before stays in use."}),
		expires: f.NewGauge(prometheus.GaugeOpts{Name: "hawser_tls_certificate_expiry_seconds",
			Help: "When the hub's certificate in use ends, in Unix seconds."})}
	w.turn()
	return w
}

// turn sets the ticket keys of now and shows the certificate's end.
func (w *tlsWatch) turn() {
	w.authority.Tickets(ca.TicketKeys(w.ring.Derive, time.Now()))
	w.expires.Set(float64(w.authority.Certificate().NotAfter.Unix()))
}

// Run watches until ctx ends.
func (w *tlsWatch) Run(ctx context.Context) error {
	ticker := time.NewTicker(tlsPoll)
	defer ticker.Stop()
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-w.now:
			said = ""
		}
		changed, err := w.authority.Check()
		switch {
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			w.failed.Inc()
			w.log.Error("changed certificate cannot be used, the one before stays", "err", err)
		}
		if changed {
			c := w.authority.Certificate()
			w.log.Info("certificate changed", "subject", c.Subject.String(), "expires", c.NotAfter)
		}
		w.turn()
	}
}

// reload has it look at once.
func (w *tlsWatch) reload() {
	select {
	case w.now <- struct{}{}:
	default: // it is about to
	}
}
