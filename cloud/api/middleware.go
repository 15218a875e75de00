package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/registry"
)

const (
	requestIDHeader = "X-Request-Id"
	projectHeader   = "X-Hawser-Project"
	// csrfHeader is wanted of browsers that change something: a page of another origin cannot send it unasked.
	csrfHeader = "X-Hawser-Request"
	// sessionCookie is a browser's session. The prefix holds browsers to Secure, to this host and to the path /.
	sessionCookie = "__Host-hawser_session"
)

// request is what is known of a request beside its operation's parameters.
type request struct {
	id     string
	from   account.Origin
	caller *account.Caller
	// actor is who a login turned out to be, or claimed to be.
	actor account.Entry
	quiet bool // not for the audit log
	// place is the project of what is changed, when a caller of the whole hub has named none.
	place string
	// sameOrigin is a request that a page of another origin cannot have made.
	sameOrigin bool
	// secretless is a request whose answer has no secrets, whoever asks.
	secretless bool
}

type requestKey struct{}

// requestOf is the request of ctx; never nil.
func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

func requestID(ctx context.Context) string { return requestOf(ctx).id }

// withRequestID gives every request an id: the caller's, if it is a reasonable one, or a new one.
func (s *server) withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !goodRequestID(id) {
			id = strings.ToLower(rand.Text()[:16])
		}
		w.Header().Set(requestIDHeader, id)
		known := &request{id: id, from: account.Origin{Address: r.RemoteAddr, Agent: r.UserAgent()}, sameOrigin: sameOrigin(r)}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, known)))
	})
}

// fenced gives every answer what holds a browser to it: it is what it says it is, no page's frame, picture or script, and kept nowhere unless the
// operation says otherwise. No other origin is let in: there is no Access-Control-Allow-Origin.
func fenced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// goodRequestID keeps what could forge a log line or a header out.
func goodRequestID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
		if !ok {
			return false
		}
	}
	return true
}

// guarded is a mux that lets a request through to an operation when its caller may make it.
type guarded struct {
	*http.ServeMux
	s   *server
	ops map[string]operation
	// bare are the operations without their guards, for the audit log to look at what they change.
	bare map[string]http.HandlerFunc
	// missing are the routes that the document does not have.
	missing []string
}

// HandleFunc registers handler behind its operation's guard.
func (g *guarded) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	op, ok := g.ops[pattern]
	if !ok {
		g.missing = append(g.missing, pattern)
		return
	}
	handler = g.s.complete(op, handler)
	g.bare[pattern] = handler
	if op.audited {
		handler = g.audit(op, handler)
	}
	change := !strings.HasPrefix(pattern, http.MethodGet+" ")
	switch {
	case change && !op.open:
		// An answer that is repeated is no second change: it is not in the audit log, nor held to a condition again.
		handler = g.s.idempotent(op, g.conditional(op, handler))
	case !change && op.json:
		handler = g.s.tagged(handler)
	}
	handler = g.s.bounded(op, handler)
	if !op.open {
		handler = g.s.limited(handler)
	}
	g.ServeMux.HandleFunc(pattern, g.s.guard(op, handler))
}

// guard is the one place where a request is let through or refused.
func (s *server) guard(op operation, next http.HandlerFunc) http.HandlerFunc {
	if op.open {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		caller, ok := s.authenticate(w, r)
		if !ok {
			return
		}
		p, err := s.scope(r, op, caller)
		if err == nil {
			err = allowed(op, r, p)
		}
		if err != nil {
			if op.audited {
				s.auditRefusal(op, r, p, err)
			}
			s.fail(w, r, err)
			return
		}
		ctx := account.WithPrincipal(r.Context(), p)
		if op.long {
			var end context.CancelFunc
			ctx, end = s.Accounts.Follow(ctx, caller)
			defer end()
		}
		next(w, r.WithContext(ctx))
	}
}

// allowed tells whether p may do op. Who is limited to some products stays below them.
func allowed(op operation, r *http.Request, p *account.Principal) error {
	have := p.Permissions
	switch {
	case op.hub:
		have = p.Hub
	case p.Products != nil && r.PathValue("productSN") == "" && !op.filtered:
		have = 0
	}
	if have.Has(op.need) {
		return nil
	}
	detail := string(p.Kind) + " " + p.ID + " lacks the permission " + op.need.String()
	if op.hub {
		detail += " on the hub as a whole"
	}
	return problem{status: http.StatusForbidden, code: "forbidden", detail: detail}
}

// authenticate finds out who calls; when nobody valid does it has answered.
func (s *server) authenticate(w http.ResponseWriter, r *http.Request) (*account.Caller, bool) {
	token, ok := bearer(r.Header.Get("Authorization"))
	cookie := false
	if r.Header.Get("Authorization") == "" {
		if c, err := r.Cookie(sessionCookie); err == nil {
			token, ok, cookie = c.Value, strings.HasPrefix(c.Value, "hws_"), true
		}
	}
	if !ok {
		w.Header().Set("WWW-Authenticate", "Bearer")
		s.write(w, r, problem{status: http.StatusUnauthorized, code: "unauthorized", detail: "send an API key or a session: Authorization: Bearer hwk_…"})
		return nil, false
	}
	if cookie && !requestOf(r.Context()).sameOrigin {
		s.write(w, r, problem{status: http.StatusForbidden, code: "cross_origin", detail: "a change with a cookie must come from the hub's own pages and carry " + csrfHeader})
		return nil, false
	}
	caller, err := s.Accounts.Authenticate(r.Context(), token)
	if err != nil {
		if errors.Is(err, account.ErrBadKey) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		}
		s.fail(w, r, err)
		return nil, false
	}
	caller.Cookie = cookie
	requestOf(r.Context()).secretless = cookie && (r.Method == http.MethodGet || r.Method == http.MethodHead)
	requestOf(r.Context()).caller = caller
	return caller, true
}

func bearer(header string) (string, bool) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// sameOrigin tells whether a request with a cookie was made by a page of this hub. Browsers send cookies unasked, so that what changes
// something needs a header that another origin's page cannot set, and an Origin, if there is one, of this host.
func sameOrigin(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return false
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host != r.Host {
			return false
		}
	}
	return r.Header.Get(csrfHeader) != ""
}

// scope is the caller in the project that the request is about. What is in another project is not told from what does
// not exist.
func (s *server) scope(r *http.Request, op operation, caller *account.Caller) (*account.Principal, error) {
	named := r.Header.Get(projectHeader)
	if named == "" && r.URL.RawQuery != "" {
		named = r.URL.Query().Get("project")
	}
	if sn := r.PathValue("productSN"); sn != "" {
		return s.scopeOfProduct(r.Context(), sn, named, caller)
	}
	if named == account.HubProject { // as if none was named, for those who have the hub as a whole
		if named = ""; caller.Hub() == 0 {
			return caller.Nowhere(), account.ErrProjectNotFound
		}
	}
	if id := r.PathValue("projectID"); id != "" {
		if named != "" && named != id {
			return caller.Nowhere(), account.ErrProjectNotFound
		}
		named = id
	}
	if named == "" || op.hub || op.need == 0 { // what concerns the caller alone is in no project
		if p := caller.Home(); p != nil {
			return p, nil
		}
		if op.need != 0 && !op.hub && len(caller.Projects()) > 1 {
			return caller.Nowhere(), problem{status: http.StatusBadRequest, code: "project_required", field: "project",
				detail: "name one of your projects with " + projectHeader + ": " + strings.Join(caller.Projects(), ", ")}
		}
		return caller.Nowhere(), nil
	}
	p := caller.In(named)
	if p == nil {
		return caller.Nowhere(), account.ErrProjectNotFound
	}
	if named != account.HubProject {
		if _, err := s.Accounts.Project(r.Context(), named); err != nil {
			return caller.Nowhere(), err
		}
	}
	return p, nil
}

func (s *server) scopeOfProduct(ctx context.Context, sn, named string, caller *account.Caller) (*account.Principal, error) {
	product, err := s.Products.Product(ctx, sn)
	if err != nil {
		return caller.Nowhere(), err
	}
	if p := caller.In(product.Project); p != nil && (named == "" || named == product.Project) {
		if p = p.Of(sn); p != nil {
			return p, nil
		}
	}
	return caller.Nowhere(), registry.ErrProductNotFound
}

// seesSecrets tells whether the caller may see secrets of a product and its devices. Pages in a browser get them only with what the audit
// log tells of.
func seesSecrets(ctx context.Context, product string) bool {
	p := account.From(ctx)
	return !requestOf(ctx).secretless && p != nil && p.On(product).Has(account.DeviceSecret)
}

// withLimit bounds the body; reading past the bound becomes 413.
func (s *server) withLimit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := s.cfg.MaxBody
		switch {
		case strings.HasSuffix(r.URL.Path, ":import"):
			limit = s.cfg.MaxImport
		case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/firmwares"),
			r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/releases/"):
			limit = s.cfg.MaxFirmware + 1 // whoever stores it tells that it is too large
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}
