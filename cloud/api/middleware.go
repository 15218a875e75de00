package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"

	"github.com/hawser-iot/hawser/cloud/account"
)

const requestIDHeader = "X-Request-Id"

type contextKey int

const (
	keyKey contextKey = iota
	requestIDKey
)

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

// withKey wants a valid API key on everything but the document, of a role that may make the request.
func (s *server) withKey(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/openapi.yaml" {
			next.ServeHTTP(w, r)
			return
		}
		text, ok := bearer(r.Header.Get("Authorization"))
		if !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			s.write(w, r, problem{status: http.StatusUnauthorized, code: "unauthorized", detail: "send an API key: Authorization: Bearer hwk_…"})
			return
		}
		key, err := s.Keys.Verify(r.Context(), text)
		if err != nil {
			if errors.Is(err, account.ErrBadKey) {
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			}
			s.fail(w, r, err)
			return
		}
		if need := roleFor(r); !key.Role.Covers(need) {
			s.write(w, r, problem{status: http.StatusForbidden, code: "forbidden", detail: "this wants a key of role " + string(need) + "; key " + key.ID + " has " + string(key.Role)})
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyKey, key)))
	})
}

func bearer(header string) (string, bool) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// roleFor is what a request wants: owners alone handle keys, viewers read.
func roleFor(r *http.Request) account.Role {
	switch {
	case r.URL.Path == "/v1/api-keys" || strings.HasPrefix(r.URL.Path, "/v1/api-keys/"):
		return account.RoleOwner
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return account.RoleViewer
	}
	return account.RoleAdmin
}

// seesSecrets tells whether the caller may see secrets of products and devices.
func seesSecrets(ctx context.Context) bool {
	key, ok := ctx.Value(keyKey).(*account.Key)
	return ok && key.Role.Covers(account.RoleAdmin)
}

// withLimit bounds the body; reading past the bound becomes 413.
func (s *server) withLimit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)
		next.ServeHTTP(w, r)
	})
}
