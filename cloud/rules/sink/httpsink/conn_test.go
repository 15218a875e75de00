package httpsink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/httpconn"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
)

// handle is a stored connector as a sink sees it.
type handle struct {
	conn   *Conn
	config ConnConfig
}

func (h handle) Use(f func(rules.Connection) error) error { return f(h.conn) }

func (h handle) Info() (string, json.RawMessage) {
	b, _ := json.Marshal(ConnConfig{URL: h.config.URL}) // text always encodes
	return "receiver", b
}

// through makes a sink of a connector.
func through(t *testing.T, cfg ConnConfig, action string) (rules.Sink, *Conn) {
	t.Helper()
	b, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	way := outbound.New(outbound.Options{AllowLocal: true})
	c, err := Connector().Open(b, way)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() }) // never fails
	s, err := New(way)(json.RawMessage(action), rules.Env{Connector: func(kind, id string) (rules.Handle, error) {
		if kind != Kind || id != "7" {
			t.Errorf("asked for connector %s of kind %s", id, kind)
		}
		return handle{c.(*Conn), cfg}, nil
	}})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return s, c.(*Conn)
}

func TestConnector(t *testing.T) {
	const secret = "0123456789abcdef"
	rec := &receiver{}
	srv := httptest.NewServer(rec)
	defer srv.Close()
	tests := []struct {
		name string
		cfg  ConnConfig
		want map[string]string
	}{
		{"basic", ConnConfig{User: "u", Password: "p"}, map[string]string{"Authorization": "Basic dTpw"}},
		{"bearer", ConnConfig{Token: "tok"}, map[string]string{"Authorization": "Bearer tok"}},
		{"headers", ConnConfig{Headers: map[string]string{"x-api-key": "k"}}, map[string]string{"X-Api-Key": "k", "Authorization": ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.URL, tt.cfg.SigningSecrets = srv.URL+"/api", []string{secret}
			s, conn := through(t, tt.cfg, `{"connector":"7","path":"/hook"}`)
			if err := s.Send(t.Context(), records(`{"a":1}`)); err != nil {
				t.Fatal(err)
			}
			for name, want := range tt.want {
				if got := rec.got.Header.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if rec.got.URL.Path != "/api/hook" || !verify(rec.got.Header.Get("Hawser-Signature"), secret, []byte(`{"a":1}`), time.Now()) {
				t.Errorf("request %s %v", rec.got.URL, rec.got.Header)
			}
			if err := conn.Ping(t.Context()); err != nil || rec.got.Method != "HEAD" || rec.got.URL.Path != "/api" {
				t.Errorf("Ping: %v with %s %s", err, rec.got.Method, rec.got.URL)
			}
			rec.status = 404
			if err := conn.Ping(t.Context()); err != nil {
				t.Errorf("Ping of a server that has nothing there: %v", err)
			}
			rec.status = 401
			if err := conn.Ping(t.Context()); !errors.Is(err, rules.ErrUnavailable) {
				t.Errorf("Ping of a server that refuses us: %v", err)
			}
			rec.status = 0
		})
	}
}

func TestConnectorConfig(t *testing.T) {
	for _, bad := range []string{``, `{}`, `{"url":"x"}`, `{"url":"http://u:p@x"}`, `{"url":"http://x","user":"u","token":"t"}`, `{"url":"http://x","password":"p"}`,
		`{"url":"http://x","token":"a b"}`, `{"url":"http://x","token":"t","headers":{"authorization":"x"}}`, `{"url":"http://x","headers":{"a":"b\n"}}`,
		`{"url":"http://x","headers":{"Host":"b"}}`, `{"url":"http://x","signingSecrets":["short"]}`, `{"url":"http://x","colour":1}`,
		`{"url":"http://x","signingSecrets":["0123456789abcdef1","0123456789abcdef2","0123456789abcdef3"]}`, `{"url":"http://127.0.0.1"}`, `{"url":"https://x","ca":"none"}`} {
		if _, err := Connector().Open(json.RawMessage(bad), outbound.New(outbound.Options{})); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// No error that a connector makes says more than the operator may see.
func TestErrorsHideCredentials(t *testing.T) {
	cfg := ConnConfig{URL: "http://127.0.0.1:9/hush-path?k=hush-query", Token: "hush-token", Headers: map[string]string{"X-Key": "hush-header"}, SigningSecrets: []string{"hush-0123456789abcdef"}}
	s, conn := through(t, cfg, `{"connector":"7"}`)
	for _, err := range []error{s.Send(t.Context(), records(`{}`)), conn.Ping(t.Context())} {
		if !errors.Is(err, rules.ErrUnavailable) || strings.Contains(err.Error(), "hush") {
			t.Errorf("got %v", err)
		}
	}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // some do, in their error pages
		w.WriteHeader(500)
		_ = r.Header.Write(w) // what is missing shows as nothing
	}))
	defer echo.Close()
	cfg.URL = echo.URL
	s, _ = through(t, cfg, `{"connector":"7"}`)
	if err := s.Send(t.Context(), records(`{}`)); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("a target that tells what it was sent: %v", err)
	}
}

// authority is a CA for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	pair := a.issue("ca")
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue makes a certificate for 127.0.0.1, of the authority or, when it has none yet, of itself.
func (a *authority) issue(name string) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: a.cert == nil}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func certPEM(c tls.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
}

func keyPEM(t *testing.T, c tls.Certificate) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestMutualTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	rec := &receiver{}
	srv := httptest.NewUnstartedServer(rec)
	srv.Config.ErrorLog = nil
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue("receiver")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	srv.StartTLS()
	defer srv.Close()
	caPEM := certPEM(tls.Certificate{Certificate: [][]byte{ca.cert.Raw}})
	hub, stranger := ca.issue("hub"), other.issue("stranger")
	for name, tt := range map[string]struct {
		tls httpconn.TLS
		ok  bool
	}{
		"ours":               {httpconn.TLS{CA: caPEM, ClientCertificate: certPEM(hub), ClientKey: keyPEM(t, hub)}, true},
		"no certificate":     {httpconn.TLS{CA: caPEM}, false},
		"a stranger's":       {httpconn.TLS{CA: caPEM, ClientCertificate: certPEM(stranger), ClientKey: keyPEM(t, stranger)}, false},
		"an unknown server":  {httpconn.TLS{ClientCertificate: certPEM(hub), ClientKey: keyPEM(t, hub)}, false},
		"a server elsewhere": {httpconn.TLS{CA: caPEM, ServerName: "elsewhere", ClientCertificate: certPEM(hub), ClientKey: keyPEM(t, hub)}, false},
	} {
		s, conn := through(t, ConnConfig{URL: srv.URL, TLS: tt.tls}, `{"connector":"7"}`)
		for _, err := range []error{s.Send(t.Context(), records(`{}`)), conn.Ping(t.Context())} {
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, rules.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	b, err := json.Marshal(ConnConfig{URL: srv.URL, TLS: httpconn.TLS{ClientCertificate: certPEM(hub), ClientKey: keyPEM(t, stranger)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Connector().Open(b, outbound.New(outbound.Options{AllowLocal: true})); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("a key of another certificate: %v", err)
	}
}
