// Package ingress is the HTTP door of devices: POST /auth gives a token, POST /topic/… publishes with it (device-protocol
// section 6).
//
// A publish goes the same path as one over MQTT and is answered after its commit. Refusals are answers with HTTP status 200
// and a RetCode, as stock clients want them (section 13): HTTP/1.1 with Content-Length, few and short headers, a body of at
// least 32 bytes, reason phrases of at most 17 characters, no redirects.
//
// POST /upload speaks of a file that comes in parts; PUT /upload/part/… and the tus 1.0 of /upload/relay/… take them.
//
// POST /api/v1/url gives a short URL to PUT a file to, and short URLs (/f/TOKEN, /f/TOKEN/PATH, /NAME?f=TOKEN) serve what they stand for, in ranges.
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
	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Config bounds requests.
type Config struct {
	MaxBody   int           // bytes of a message
	ClockSkew time.Duration // how far the Timestamp of /auth may be off
	TokenLife time.Duration
	Wait      time.Duration // the longest time to an answer; stock clients give up after 5 s
	Downloads int           // at a time; more are answered 503
}

// DefaultConfig has the protocol's limits.
func DefaultConfig() Config {
	return Config{MaxBody: 128 << 10, ClockSkew: time.Hour, TokenLife: 7 * 24 * time.Hour, Wait: 4500 * time.Millisecond, Downloads: 4096}
}

// maxAuthBody bounds the body of /auth.
const maxAuthBody = 4096

// Requests are those of applications that wait for a device's answer on a topic.
type Requests interface {
	// Holder names the node that knows of the requests to a device; "" is none.
	Holder(ctx context.Context, device int64) (node string, err error)
	// AnswerAt takes a committed message; it copies what it keeps and does not block.
	AnswerAt(holder string, dev ident.Device, topicName string, payload []byte)
}

// Deps are the rooms behind the door.
type Deps struct {
	Auth     *auth.Service
	Registry *registry.Registry
	Path     *uplink.Path
	Store    *store.DB
	Ring     *keyring.Keyring // signs the tokens
	// Nonces, Authorities, Uploads and Downloads may be nil: then there is nothing of theirs.
	Nonces      *auth.Nonces
	Authorities *authority.Authorities
	Journal     Journal  // nil: nothing is kept of what devices do
	Requests    Requests // nil: nobody waits for answers of devices
	Uploads     Uploads
	Sessions    Sessions // uploads in parts; nil: none are taken
	Downloads   Downloads
	Blobs       blob.Store // what Downloads name
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
	served   prometheus.Counter
	// downloads has an element for each that goes on.
	downloads chan struct{}
}

// New returns an Ingress.
func New(cfg Config, deps Deps) *Ingress {
	f := promauto.With(deps.Metrics)
	return &Ingress{cfg: cfg, Deps: deps, downloads: make(chan struct{}, max(cfg.Downloads, 1)), tokens: &tokens{ring: deps.Ring}, now: time.Now,
		requests: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_ingress_requests_total",
			Help: "Requests of devices over HTTP, by path and RetCode."}, []string{"path", "code"}),
		served: f.NewCounter(prometheus.CounterOpts{Name: "hawser_ingress_served_bytes_total", Help: "Bytes that devices downloaded by short URLs."})}
}

// Takes tells whether a request belongs to this door. Routers must ask it before anything cleans the path: /topic//P/D/upload
// is a path that devices use, and a redirect one that they do not follow.
func Takes(r *http.Request) bool {
	switch path := r.URL.Path; path {
	case "/auth", "/nonce", "/certificate", uploadPath:
		return true
	default:
		_, short := shortlink.Find(r)
		return short || strings.HasPrefix(path, "/topic/") || isSession(path)
	}
}

// uploadPath is where a device asks for a URL to send a file to.
const uploadPath = "/api/v1/url"

// ServeHTTP implements http.Handler.
func (in *Ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, short := shortlink.Find(r); short {
		in.short(w, r)
		return
	}
	if isSession(r.URL.Path) && in.Sessions != nil {
		in.session(w, r)
		return
	}
	method := http.MethodPost
	if r.URL.Path == "/nonce" {
		method = http.MethodGet
	}
	if r.Method != method || !Takes(r) {
		write(w, http.StatusNotFound, reply(message.CodeMissing, "use POST /auth, POST /topic/…, POST /api/v1/url, GET /nonce or POST /certificate", nil))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), in.cfg.Wait)
	defer cancel()
	serve, path := in.publish, "topic"
	switch r.URL.Path {
	case "/auth":
		serve, path = in.auth, "auth"
	case uploadPath:
		serve, path = in.uploadURL, "url"
	case "/nonce":
		serve, path = in.nonce, "nonce"
	case "/certificate":
		serve, path = in.certificate, "certificate"
	}
	code, text, more := serve(ctx, r)
	in.requests.WithLabelValues(path, strconv.Itoa(int(code))).Inc()
	if path == "url" && code.OK() {
		write(w, http.StatusOK, append([]byte(`{"RetCode":0`), more...)) // as upstream has it: no Message, whose place is the last
		return
	}
	write(w, http.StatusOK, reply(code, text, more))
}

// short serves a short URL.
func (in *Ingress) short(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPut && in.Uploads != nil:
		in.put(w, r)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && in.Downloads != nil:
		in.download(w, r)
	default:
		in.empty(w, http.StatusNotFound)
	}
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
	did := Request{At: in.now(), Device: req.device, Action: ActionAuth, Remote: r.RemoteAddr}
	defer func() { in.asked(did) }()
	g, err := in.Auth.Signed(ctx, req.device, body, strings.TrimSpace(r.Header.Get("Authorization")), r.RemoteAddr)
	if err != nil {
		did.Code, did.Reason = refused(err), err.Error()
		if why, ok := errors.AsType[*auth.Refusal](err); ok {
			did.Reason = string(why.Reason)
		}
		return did.Code, "", nil
	}
	if off := in.now().Sub(req.at); !req.at.IsZero() && (off > in.cfg.ClockSkew || off < -in.cfg.ClockSkew) {
		did.Code, did.Reason = message.CodeTimestamp, "Timestamp is off by more than an hour"
		return did.Code, did.Reason, nil
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
