package httpsink

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// receiver answers with status and keeps the last request.
type receiver struct {
	status int
	header http.Header
	got    *http.Request
	body   string
	calls  int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b, _ := io.ReadAll(req.Body) // what is missing shows in body
	r.got, r.body = req, string(b)
	r.calls++
	for k, v := range r.header {
		w.Header()[k] = v
	}
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
}

func open(t *testing.T, config string, o outbound.Options) rules.Sink {
	t.Helper()
	s, err := New(outbound.New(o))(json.RawMessage(config), rules.Env{})
	if err != nil {
		t.Fatalf("New(%s): %v", config, err)
	}
	t.Cleanup(func() { _ = s.Close() }) // never fails
	return s
}

func records(results ...string) []rules.Record {
	var list []rules.Record
	for i, s := range results {
		list = append(list, rules.Record{Action: 5, MessageID: 100 + 1, Index: i, Result: []byte(s)})
	}
	return list
}

func TestSend(t *testing.T) {
	rec := &receiver{}
	srv := httptest.NewServer(rec)
	defer srv.Close()
	s := open(t, `{"url":"`+srv.URL+`/hook?a=b","headers":{"authorization":"Bearer x","content-type":"application/vnd.x+json"}}`, outbound.Options{AllowLocal: true, UserAgent: "hawser/1"})
	if got := s.MaxBatch(); got != 1 {
		t.Errorf("MaxBatch = %d, want 1", got)
	}
	if err := s.Send(t.Context(), records(`{"a":1}`)); err != nil {
		t.Fatalf("Send: %v", err)
	}
	if rec.got.Method != "POST" || rec.got.URL.String() != "/hook?a=b" || rec.body != `{"a":1}` {
		t.Errorf("got %s %s %s", rec.got.Method, rec.got.URL, rec.body)
	}
	for name, want := range map[string]string{"Authorization": "Bearer x", "Content-Type": "application/vnd.x+json", "User-Agent": "hawser/1",
		"Idempotency-Key": "101:5", "Hawser-Message-Ids": "101"} {
		if got := rec.got.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestBatch(t *testing.T) {
	rec := &receiver{}
	srv := httptest.NewServer(rec)
	defer srv.Close()
	s := open(t, `{"url":"`+srv.URL+`","batchSize":3}`, outbound.Options{AllowLocal: true})
	if got := s.MaxBatch(); got != 3 {
		t.Errorf("MaxBatch = %d, want 3", got)
	}
	if err := s.Send(t.Context(), records(`{"a":1}`, `2`, `"x"`)); err != nil {
		t.Fatal(err)
	}
	if rec.body != `[{"a":1},2,"x"]` || rec.got.Header.Get("Idempotency-Key") != "101:5+2" || rec.got.Header.Get("Hawser-Message-Ids") != "101,101,101" {
		t.Errorf("got %s, %v", rec.body, rec.got.Header)
	}
	if err := s.Send(t.Context(), records(`{"a":1}`)); err != nil || rec.body != `[{"a":1}]` {
		t.Errorf("one of a batch: %s, %v", rec.body, err)
	}
}

func TestAnswers(t *testing.T) {
	rec := &receiver{}
	srv := httptest.NewServer(rec)
	defer srv.Close()
	s := open(t, `{"url":"`+srv.URL+`"}`, outbound.Options{AllowLocal: true})
	tests := []struct {
		status                 int
		permanent, unavailable bool
	}{
		{200, false, false}, {202, false, false}, {204, false, false},
		{302, true, false}, {400, true, false}, {413, true, false}, {422, true, false},
		{401, false, true}, {403, false, false}, {404, false, false}, {500, false, false},
		{408, false, true}, {429, false, true}, {502, false, true}, {503, false, true}, {504, false, true},
	}
	for _, tt := range tests {
		rec.status, rec.header, rec.calls = tt.status, http.Header{"Retry-After": {"7"}, "Location": {srv.URL + "/elsewhere"}}, 0
		err := s.Send(t.Context(), records(`{}`))
		if (err == nil) != (tt.status < 300) || errors.Is(err, rules.ErrPermanent) != tt.permanent || errors.Is(err, rules.ErrUnavailable) != tt.unavailable {
			t.Errorf("%d: %v", tt.status, err)
		}
		if rec.calls != 1 {
			t.Errorf("%d: %d requests", tt.status, rec.calls)
		}
		var after rules.RetryAfter
		if err != nil && (!errors.As(err, &after) || after.RetryAfter() != 7*time.Second) {
			t.Errorf("%d: Retry-After is not told", tt.status)
		}
	}
	srv.Close()
	if err := s.Send(t.Context(), records(`{}`)); !errors.Is(err, rules.ErrUnavailable) {
		t.Errorf("nobody there: %v, want ErrUnavailable", err)
	}
}

func TestTimeout(t *testing.T) {
	gate := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-gate }))
	defer srv.Close()
	defer close(gate)
	s := open(t, `{"url":"`+srv.URL+`","timeoutSeconds":0.05}`, outbound.Options{AllowLocal: true})
	if err := s.Send(t.Context(), records(`{}`)); !errors.Is(err, rules.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a target that does not answer: %v", err)
	}
}

func TestLocalTargets(t *testing.T) {
	rec := &receiver{}
	srv := httptest.NewServer(rec)
	defer srv.Close()
	port := srv.URL[strings.LastIndex(srv.URL, ":"):]
	// A name is only known when it is resolved.
	s := open(t, `{"url":"http://localhost`+port+`"}`, outbound.Options{})
	if err := s.Send(t.Context(), records(`{}`)); !errors.Is(err, rules.ErrPermanent) || rec.calls != 0 {
		t.Errorf("localhost: %v, %d calls", err, rec.calls)
	}
	for _, host := range []string{"127.0.0.1", "127.9.9.9", "[::1]", "169.254.169.254", "[fe80::1]", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "224.0.0.1"} {
		if _, err := New(outbound.New(outbound.Options{}))(json.RawMessage(`{"url":"http://`+host+`/x"}`), rules.Env{}); !errors.Is(err, outbound.ErrLocal) {
			t.Errorf("%s: %v, want it refused", host, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, bad := range []string{``, `[]`, `{}`, `{"url":"ftp://x"}`, `{"url":"x"}`, `{"url":"http://x","colour":1}`, `{"url":"http://x","timeoutSeconds":61}`,
		`{"url":"http://x","batchSize":2,"lingerMillis":-1}`, `{"url":"http://x","batchSize":2,"lingerMillis":10001}`,
		`{"url":"http://x","lingerMillis":5}`, `{"url":"http://x","batchSize":101}`, `{"url":"http://x","batchSize":-1}`, `{"url":"http://x","headers":{"a b":"c"}}`,
		`{"url":"http://x","headers":{"a":"c\r\nd: e"}}`, `{"url":"http://x","connector":"7"}`, `{"url":"http://x","method":"GET"}`,
		`{"url":"http://x","path":"a"}`, `{"url":"http://x","path":"/a b"}`, `{"url":"http://x","path":"/../b"}`, `{"url":"http://x","path":"/a/%2e%2e/b"}`,
		`{"url":"http://x","path":"/a#b"}`, `{"url":"http://x","path":"/${"}`, `{"url":"http://x","body":"${"}`, `{"url":"http://x","compression":"br"}`,
		`{"url":"http://x","signingSecrets":["short"]}`, `{"url":"http://x","signingSecrets":["0123456789abcdef","0123456789abcdef"]}`,
		`{"url":"http://x","batchBytes":10}`, `{"url":"http://x","batchSize":2,"batchBytes":-1}`, `{"url":"http://x","headers":{"hawser-signature":"y"}}`,
		`{"url":"http://x","headers":{"content-type":"text/plain"},"batchSize":2}`, `{"url":"http://x","headers":{"host":"y"}}`, `{"url":"http://x","headers":{"idempotency-key":"y"}}`} {
		if _, err := New(outbound.New(outbound.Options{}))(json.RawMessage(bad), rules.Env{}); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestLinger(t *testing.T) {
	for config, want := range map[string]time.Duration{
		`{"url":"http://x"}`: 0,
		`{"url":"http://x","batchSize":1,"lingerMillis":0}`:   0,
		`{"url":"http://x","batchSize":2}`:                    100 * time.Millisecond,
		`{"url":"http://x","batchSize":2,"lingerMillis":0}`:   0,
		`{"url":"http://x","batchSize":2,"lingerMillis":250}`: 250 * time.Millisecond,
	} {
		if got := open(t, config, outbound.Options{}).Linger(); got != want {
			t.Errorf("%s lingers %v, want %v", config, got, want)
		}
	}
}
