package api

import (
	"context"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The times that a request may take. Waiting for a device is within usualTime.
const (
	usualTime  = 90 * time.Second
	importTime = time.Hour
)

// maxDepth is how deep the values of a JSON body may be nested.
const maxDepth = 64

// deadline is how long a request of the operation may take; 0 is for as long as its caller stays.
func (op operation) deadline() time.Duration {
	switch {
	case op.long:
		return 0
	case op.upload || op.download:
		return importTime
	}
	return usualTime
}

// bounded ends a request when its time is over, and a body that is nested too deeply.
func (s *server) bounded(op operation, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		limit := op.deadline()
		if limit == 0 {
			next(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		// A body that never comes to its end is not waited for either. It cannot be set where there is no connection, in tests.
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(limit))
		defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
		r = r.WithContext(ctx)
		if !op.upload {
			r.Body = &shallow{ReadCloser: r.Body}
		}
		next(w, r)
	}
}

// shallow reads JSON as long as it is not nested too deeply. It need not understand more of it: brackets and strings.
type shallow struct {
	io.ReadCloser
	depth           int
	quoted, escaped bool
}

// Read is io.Reader's.
func (s *shallow) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	for _, c := range b[:n] {
		switch {
		case s.escaped:
			s.escaped = false
		case s.quoted:
			s.escaped, s.quoted = c == '\\', c != '"'
		case c == '"':
			s.quoted = true
		case c == '{' || c == '[':
			if s.depth++; s.depth > maxDepth {
				return 0, problem{status: http.StatusBadRequest, code: "invalid", field: "body", detail: "the body is nested more than " + strconv.Itoa(maxDepth) + " levels deep"}
			}
		case c == '}' || c == ']':
			s.depth--
		}
	}
	return n, err
}

// limited refuses a caller who asks too often, and tells everybody how much they have left.
func (s *server) limited(next http.HandlerFunc) http.HandlerFunc {
	if s.limiter.Rate == 0 {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		left, full, wait := s.limiter.Take(callerOf(r.Context()))
		h := w.Header()
		h.Set("RateLimit-Limit", strconv.Itoa(int(s.limiter.Burst)))
		h.Set("RateLimit-Remaining", strconv.Itoa(left))
		h.Set("RateLimit-Reset", strconv.Itoa(ceilSeconds(full)))
		if wait > 0 {
			s.metrics.limited.Inc()
			h.Set("Retry-After", strconv.Itoa(max(ceilSeconds(wait), 1)))
			s.write(w, r, problem{status: http.StatusTooManyRequests, code: "too_many_requests",
				detail: "more than " + strings.TrimSuffix(strconv.FormatFloat(s.limiter.Rate, 'f', 2, 64), ".00") + " requests a second; Retry-After says when there is room again"})
			return
		}
		next(w, r)
	}
}

func ceilSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
