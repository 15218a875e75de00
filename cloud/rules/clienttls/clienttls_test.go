package clienttls

import (
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestClient(t *testing.T) {
	pki := harness.NewPKI(t)
	good := Certificates{CA: pki.CA, ServerName: "db.example", ClientCertificate: pki.ClientCertificate, ClientKey: pki.ClientKey}
	if c, err := (Config{}).Client(); c != nil || err != nil {
		t.Errorf("no TLS: %v, %v", c, err)
	}
	c, err := Config{TLS: true, Certificates: good}.Client()
	if err != nil || c.InsecureSkipVerify || c.RootCAs == nil || len(c.Certificates) != 1 || c.ServerName != "db.example" {
		t.Errorf("got %+v, %v", c, err)
	}
	if c, err := (Config{TLS: true, SkipVerify: true}).Client(); err != nil || !c.InsecureSkipVerify {
		t.Errorf("anybody: got %+v, %v", c, err)
	}
	for says, bad := range map[string]Config{
		"tls: true":        {Certificates: good},
		"tlsSkipVerify":    {SkipVerify: true},
		"PEM":              {TLS: true, Certificates: Certificates{CA: "x"}},
		"go together":      {TLS: true, Certificates: Certificates{ClientKey: pki.ClientKey}},
		"clientKey: tls: ": {TLS: true, Certificates: Certificates{ClientKey: pki.CA, ClientCertificate: pki.ClientCertificate}},
	} {
		if c, err := bad.Client(); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("got %+v, %v, want an error that says %q", c, err, says)
		}
	}
}
