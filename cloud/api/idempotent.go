package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/idempotency"
)

const (
	idempotencyHeader = "Idempotency-Key"
	// replayedHeader is on an answer that was given before.
	replayedHeader = "Idempotency-Replayed"
	maxKey         = 255
	// keepTimeout bounds the storing of an answer whose caller may have gone.
	keepTimeout = 10 * time.Second
)

// Answers is what the API needs of the kept answers.
type Answers interface {
	Begin(ctx context.Context, caller, key string, atMost time.Duration) (*idempotency.Claim, *idempotency.Kept, error)
}

// keptHeaders go into a kept answer.
var keptHeaders = []string{"Content-Type", "ETag", "Location", "Retry-After"}

// keptAnswer is how an answer is kept.
type keptAnswer struct {
	Header map[string]string `json:"header"`
	Body   []byte            `json:"body"`
}

// idempotent has a change that its caller has named made once: sent again it is answered as the first time.
func (s *server) idempotent(op operation, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get(idempotencyHeader)
		if key == "" {
			next(w, r)
			return
		}
		if !goodKey(key) {
			s.write(w, r, invalid(idempotencyHeader, "%s: must be 1 to %d printable ASCII characters", idempotencyHeader, maxKey))
			return
		}
		claim, kept, err := s.Answers.Begin(r.Context(), callerOf(r.Context()), key, op.deadline()+time.Minute)
		digest := digestOf(r)
		r.Body = digest
		switch {
		case errors.Is(err, idempotency.ErrInHand), errors.Is(err, idempotency.ErrTooMany):
			w.Header().Set("Retry-After", "1")
			s.fail(w, r, err)
		case err != nil:
			s.fail(w, r, err)
		case kept != nil:
			s.replay(w, r, kept, digest)
		default:
			s.first(w, r, op, claim, digest, next)
		}
	}
}

func goodKey(key string) bool {
	return len(key) <= maxKey && !strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' })
}

// first makes the request and keeps its answer, unless it may go otherwise the next time.
func (s *server) first(w http.ResponseWriter, r *http.Request, op operation, claim *idempotency.Claim, digest *digest, next http.HandlerFunc) {
	h := &held{header: w.Header()}
	answered := false
	// The answer is stored whether its caller still waits for it or not: it is the one who has gone that will ask again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), keepTimeout+op.deadline())
	defer cancel()
	defer func() {
		if !answered { // next panicked
			_ = claim.Free(ctx)
		}
	}()
	next(h, r)
	h.WriteHeader(http.StatusOK)
	answered = true
	sum, err := digest.sum()
	if err == nil && final(h.status) {
		err = claim.Keep(ctx, sum, answerOf(h))
	} else {
		err = errors.Join(err, claim.Free(ctx))
	}
	if err != nil {
		s.log.Error("answer to a request with an Idempotency-Key not kept", "request", requestID(r.Context()), "err", err)
	}
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body.Bytes()) // the caller may have gone
}

// final tells whether a request that is made again would be answered the same: a trouble of the hub's, or of the moment, is
// none of its outcomes.
func final(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusForbidden:
		return false
	}
	return status < http.StatusInternalServerError
}

func answerOf(h *held) idempotency.Answer {
	kept := keptAnswer{Header: map[string]string{}, Body: h.body.Bytes()}
	for _, name := range keptHeaders {
		if v := h.header.Get(name); v != "" {
			kept.Header[name] = v
		}
	}
	body, _ := json.Marshal(kept) // strings and bytes always encode
	return idempotency.Answer{Status: h.status, Body: body}
}

// replay answers as before, when it is the same request.
func (s *server) replay(w http.ResponseWriter, r *http.Request, kept *idempotency.Kept, digest *digest) {
	sum, err := digest.sum()
	if err != nil {
		s.badRequest(w, r, err)
		return
	}
	if err := kept.Same(sum); err != nil {
		s.fail(w, r, err)
		return
	}
	if kept.Body == nil {
		s.write(w, r, problem{status: http.StatusConflict, code: "answer_not_kept",
			detail: "the change was made, but its answer was too long to be kept: read what it made instead"})
		return
	}
	var answer keptAnswer
	if err := json.Unmarshal(kept.Body, &answer); err != nil {
		s.fail(w, r, err)
		return
	}
	for name, v := range answer.Header {
		w.Header().Set(name, v)
	}
	w.Header().Set(replayedHeader, "true")
	w.WriteHeader(kept.Status)
	_, _ = w.Write(answer.Body) // the caller may have gone
}

// digest hashes a request as it is read: its method, its address, its condition and its body.
type digest struct {
	io.ReadCloser
	hash hash.Hash
}

func digestOf(r *http.Request) *digest {
	d := &digest{r.Body, sha256.New()}
	for _, part := range []string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("If-Match")} {
		_, _ = io.WriteString(d.hash, part+"\n") // hashes take everything
	}
	return d
}

// Read is io.Reader's.
func (d *digest) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	_, _ = d.hash.Write(b[:n])
	return n, err
}

// sum reads what is left of the body.
func (d *digest) sum() ([]byte, error) {
	if _, err := io.Copy(io.Discard, d); err != nil {
		return nil, err
	}
	return d.hash.Sum(nil), nil
}
