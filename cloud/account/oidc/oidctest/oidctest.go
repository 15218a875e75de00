// Package oidctest is a small OpenID Connect provider for tests: it lets in whom it is told to, signs real tokens, and can be
// made to misbehave.
package oidctest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Client and Secret are what the hub is called at the provider.
const (
	Client = "hawser"
	Secret = "between the two of them"
)

// Provider is one provider; it is closed with the test.
type Provider struct {
	Issuer string

	key *rsa.PrivateKey

	mu    sync.Mutex // guards the fields below
	user  map[string]any
	twist func(claims map[string]any)
	forge bool
	codes map[string]url.Values // the question that each code answers
}

// New starts a provider at which nobody is logged in.
func New(t testing.TB) *Provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.document)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.Issuer = s.URL
	return p
}

// Login makes the claims those of whoever comes next; nil lets nobody in.
func (p *Provider) Login(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.user = claims
}

// Twist changes the claims of tokens before they are signed; nil changes nothing.
func (p *Provider) Twist(f func(claims map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.twist = f
}

// Forge makes the provider sign with a key that is not its own.
func (p *Provider) Forge(forge bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forge = forge
}

func (p *Provider) document(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token",
		"jwks_uri": p.Issuer + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k1",
		"n": b64(p.key.N.Bytes()), "e": b64(big.NewInt(int64(p.key.E)).Bytes())}}})
}

// authorize sends the browser back at once, with a code for who is logged in.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != Client || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" {
		http.Error(w, "not the question of the code flow with PKCE", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := url.Values{"state": {q.Get("state")}}
	if p.user == nil {
		out.Set("error", "access_denied")
	} else {
		code := rand.Text()
		p.codes[code] = q
		out.Set("code", code)
	}
	back.RawQuery = out.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token gives the token for a code, once, to the client that knows the verifier.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	decoded, err := url.QueryUnescape(secret)
	q, known := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if err != nil || id != Client || decoded != Secret || !known || q.Get("code_challenge") != b64(sum[:]) || r.FormValue("redirect_uri") != q.Get("redirect_uri") {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	claims := map[string]any{"iss": p.Issuer, "aud": Client, "nonce": q.Get("nonce"), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	for name, v := range p.user {
		claims[name] = v
	}
	if p.twist != nil {
		p.twist(claims)
	}
	answer(w, http.StatusOK, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": p.sign(claims)})
}

func (p *Provider) sign(claims map[string]any) string {
	key := p.key
	if p.forge {
		key, _ = rsa.GenerateKey(rand.Reader, 2048) // never fails for that size
	}
	body, _ := json.Marshal(claims) // strings and numbers always encode
	text := b64([]byte(`{"alg":"RS256","kid":"k1"}`)) + "." + b64(body)
	sum := sha256.Sum256([]byte(text))
	signature, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]) // nor does this
	return text + "." + b64(signature)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}
