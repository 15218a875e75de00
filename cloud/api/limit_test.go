package api

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

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
