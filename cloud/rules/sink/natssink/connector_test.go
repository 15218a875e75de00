package natssink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestConnectorConfig(t *testing.T) {
	out := outbound.New(outbound.Options{})
	for bad, says := range map[string]string{
		``: "read", `{}`: "servers", `{"servers":["http://x"]}`: "nats://", `{"servers":["nats://u:geheim@n"]}`: "members of their own", `{"servers":["n/x"]}`: "nats://",
		`{"servers":["127.0.0.1"]}`: "--rule-allow-local", `{"servers":["n"],"user":"u","password":"p","token":"geheim"}`: "only one", `{"servers":["n"],"nkeySeed":"geheim"}`: "nkey",
		`{"servers":["n"],"creds":"geheim"}`: "creds", `{"servers":["n"],"timeoutSeconds":0.1}`: "timeoutSeconds", `{"servers":["n"],"ca":"x"}`: "tls: true", `{"servers":["n"],"colour":1}`: "colour",
		`{"servers":["tls://n"],"ca":"x"}`: "PEM",
	} {
		if _, err := ConnectorKind().Open(json.RawMessage(bad), out); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestLogin(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	srv := serve(t, server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}, Users: []*server.User{
		{Username: "hub", Password: "geheim"},
		{Username: "narrow", Password: "geheim", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{"ok.>"}}}},
	}})
	token := serve(t, server.Options{Authorization: "geheim"})
	for _, tt := range []struct {
		srv         *server.Server
		good, wrong string
	}{
		{srv, `"user":"hub","password":"geheim"`, `"user":"hub","password":"falsch"`},
		{srv, `"nkeySeed":"` + string(seed) + `"`, `"timeoutSeconds":2`},
		{token, `"token":"geheim"`, `"token":"falsch"`},
	} {
		if err := connection(t, env(t, config(tt.srv, tt.good))).Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", tt.good, err)
		}
		wrong := env(t, config(tt.srv, tt.wrong))
		if err := connection(t, wrong).Ping(t.Context()); meant(err) != "unavailable" || !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s, Ping: %v", tt.wrong, err)
		}
		if err := open(t, wrong, `{"connector":"c1","subject":"a"}`).Send(t.Context(), []rules.Record{record("dev1", 0, `{}`)}); meant(err) != "unavailable" {
			t.Errorf("%s, Send: %v", tt.wrong, err)
		}
	}
	narrow := env(t, config(srv, `"user":"narrow","password":"geheim"`))
	for subject, want := range map[string]string{"ok.x": "delivered", "no.x": "unavailable", "${s}": "tried a few times"} {
		for range 2 {
			if err := open(t, narrow, `{"connector":"c1","subject":"`+subject+`"}`).Send(t.Context(), []rules.Record{record("dev1", 0, `{"s":"no"}`)}); meant(err) != want {
				t.Errorf("%s: %v, want %s", subject, err, want)
			}
		}
	}
}

func TestTLS(t *testing.T) {
	pki := harness.NewPKI(t)
	srv := serve(t, server.Options{TLS: true, TLSVerify: true, TLSTimeout: 60,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pki.Server}, ClientCAs: pki.Pool, ClientAuth: tls.RequireAndVerifyClientCert}})
	text := func(s string) string {
		b, _ := json.Marshal(s) // a string
		return string(b)
	}
	pair := `"clientCertificate":` + text(pki.ClientCertificate) + `,"clientKey":` + text(pki.ClientKey)
	for name, tt := range map[string]struct{ more, want string }{
		"as it should be": {`"tls":true,"ca":` + text(pki.CA) + `,` + pair, "delivered"},
		"no CA":           {`"tls":true,` + pair, "unavailable"},
		"no certificate":  {`"tls":true,"ca":` + text(pki.CA), "unavailable"},
		"another name":    {`"tls":true,"serverName":"elsewhere.example","ca":` + text(pki.CA) + `,` + pair, "unavailable"},
	} {
		if err := connection(t, env(t, config(srv, tt.more))).Ping(t.Context()); meant(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := env(t, `{"servers":["`+ln.Addr().String()+`"],"timeoutSeconds":1}`)
	s := open(t, silent, `{"connector":"c1","subject":"a"}`)
	begun := time.Now()
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{}`)}); meant(err) != "unavailable" {
		t.Errorf("no answer: %v", err)
	}
	if took := time.Since(begun); took > harness.Promised(10*time.Second) {
		t.Errorf("it took %v", took)
	}
	_ = ln.Close()
	if err := connection(t, silent).Ping(t.Context()); meant(err) != "unavailable" || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
	_ = connection(t, silent).Close()
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{}`)}); meant(err) != "unavailable" {
		t.Errorf("a connector that was replaced: %v", err)
	}
}

// A server that goes and comes back is found again, and nothing counts as delivered meanwhile.
func TestServerRestarts(t *testing.T) {
	srv := serve(t, server.Options{})
	_, port, _ := net.SplitHostPort(srv.Addr().String()) // a listener's
	e := env(t, config(srv))
	for _, action := range []string{`{"connector":"c1","subject":"a"}`, `{"connector":"c1","subject":"a","jetstream":true}`} {
		s := open(t, e, action)
		if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{}`)}); strings.Contains(action, "jetstream") == (err == nil) {
			t.Errorf("%s: %v", action, err)
		}
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	s := open(t, e, `{"connector":"c1","subject":"a"}`)
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 1, `{}`)}); meant(err) != "unavailable" {
		t.Errorf("it is gone: %v", err)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, server.Options{Port: n})
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 2, `{}`)}); err != nil {
		t.Errorf("it is back: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Send(ctx, []rules.Record{record("dev1", 3, `{}`)}); err == nil {
		t.Error("delivered after the end")
	}
}

func TestForbiddenAddress(t *testing.T) {
	srv := serve(t, server.Options{})
	_, port, _ := net.SplitHostPort(srv.Addr().String()) // a listener's
	conn, err := ConnectorKind().Open(json.RawMessage(`{"servers":["localhost:`+port+`"],"timeoutSeconds":2}`), outbound.New(outbound.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Ping(t.Context()); !errors.Is(err, outbound.ErrLocal) || meant(err) != "permanent" {
		t.Errorf("%v", err)
	}
}
