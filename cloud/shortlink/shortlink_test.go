package shortlink

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
)

func links() *Links { return New(keyring.New(), func() string { return "https://iot.example.com" }) }

func TestRoundTrip(t *testing.T) {
	l := links()
	want := Link{Kind: Firmware, ID: 1<<62 + 7, Until: time.Now().Add(time.Hour).Truncate(time.Second)}
	for _, u := range []string{l.URL(want), l.NamedURL(want, "default-2.0.bin")} {
		if len(u) > 200 {
			t.Errorf("%s: %d characters", u, len(u))
		}
		token, ok := Find(httptest.NewRequest(http.MethodGet, u, nil))
		if !ok {
			t.Fatalf("%s: no token found", u)
		}
		if got, err := l.Open(token); err != nil || got.Kind != want.Kind || got.ID != want.ID || !got.Until.Equal(want.Until) {
			t.Errorf("%s: got %+v, %v", u, got, err)
		}
	}
	l.now = func() time.Time { return want.Until }
	if _, err := l.Open(l.Token(want)); !errors.Is(err, ErrExpired) {
		t.Errorf("at its end: %v", err)
	}
}

// TestShape: what small clients make of the URL: one path segment, a query that is not empty, no fragment.
func TestShape(t *testing.T) {
	u := links().NamedURL(Link{Kind: Firmware, ID: 1, Until: time.Now()}, "default-1.0")
	rest, ok := strings.CutPrefix(u, "https://iot.example.com/")
	name, query, ok2 := strings.Cut(rest, "?")
	if !ok || !ok2 || name != "default-1.0" || query == "" || strings.ContainsAny(u, "#\"\\{}[]") {
		t.Errorf("got %s", u)
	}
}

func TestFind(t *testing.T) {
	for target, want := range map[string]string{
		"/f/abc": "abc", "/name.bin?f=abc": "abc", "/?f=abc": "", "/a/b?f=abc": "", "/v1/products": "", "/name?g=1": "", "/f/": "",
	} {
		got, ok := Find(httptest.NewRequest(http.MethodGet, target, nil))
		if got != want || ok != (want != "" || target == "/f/") {
			t.Errorf("%s: got %q, %v", target, got, ok)
		}
	}
}

// TestForged: no byte of a token can be another one, and no other ring's token opens.
func TestForged(t *testing.T) {
	l := links()
	token := l.Token(Link{Kind: Upload, ID: 5, Until: time.Now().Add(time.Hour)})
	for i := range token {
		b := []byte(token)
		if b[i]++; b[i] > 'z' {
			b[i] = 'A'
		}
		if _, err := l.Open(string(b)); !errors.Is(err, ErrLink) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	if _, err := links().Open(token); !errors.Is(err, ErrLink) {
		t.Errorf("another ring: %v", err)
	}
}

func TestSecret(t *testing.T) {
	l := links()
	if s := l.Secret("abc"); !l.Matches("abc", s) || l.Matches("abd", s) || l.Matches("abc", "") || len(s) > 100 {
		t.Errorf("secret %q", s)
	}
}

func FuzzOpen(f *testing.F) {
	l := links()
	good := l.Token(Link{Kind: Firmware, ID: 1, Until: time.Now().Add(time.Hour)})
	f.Add(good)
	f.Add("")
	f.Add(strings.Repeat("A", 34))
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := l.Open(s); err == nil && s != good {
			t.Errorf("accepted %q", s)
		}
	})
}
