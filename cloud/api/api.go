// Package api is the hub's API: what operators, applications, hawserctl and the console say to it.
//
// openapi.yaml is the source; apitype's objects and strict server are generated from it, and a test holds that every
// route of the document is served and every served route is in the document. Here requests are authenticated, checked for
// the permission that the document wants of their caller (x-permission), bounded, translated into calls of the domain, and the domain's errors into problem
// documents by the one table in problem.go. The package keeps no state and decides nothing about devices; it declares
// what it needs of the domain as small interfaces, and hub hands them in.
package api

import (
	_ "embed"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/allowance"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// document is served as /openapi.yaml.
//
//go:embed openapi.yaml
var document []byte

// Config bounds requests.
type Config struct {
	// MaxBody is the longest request body in bytes; a longer one is refused with 413.
	MaxBody int64
	// MaxImport is the same for a file to import, which is stored as it comes in.
	MaxImport int64
	// MaxFirmware is the same for the file of a firmware.
	MaxFirmware int64
	// Rate is how many requests a second a caller may make in the long run, on each node, and Burst how many at once. A Rate
	// of 0 is no limit.
	Rate  float64
	Burst int
	// Heartbeat is how often an idle event stream says that it lives. Proxies give up after 30 s or more.
	Heartbeat time.Duration
}

// DefaultConfig takes bodies of 4 MiB, which 10,000 deviceSNs of 64 characters fit in, and beats every 15 s.
func DefaultConfig() Config {
	return Config{MaxBody: 4 << 20, MaxImport: 256 << 20, MaxFirmware: 1 << 30, Rate: 200, Burst: 1000, Heartbeat: 15 * time.Second}
}

// Validate names the field that is wrong.
func (c Config) Validate() error {
	if c.MaxBody < 1024 {
		return fmt.Errorf("api: max_body %d: must be at least 1024 bytes", c.MaxBody)
	}
	if c.Rate < 0 || c.Rate > 0 && c.Burst < 1 {
		return fmt.Errorf("api: rate %v, burst %d: must not be negative, and the burst at least 1", c.Rate, c.Burst)
	}
	if c.Heartbeat < time.Second {
		return fmt.Errorf("api: heartbeat %v: must be at least 1s", c.Heartbeat)
	}
	return nil
}

// server implements the generated interface; each file holds one tag's operations.
type server struct {
	Services
	cfg     Config
	log     *slog.Logger
	limiter *allowance.Allowance
	metrics *metrics
	lives   atomic.Int32 // trials of rules that wait for a message
}

var _ apitype.StrictServerInterface = (*server)(nil)

// New returns the handler of /v1/…, /openapi.yaml and /docs/api; cfg must be valid and every service given. The error is a document
// that does not say of every operation who may call it.
func New(cfg Config, services Services, log *slog.Logger) (http.Handler, error) {
	ops, err := operations(document)
	if err != nil {
		return nil, err
	}
	s := &server{Services: services, cfg: cfg, log: log, limiter: allowance.New(cfg.Rate, cfg.Burst), metrics: newMetrics(services.Metrics)}
	mux := &guarded{ServeMux: http.NewServeMux(), s: s, ops: ops, bare: map[string]http.HandlerFunc{}}
	s.routes(mux)
	if len(mux.missing) > 0 {
		return nil, fmt.Errorf("api: not in the OpenAPI document: %s", strings.Join(mux.missing, ", "))
	}
	mux.ServeMux.HandleFunc("GET "+docsPath, s.docs())
	mux.ServeMux.HandleFunc("/", s.unknown(mux.ServeMux))
	return fenced(s.withRequestID(s.withLimit(mux))), nil
}

// routes registers every operation of the document on mux.
func (s *server) routes(mux apitype.ServeMux) {
	strict := apitype.NewStrictHandlerWithOptions(s, nil, apitype.StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  s.badRequest,
		ResponseErrorHandlerFunc: s.fail,
	})
	apitype.HandlerWithOptions(strict, apitype.StdHTTPServerOptions{BaseRouter: mux, ErrorHandlerFunc: s.badRequest})
}

// unknown answers what no operation matches: 405 when another method would match, else 404.
func (s *server) unknown(mux *http.ServeMux) http.HandlerFunc {
	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	return func(w http.ResponseWriter, r *http.Request) {
		if _, ok := s.authenticate(w, r); !ok { // what there is, is told to those who may call
			return
		}
		var allowed []string
		for _, m := range methods {
			probe := &http.Request{Method: m, URL: r.URL, Host: r.Host}
			if _, pattern := mux.Handler(probe); strings.HasPrefix(pattern, m+" ") {
				allowed = append(allowed, m)
			}
		}
		if len(allowed) == 0 {
			s.write(w, r, problem{status: http.StatusNotFound, code: "no_such_route", detail: "there is no " + r.URL.Path + "; /openapi.yaml lists what there is"})
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.write(w, r, problem{status: http.StatusMethodNotAllowed, code: "method_not_allowed", detail: "allowed here: " + strings.Join(allowed, ", ")})
	}
}
