package oidc

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/account/oidc/oidctest"
)

const back = "http://hub.example/v1/login/oidc/callback"

// visit goes to the provider as a browser does and returns what it is sent back with.
func visit(t *testing.T, address string) url.Values {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	to, err := resp.Location()
	if err != nil || !strings.HasPrefix(to.String(), back) {
		t.Fatalf("sent back to %v, %v", to, err)
	}
	return to.Query()
}

func TestExchange(t *testing.T) {
	idp := oidctest.New(t)
	idp.Login(map[string]any{"sub": "42", "email": "ann@example.com", "email_verified": true, "name": "Ann"})
	ann := account.Claims{Issuer: idp.Issuer, Subject: "42", Email: "ann@example.com", Name: "Ann"}
	unverified := ann
	unverified.Email = ""
	tests := []struct {
		name            string
		nonce, verifier string // as shown in the exchange
		twist           func(map[string]any)
		forge           bool
		want            account.Claims
		err             string
	}{
		{"right", "n", "verifier", nil, false, ann, ""},
		{"email not verified", "n", "verifier", func(c map[string]any) { c["email_verified"] = false }, false, unverified, ""},
		{"another login's nonce", "m", "verifier", nil, false, account.Claims{}, "another login"},
		{"no nonce", "", "verifier", func(c map[string]any) { c["nonce"] = "" }, false, account.Claims{}, "another login"},
		{"another verifier", "n", "other", nil, false, account.Claims{}, "exchange the code"},
		{"another client's token", "n", "verifier", func(c map[string]any) { c["aud"] = "other" }, false, account.Claims{}, "verify"},
		{"another issuer's token", "n", "verifier", func(c map[string]any) { c["iss"] = "https://evil.example" }, false, account.Claims{}, "verify"},
		{"expired", "n", "verifier", func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }, false, account.Claims{}, "verify"},
		{"forged", "n", "verifier", nil, true, account.Claims{}, "verify"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idp.Twist(tt.twist)
			idp.Forge(tt.forge)
			p := New(Config{Issuer: idp.Issuer, ClientID: oidctest.Client, ClientSecret: oidctest.Secret, Redirect: back})
			address, err := p.URL(t.Context(), "s", "n", "verifier")
			if err != nil {
				t.Fatal(err)
			}
			q := visit(t, address)
			if q.Get("state") != "s" {
				t.Errorf("state %q", q.Get("state"))
			}
			got, err := p.Exchange(t.Context(), q.Get("code"), tt.nonce, tt.verifier)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("err %v, want %q", err, tt.err)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if _, err := p.Exchange(t.Context(), q.Get("code"), tt.nonce, tt.verifier); err == nil {
				t.Error("a code is good twice")
			}
		})
	}
}

// A hub starts without its provider, and finds it when it is there.
func TestProviderIsAway(t *testing.T) {
	idp := oidctest.New(t)
	p := New(Config{Issuer: idp.Issuer + "/nowhere", ClientID: oidctest.Client})
	if _, err := p.URL(t.Context(), "s", "n", "v"); err == nil {
		t.Error("found a provider that is not there")
	}
	p.cfg.Issuer = idp.Issuer
	if _, err := p.URL(t.Context(), "s", "n", "v"); err != nil {
		t.Errorf("not found again: %v", err)
	}
}
