// Package actionapi is a second face of the hub for applications: the public API of UCloud IoT Core, so that a program written for
// that needs another address and other keys and nothing else.
//
// A request is GET /?Action=… or POST / with JSON or a form, and carries a PublicKey and a Signature under the private key of the
// same pair. The table in action.go says of every action what the API under /v1 calls it: who may do it, what it is in the audit log,
// and how often it may be asked for are the same there and here. The package promises that an action does what its sibling does, in
// the names and notations of the other API, and that errors have that API's RetCodes; everything else is left to the same services.
package actionapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/allowance"
	"github.com/hawser-iot/hawser/cloud/keyring"
)

// Config bounds requests.
type Config struct {
	// MaxBody is the longest request body in bytes.
	MaxBody int64
	// Rate is how many requests a second a key may make in the long run, on each node, and Burst how many at once. A Rate of 0 is no
	// limit.
	Rate  float64
	Burst int
}

// DefaultConfig is that of the API.
func DefaultConfig() Config { return Config{MaxBody: 4 << 20, Rate: 200, Burst: 1000} }

// Validate names the field that is wrong.
func (c Config) Validate() error {
	if c.MaxBody < 1024 {
		return fmt.Errorf("actionapi: max_body %d: must be at least 1024 bytes", c.MaxBody)
	}
	if c.Rate < 0 || c.Rate > 0 && c.Burst < 1 {
		return fmt.Errorf("actionapi: rate %v, burst %d: must not be negative, and the burst at least 1", c.Rate, c.Burst)
	}
	return nil
}

// Services are what the API is a face of. All must be given.
type Services struct {
	Accounts Accounts
	Products Products
	Devices  Devices
	Firmware Firmware
	Shadows  Shadows
	Things   Things
	Sender   Sender
	Scripts  Scripts
	Jobs     Jobs
	Topology Topology
	Files    Files
	Rules    Rules
	// Connectors are where rules deliver to.
	Connectors Connectors
	Ring       *keyring.Keyring      // signs the URLs of files
	Metrics    prometheus.Registerer // may be nil
}

// face answers requests.
type face struct {
	Services
	cfg     Config
	log     *slog.Logger
	asked   *allowance.Allowance
	metrics *metrics
	now     func() time.Time
}

// New returns the handler of /; cfg must be valid.
func New(cfg Config, services Services, log *slog.Logger) http.Handler {
	return &face{Services: services, cfg: cfg, log: log, asked: allowance.New(cfg.Rate, cfg.Burst), metrics: newMetrics(services.Metrics), now: time.Now}
}

// Takes tells whether a request to / is one of this API: what browsers and WebSockets ask there is not.
func Takes(r *http.Request) bool {
	if r.URL.Path != "/" || r.Header.Get("Upgrade") != "" {
		return false
	}
	return r.Method == http.MethodPost || r.Method == http.MethodGet && (strings.HasPrefix(r.URL.RawQuery, "Action=") || r.URL.Query().Has("Action"))
}

// usualTime is how long a request may take; waiting for a device is within it.
const usualTime = 90 * time.Second

// ServeHTTP is http.Handler's.
func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ticket := ticketOf(r); ticket != "" { // a file may take longer
		f.download(w, r, ticket)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), usualTime)
	defer cancel()
	// A body that never comes to its end is not waited for either. It cannot be set where there is no connection, in tests.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(usualTime))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	c := newCall(r)
	w.Header().Set("X-Request-Id", c.request)
	w.Header().Set("X-UCLOUD-REQUEST-UUID", c.request)
	body, err := f.answer(ctx, c, w)
	f.write(ctx, w, c, body, err)
}

// answer is what an action gives, before it is written.
func (f *face) answer(ctx context.Context, c *call, w http.ResponseWriter) (any, error) {
	var err error
	if c.params, err = readParams(w, c.http, f.cfg.MaxBody); err != nil {
		return nil, err
	}
	if err := c.name(); err != nil {
		return nil, err
	}
	if c.caller, err = f.authenticate(ctx, c); err != nil {
		return nil, err
	}
	c.known = true
	if f.cfg.Rate > 0 {
		if _, _, wait := f.asked.Take(string(c.caller.Kind) + ":" + c.caller.ID); wait > 0 {
			return nil, fault{codeTooOften, "the key asks more often than it may; try again in a second"}
		}
	}
	if ctx, err = f.admit(ctx, c); err != nil {
		return nil, err
	}
	if c.action.change {
		return f.audited(ctx, c)
	}
	return c.action.do(f, ctx, c)
}
