package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestLimiter(t *testing.T) {
	l := newLimiter(2, 3)
	now := time.Now()
	l.now = func() time.Time { return now }
	for i, want := range []int{2, 1, 0} {
		if left, _, wait := l.take("a"); left != want || wait != 0 {
			t.Errorf("request %d: %d left, wait %v, want %d", i+1, left, wait, want)
		}
	}
	if _, full, wait := l.take("a"); wait != 500*time.Millisecond || full != 1500*time.Millisecond {
		t.Errorf("fourth: wait %v, full in %v", wait, full)
	}
	if _, _, wait := l.take("b"); wait != 0 {
		t.Errorf("another caller waits %v", wait)
	}
	now = now.Add(time.Second)
	if left, _, wait := l.take("a"); left != 1 || wait != 0 {
		t.Errorf("a second later: %d left, wait %v", left, wait)
	}
	now = now.Add(-time.Hour) // a clock that is set back takes nothing away
	if left, _, wait := l.take("a"); left != 0 || wait != 0 {
		t.Errorf("after the clock was set back: %d left, wait %v", left, wait)
	}
	// Whoever makes up callers cannot fill the memory.
	for i := range 3 * maxBuckets {
		l.take(fmt.Sprint(i))
	}
	if n := len(l.buckets); n > maxBuckets {
		t.Errorf("%d buckets", n)
	}
}

func TestShallow(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`[{"a":`, n/2) + "1" + strings.Repeat("}]", n/2) }
	for text, ok := range map[string]bool{
		deep(maxDepth):                         true,
		deep(maxDepth + 2):                     false,
		`"` + strings.Repeat("[", 100) + `"`:   true,
		`"\\"` + strings.Repeat("[", 100):      false,
		`"\"` + strings.Repeat("[", 100) + `"`: true,
		strings.Repeat("[]", 100):              true,
	} {
		for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
			_, err := io.ReadAll(&shallow{ReadCloser: io.NopCloser(r)})
			if p, isProblem := errors.AsType[problem](err); (err == nil) != ok || err != nil && (!isProblem || p.status != http.StatusBadRequest) {
				t.Errorf("%.60s: %v, want ok %v", text, err, ok)
			}
		}
	}
}

// Every request but a stream has a deadline.
func TestDeadlines(t *testing.T) {
	ops, err := operations(document)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{}
	for route, op := range ops {
		s.bounded(op, func(_ http.ResponseWriter, r *http.Request) {
			deadline, ok := r.Context().Deadline()
			if ok == op.long || ok && time.Until(deadline) > importTime {
				t.Errorf("%s: deadline %v in %v", route, ok, time.Until(deadline))
			}
		})(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}
	if ops["POST /v1/products/{productSN}/devices:import"].deadline() != importTime || ops["GET /v1/events"].deadline() != 0 {
		t.Error("an upload or a stream has the usual time")
	}
}
