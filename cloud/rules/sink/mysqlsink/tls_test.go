package mysqlsink

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestTLS(t *testing.T) {
	pki, other, dir := harness.NewPKI(t), harness.NewPKI(t), t.TempDir()
	for name, pem := range map[string]string{"ca": pki.CA, "cert": pki.ServerCertificate, "key": pki.ServerKey} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(pem), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := harness.StartMariaDB(t, "--ssl-ca="+filepath.Join(dir, "ca"), "--ssl-cert="+filepath.Join(dir, "cert"), "--ssl-key="+filepath.Join(dir, "key"))
	m.Exec(`ALTER USER 'hawser'@'%' REQUIRE X509`)
	for name, tt := range map[string]struct {
		members map[string]any
		ok      bool
	}{
		"all":                   {map[string]any{"tls": true, "ca": pki.CA, "clientCertificate": pki.ClientCertificate, "clientKey": pki.ClientKey}, true},
		"anybody":               {map[string]any{"tls": true, "tlsSkipVerify": true, "clientCertificate": pki.ClientCertificate, "clientKey": pki.ClientKey}, true},
		"no client certificate": {map[string]any{"tls": true, "ca": pki.CA}, false},
		"plain":                 {nil, false},
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
