package api

import (
	"context"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
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
	case op.upload:
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

// maxBuckets is how many callers' buckets are kept; when there are more, the full ones go, which are as good as new.
const maxBuckets = 10_000

// limiter gives each caller a bucket of tokens, one a request, that fills up again.
type limiter struct {
	rate  float64 // tokens a second; 0 is no limit
	burst float64
	now   func() time.Time

	mu      sync.Mutex // guards buckets
	buckets map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time // when tokens was right
}

func newLimiter(rate float64, burst int) *limiter {
	return &limiter{rate: rate, burst: float64(burst), now: time.Now, buckets: make(map[string]*bucket)}
}

// take takes a token of the caller's; without one, wait is how long until there is one again.
func (l *limiter) take(caller string) (left int, full, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.buckets[caller]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			l.forgetLocked(now)
		}
		b = &bucket{tokens: l.burst, at: now}
		l.buckets[caller] = b
	}
	b.tokens, b.at = min(l.burst, b.tokens+max(now.Sub(b.at).Seconds(), 0)*l.rate), now
	if b.tokens < 1 {
		wait = l.seconds(1 - b.tokens)
	} else {
		b.tokens--
	}
	return int(b.tokens), l.seconds(l.burst - b.tokens), wait
}

func (l *limiter) seconds(tokens float64) time.Duration {
	return time.Duration(tokens / l.rate * float64(time.Second))
}

// forgetLocked drops the buckets that are full by now; when none is, all: a moment's generosity instead of ever more memory.
func (l *limiter) forgetLocked(now time.Time) {
	for caller, b := range l.buckets {
		if b.tokens+now.Sub(b.at).Seconds()*l.rate >= l.burst {
			delete(l.buckets, caller)
		}
	}
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}

// limited refuses a caller who asks too often, and tells everybody how much they have left.
func (s *server) limited(next http.HandlerFunc) http.HandlerFunc {
	if s.limiter.rate == 0 {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		left, full, wait := s.limiter.take(callerOf(r.Context()))
		h := w.Header()
		h.Set("RateLimit-Limit", strconv.Itoa(int(s.limiter.burst)))
		h.Set("RateLimit-Remaining", strconv.Itoa(left))
		h.Set("RateLimit-Reset", strconv.Itoa(ceilSeconds(full)))
		if wait > 0 {
			s.metrics.limited.Inc()
			h.Set("Retry-After", strconv.Itoa(max(ceilSeconds(wait), 1)))
			s.write(w, r, problem{status: http.StatusTooManyRequests, code: "too_many_requests",
				detail: "more than " + strings.TrimSuffix(strconv.FormatFloat(s.limiter.rate, 'f', 2, 64), ".00") + " requests a second; Retry-After says when there is room again"})
			return
		}
		next(w, r)
	}
}

func ceilSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
