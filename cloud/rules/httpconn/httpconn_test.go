package httpconn

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
)

func outbound() rules.Outbound {
	return rules.Outbound{Dial: (&net.Dialer{}).DialContext, UserAgent: "hawser-hub/1"}
}

func do(t *testing.T, c *Conn) (*http.Response, []byte, error) {
	t.Helper()
	req, err := NewRequest(t.Context(), http.MethodPost, c.URL(), []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(req, 10)
}

func TestDo(t *testing.T) {
	var got *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		_, _ = io.Copy(w, io.LimitReader(neverEnding{}, 100<<10))
	}))
	defer srv.Close()
	c, err := New(srv.URL+"/a?b=c", TLS{}, http.Header{"Authorization": {"Bearer x"}}, outbound())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.client.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy of the environment would see the credentials, and lead round the guard")
	}
	resp, body, err := do(t, c)
	if err != nil || resp.StatusCode != 200 || len(body) != 10 {
		t.Fatalf("got %d bytes, %v", len(body), err)
	}
	if got.Header.Get("Authorization") != "Bearer x" || got.Header.Get("User-Agent") != "hawser-hub/1" || got.URL.String() != "/a?b=c" {
		t.Errorf("request %s %v", got.URL, got.Header)
	}
}

type neverEnding struct{}

func (neverEnding) Read(b []byte) (int, error) { return len(b), nil }

// A redirect is an answer: following it would take credentials, and what was decided about the address, elsewhere.
func TestRedirect(t *testing.T) {
	calls := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	c, err := New(srv.URL, TLS{}, nil, outbound())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if resp, _, err := do(t, c); err != nil || resp.StatusCode != 307 || calls != 1 {
		t.Errorf("got %v, %v after %d requests", resp, err, calls)
	}
}

func TestErrorsHaveNoURL(t *testing.T) {
	refused := fmt.Errorf("%w: not allowed", rules.ErrPermanent)
	for name, dial := range map[string]struct {
		err, want error
	}{"gone": {errors.New("no route"), rules.ErrUnavailable}, "refused": {refused, rules.ErrPermanent}} {
		c, err := New("http://secret.example/token-in-path?key=abc", TLS{}, nil, rules.Outbound{
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, dial.err }})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = do(t, c)
		if !errors.Is(err, dial.want) || strings.Contains(err.Error(), "token") || strings.Contains(err.Error(), "abc") {
			t.Errorf("%s: %v", name, err)
		}
		_ = c.Close() // never fails
	}
	for _, bad := range []string{"http://u:hidden@x", "x://hidden", "://hidden", "http:///hidden"} {
		if _, err := New(bad, TLS{}, nil, outbound()); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := NewRequest(t.Context(), "BAD METHOD", &url.URL{Scheme: "http", Host: "hidden"}, nil); !errors.Is(err, rules.ErrPermanent) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a request that cannot be made: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for text, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-7": 0, "99999999": time.Hour, "soon": 0, in(-time.Hour): 0, in(10 * time.Minute): 10 * time.Minute, in(48 * time.Hour): time.Hour} {
		got := NewStatusError(&http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {text}}}).RetryAfter()
		if got > want || got < want-time.Minute && want > time.Minute || want <= time.Minute && got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestGzip(t *testing.T) {
	for range 2 { // the second writer is used again
		want := bytes.Repeat([]byte("hello "), 1000)
		z, err := gzip.NewReader(bytes.NewReader(Gzip(want)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}
}
