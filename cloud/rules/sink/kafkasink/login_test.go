package kafkasink

import (
	"crypto/tls"
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestLogin(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			c := cluster(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "hub", "geheim"))
			login := func(password string) rules.Env {
				return env(t, brokers(c.ListenAddrs(), `"sasl":"`+mechanism+`"`, `"user":"hub"`, `"password":"`+password+`"`, `"timeoutSeconds":1`))
			}
			good := login("geheim")
			if err := connection(t, good).Ping(t.Context()); err != nil {
				t.Errorf("Ping: %v", err)
			}
			if err := open(t, good, `{"connector":"c1","topic":"t"}`).Send(t.Context(), []rules.Record{record("dev1", 0, `1`)}); err != nil {
				t.Errorf("Send: %v", err)
			}
			bad := login("falsch")
			// kfake hangs up, a real broker answers.
			for _, says := range []string{"are user, password and sasl right", "SASL_AUTHENTICATION_FAILED"} {
				err := connection(t, bad).Ping(t.Context())
				if class(err) != "unavailable" || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "falsch") {
					t.Errorf("a wrong password, Ping: %v, want %q", err, says)
				}
				err = open(t, bad, `{"connector":"c1","topic":"t"}`).Send(t.Context(), []rules.Record{record("dev1", 0, `1`)})
				if class(err) != "unavailable" || !strings.Contains(err.Error(), says) {
					t.Errorf("a wrong password, Send: %v, want %q", err, says)
				}
				defer c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, TopLevel: true, Err: kerr.SaslAuthenticationFailed, Count: -1}).Remove()
			}
			none := env(t, brokers(c.ListenAddrs()))
			if err := connection(t, none).Ping(t.Context()); class(err) != "unavailable" {
				t.Errorf("no password: %v", err)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	pki := harness.NewPKI(t)
	c := cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pki.Server}, ClientCAs: pki.Pool, ClientAuth: tls.RequireAndVerifyClientCert}))
	ca, _ := json.Marshal(pki.CA) // strings only
	cert, _ := json.Marshal(pki.ClientCertificate)
	key, _ := json.Marshal(pki.ClientKey)
	pair := `"clientCertificate":` + string(cert) + `,"clientKey":` + string(key)
	for name, tt := range map[string]struct {
		config []string
		says   string // of the error; "" for none
	}{
		"as it should be":    {[]string{`"tls":true`, `"ca":` + string(ca), pair}, ""},
		"nobody verified":    {[]string{`"tls":true`, `"tlsSkipVerify":true`, pair}, ""},
		"no CA":              {[]string{`"tls":true`, pair}, "unknown authority"},
		"another name":       {[]string{`"tls":true`, `"ca":` + string(ca), `"serverName":"elsewhere.example"`, pair}, "elsewhere.example"},
		"no certificate":     {[]string{`"tls":true`, `"ca":` + string(ca)}, "certificate required"},
		"no TLS on our side": {nil, "TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			e := env(t, brokers(c.ListenAddrs(), tt.config...))
			err := connection(t, e).Ping(t.Context())
			if tt.says == "" {
				if err != nil {
					t.Errorf("Ping: %v", err)
				}
				if err := open(t, e, `{"connector":"c1","topic":"t"}`).Send(t.Context(), []rules.Record{record("dev1", 0, `1`)}); err != nil {
					t.Errorf("Send: %v", err)
				}
				return
			}
			if class(err) != "unavailable" || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want an error that says %q", err, tt.says)
			}
		})
	}
}
