package stock

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestTLS: old TLS libraries in devices fail on Ed25519 leaves, on TLS 1.3 only, on critical name constraints and on addresses that are
// no dNSName.
func TestTLS(t *testing.T) {
	hub, _ := start(t, 0, nil, "--tls-hosts", "iot.example.com,192.0.2.7")
	for name, addr := range map[string]string{"https": hub.HTTPS, "mqtts": hub.MQTTS} {
		for _, host := range []string{"iot.example.com", "localhost"} {
			conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots(t, hub), ServerName: host, MaxVersion: tls.VersionTLS12,
				CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}})
			if err != nil {
				t.Fatalf("%s as %s: %v", name, host, err)
			}
			chain := conn.ConnectionState().PeerCertificates
			_ = conn.Close()
			if !slices.Contains(chain[0].DNSNames, "192.0.2.7") {
				t.Errorf("%s: the address is no dNSName: %v", name, chain[0].DNSNames)
			}
			for _, cert := range chain {
				checkCertificate(t, name, cert)
			}
		}
	}
}

func checkCertificate(t *testing.T, name string, cert *x509.Certificate) {
	t.Helper()
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve.Params().Name != "P-256" {
			t.Errorf("%s: curve %s", name, key.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			t.Errorf("%s: RSA of %d bits", name, key.N.BitLen())
		}
	default:
		t.Errorf("%s: a key of type %T", name, key)
	}
	if alg := cert.SignatureAlgorithm; alg != x509.ECDSAWithSHA256 && alg != x509.SHA256WithRSA {
		t.Errorf("%s: signed with %v", name, alg)
	}
	if cert.PermittedDNSDomainsCritical {
		t.Errorf("%s: critical name constraints", name)
	}
}

// TestOneListener: devices have one host and one port for all that they do over HTTP.
func TestOneListener(t *testing.T) {
	hub, devices := start(t, 1, nil)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(t, hub), ServerName: "localhost"}}}
	defer client.CloseIdleConnections()
	for path, want := range map[string]int{"/v1/info": 401, "/nonce?device=" + devices[0].ClientID(): 200, "/openapi.yaml": 200, "/healthz": 200} {
		res, err := client.Get("https://" + hub.HTTPS + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	for _, path := range []string{"/mqtt", "/"} {
		c := dial(t, hub, true)
		c.send("GET %s HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", path)
		line, err := c.r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 101 ") {
			t.Errorf("upgrade of %s: %q, %v", path, line, err)
		}
	}
}

// refused is the CONNACK's code of a login that is not let in.
func refused(t *testing.T, hub *harness.Hub, clientID, user, password string) byte {
	t.Helper()
	c := dialMQTT(t, hub)
	b := append(text("MQTT"), 4, 0xC2, 0, 240)
	c.write(0x10, append(append(append(b, text(clientID)...), text(user)...), text(password)...))
	return c.packet(0x20).body[1]
}
