// Package ingress is the HTTP door of devices: POST /auth gives a token, POST /topic/… publishes with it (device-protocol
// section 6).
//
// A publish goes the same path as one over MQTT and is answered after its commit. Refusals are answers with HTTP status 200
// and a RetCode, as stock clients want them (section 13): HTTP/1.1 with Content-Length, few and short headers, a body of at
// least 32 bytes, reason phrases of at most 17 characters, no redirects.
//
// Besides, GET /nonce?device=P.D gives a device without a clock what it signs in authmode 3, and POST /certificate a new certificate to
// one that shows that it is who it is, by its secret or by the certificate that it has.
//
// A token lives for 7 days, and dies with the secret under which it was given. Sending over HTTP changes no state of the
// device, only when it was last seen.
package ingress

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Config bounds requests.
type Config struct {
	MaxBody   int           // bytes of a message
	ClockSkew time.Duration // how far the Timestamp of /auth may be off
	TokenLife time.Duration
	Wait      time.Duration // the longest time to an answer; stock clients give up after 5 s
}

// DefaultConfig has the protocol's limits.
func DefaultConfig() Config {
	return Config{MaxBody: 128 << 10, ClockSkew: time.Hour, TokenLife: 7 * 24 * time.Hour, Wait: 4500 * time.Millisecond}
}

// maxAuthBody bounds the body of /auth.
const maxAuthBody = 4096

// Deps are the rooms behind the door.
type Deps struct {
	Auth     *auth.Service
	Registry *registry.Registry
	Path     *uplink.Path
	Store    *store.DB
	// Nonces and Authorities may be nil: then there is nothing at /nonce and /certificate.
	Nonces      *auth.Nonces
	Authorities *authority.Authorities
	Log         *slog.Logger
	Metrics     prometheus.Registerer // nil: not exported
}

// Ingress serves the device face over HTTP.
type Ingress struct {
	cfg Config
	Deps
	tokens   *tokens
	now      func() time.Time
	requests *prometheus.CounterVec
}

// New returns an Ingress. It reads the key of the tokens from the store, or makes it.
func New(ctx context.Context, cfg Config, deps Deps) (*Ingress, error) {
	key, err := loadKey(ctx, deps.Store)
	if err != nil {
		return nil, err
	}
	return &Ingress{cfg: cfg, Deps: deps, tokens: &tokens{key: key}, now: time.Now,
		requests: promauto.With(deps.Metrics).NewCounterVec(prometheus.CounterOpts{Name: "hawser_ingress_requests_total",
			Help: "Requests of devices over HTTP, by path and RetCode."}, []string{"path", "code"})}, nil
}

// Takes tells whether a request belongs to this door. Routers must ask it before anything cleans the path: /topic//P/D/upload
// is a path that devices use, and a redirect one that they do not follow.
func Takes(path string) bool {
	return path == "/auth" || path == "/nonce" || path == "/certificate" || strings.HasPrefix(path, "/topic/")
}

// ServeHTTP implements http.Handler.
func (in *Ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := http.MethodPost
	if r.URL.Path == "/nonce" {
		method = http.MethodGet
	}
	if r.Method != method || !Takes(r.URL.Path) {
		write(w, http.StatusNotFound, reply(message.CodeMissing, "use POST /auth, POST /topic/…, GET /nonce or POST /certificate", nil))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), in.cfg.Wait)
	defer cancel()
	serve, path := in.publish, "topic"
	switch r.URL.Path {
	case "/auth":
		serve, path = in.auth, "auth"
	case "/nonce":
		serve, path = in.nonce, "nonce"
	case "/certificate":
		serve, path = in.certificate, "certificate"
	}
	code, text, more := serve(ctx, r)
	in.requests.WithLabelValues(path, strconv.Itoa(int(code))).Inc()
	write(w, http.StatusOK, reply(code, text, more))
}

// auth gives a token for a signed request.
func (in *Ingress) auth(ctx context.Context, r *http.Request) (message.Code, string, []byte) {
	body, code := read(r, maxAuthBody)
	if !code.OK() {
		return code, "", nil
	}
	req, code, text := parseAuth(body)
	if !code.OK() {
		return code, text, nil
	}
	g, err := in.Auth.Signed(ctx, req.device, body, strings.TrimSpace(r.Header.Get("Authorization")), r.RemoteAddr)
	if err != nil {
		return refused(err), "", nil
	}
	if off := in.now().Sub(req.at); !req.at.IsZero() && (off > in.cfg.ClockSkew || off < -in.cfg.ClockSkew) {
		return message.CodeTimestamp, "Timestamp is off by more than an hour", nil
	}
	token := in.tokens.issue(g.Device, in.now().Add(in.cfg.TokenLife))
	return message.CodeOK, "", append(codec.AppendString([]byte(`,"Token":`), token), '}')
}

// refused is the RetCode of a refused login.
func refused(err error) message.Code {
	var r *auth.Refusal
	if !errors.As(err, &r) {
		return message.CodeInternal
	}
	switch r.Reason {
	case auth.UnknownProduct, auth.UnknownDevice:
		return message.CodeNoSuchIdentity
	case auth.WrongSecret:
		return message.CodeSignature
	case auth.OtherSubject, auth.BadCertificate, auth.OldCertificate, auth.RevokedCert, auth.NoCertificate:
		return message.CodeSignature
	case auth.DeviceDisabled:
		return message.CodeDisabled
	case auth.Unavailable:
		return message.CodeInternal
	default:
		return message.CodeNoPermission
	}
}

// read takes the body, of at most limit bytes.
func read(r *http.Request, limit int) ([]byte, message.Code) {
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, message.CodeBad
	case len(body) > limit:
		return nil, message.CodeTooLong
	}
	return body, message.CodeOK
}

// reply is {"RetCode":n,"Message":"…"…}; more, if any, goes on behind the Message and closes the object.
func reply(code message.Code, text string, more []byte) []byte {
	b := strconv.AppendInt([]byte(`{"RetCode":`), int64(code), 10)
	if text == "" && code.OK() {
		text = "Success"
	}
	if text == "" {
		text = code.Text()
	}
	b = codec.AppendString(append(b, `,"Message":`...), message.Plain(text))
	if more == nil {
		return append(b, '}')
	}
	return append(b, more...)
}

// minBody is the shortest body that stock clients read; shorter ones are padded with blanks.
const minBody = 32

func write(w http.ResponseWriter, status int, body []byte) {
	for len(body) < minBody {
		body = append(body, ' ')
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone does not read it
}
