package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/registry"
)

const requestIDHeader = "X-Request-Id"

type contextKey int

const requestIDKey contextKey = iota

// withRequestID gives every request an id: the caller's, if it is a reasonable one, or a new one.
func (s *server) withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !goodRequestID(id) {
			id = strings.ToLower(rand.Text()[:16])
		}
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey, id)))
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

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// guarded is a mux that lets a request through to an operation when its caller may make it.
type guarded struct {
	*http.ServeMux
	s   *server
	ops map[string]operation
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
		p, err := s.scope(r, caller)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if !p.May(op.need) {
			s.write(w, r, problem{status: http.StatusForbidden, code: "forbidden", detail: string(p.Kind) + " " + p.ID + " lacks the permission " + op.need.String()})
			return
		}
		next(w, r.WithContext(account.WithPrincipal(r.Context(), p)))
	}
}

// authenticate finds out who calls; when nobody valid does it has answered.
func (s *server) authenticate(w http.ResponseWriter, r *http.Request) (*account.Key, bool) {
	text, ok := bearer(r.Header.Get("Authorization"))
	if !ok {
		w.Header().Set("WWW-Authenticate", "Bearer")
		s.write(w, r, problem{status: http.StatusUnauthorized, code: "unauthorized", detail: "send an API key: Authorization: Bearer hwk_…"})
		return nil, false
	}
	key, err := s.Keys.Verify(r.Context(), text)
	if err != nil {
		if errors.Is(err, account.ErrBadKey) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		}
		s.fail(w, r, err)
		return nil, false
	}
	return key, true
}

// scope is what the caller may do in the project that the request is about. A product of another project is one that
// does not exist.
func (s *server) scope(r *http.Request, key *account.Key) (*account.Principal, error) {
	p := &account.Principal{Kind: account.KindKey, ID: key.ID, Name: key.Name, Project: account.DefaultProject, Permissions: key.Role.Permissions()}
	if sn := r.PathValue("productSN"); sn != "" && s.projectOf(sn) != p.Project {
		return nil, registry.ErrProductNotFound
	}
	return p, nil
}

// projectOf is the project of a product.
func (s *server) projectOf(string) string { return account.DefaultProject }

func bearer(header string) (string, bool) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// seesSecrets tells whether the caller may see secrets of products and devices.
func seesSecrets(ctx context.Context) bool { return account.From(ctx).May(account.DeviceSecret) }

// withLimit bounds the body; reading past the bound becomes 413.
func (s *server) withLimit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := s.cfg.MaxBody
		if strings.HasSuffix(r.URL.Path, ":import") {
			limit = s.cfg.MaxImport
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}
