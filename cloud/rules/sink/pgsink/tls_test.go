package pgsink

import (
	"errors"
	"testing"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestTLS(t *testing.T) {
	pki, other := harness.NewPKI(t), harness.NewPKI(t)
	m := harness.StartPostgresServer(t, harness.PostgresTLS(t, pki)...)
	for name, tt := range map[string]struct {
		members map[string]any
		ok      bool
	}{
		"all":                   {map[string]any{"tls": true, "ca": pki.CA, "clientCertificate": pki.ClientCertificate, "clientKey": pki.ClientKey}, true},
		"anybody":               {map[string]any{"tls": true, "tlsSkipVerify": true, "clientCertificate": pki.ClientCertificate, "clientKey": pki.ClientKey}, true},
		"no client certificate": {map[string]any{"tls": true, "ca": pki.CA}, true},
		"plain":                 {nil, true},
		"another authority":     {map[string]any{"tls": true, "ca": other.CA, "clientCertificate": pki.ClientCertificate, "clientKey": pki.ClientKey}, false},
		"the system's":          {map[string]any{"tls": true, "clientCertificate": pki.ClientCertificate, "clientKey": pki.ClientKey}, false},
		"another name":          {map[string]any{"tls": true, "ca": pki.CA, "serverName": "db.example", "clientCertificate": pki.ClientCertificate, "clientKey": pki.ClientKey}, false},
	} {
		config := m.Config()
		for k, v := range tt.members {
			config[k] = v
		}
		err := connect(t, config).Ping(t.Context())
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, rules.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
