package harness

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Receiver is an HTTP server that keeps the bodies posted to it and fails on
// demand: the outside world that HTTP sinks write to.
type Receiver struct {
	URL string

	mu     sync.Mutex // guards the fields below
	bodies [][]byte
	// distinct are those of bodies that came for the first time.
	distinct [][]byte
	keys     map[string]int // Idempotency-Key -> times seen
	status   int            // answer; 0 is 200
}

// StartReceiver starts one on a free loopback port; it ends with e.
func StartReceiver(e Env) *Receiver {
	r := &Receiver{keys: map[string]int{}}
	srv := httptest.NewServer(http.HandlerFunc(r.serve))
	r.URL = srv.URL
	e.Cleanup(srv.Close)
	return r
}

// Answer makes the receiver answer with status from now on; bodies that it
// refuses are not kept.
func (r *Receiver) Answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// Bodies returns what was accepted so far.
func (r *Receiver) Bodies() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.bodies...)
}

// Distinct returns what was accepted so far without the bodies whose Idempotency-Key was seen before: what a careful receiver would keep.
func (r *Receiver) Distinct() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.distinct...)
}

// Repeats counts accepted requests whose Idempotency-Key was seen before.
func (r *Receiver) Repeats() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, times := range r.keys {
		n += times - 1
	}
	return n
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || (r.status != 0 && r.status/100 != 2) {
		w.WriteHeader(max(r.status, http.StatusBadRequest))
		return
	}
	r.bodies = append(r.bodies, body)
	k := req.Header.Get("Idempotency-Key")
	if k == "" || r.keys[k] == 0 {
		r.distinct = append(r.distinct, body)
	}
	if k != "" {
		r.keys[k]++
	}
}
