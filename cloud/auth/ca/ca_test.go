package ca

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/cloud/keyring"
)

var ring = keyring.New()

func load(t *testing.T, dir string, hosts ...string) *Authority {
	t.Helper()
	a, err := Load(dir, hosts, ring)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return a
}

func TestLoadMakesAndKeeps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	first := load(t, dir, "hub.example.com", "10.1.2.3", "fd00::1")
	for _, f := range []string{CAFile, caKey, HubFile} {
		info, err := os.Stat(filepath.Join(dir, f))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", f, info.Mode(), err)
		}
	}
	again := load(t, dir, "hub.example.com", "10.1.2.3", "fd00::1")
	if !again.Certificate().Equal(first.Certificate()) {
		t.Error("second start made another certificate")
	}
	more := load(t, dir, "other.example.com")
	if more.Certificate().Equal(first.Certificate()) {
		t.Error("a new host did not make a new certificate")
	}
	if err := more.Certificate().VerifyHostname("hub.example.com"); err != nil {
		t.Errorf("an earlier host was dropped: %v", err)
	}
	if err := more.Certificate().CheckSignatureFrom(rootOf(t, first)); err != nil {
		t.Errorf("the CA did not stay: %v", err)
	}
}

func rootOf(t *testing.T, a *Authority) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(a.cert.Load().Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSuitsStockDevices checks what mbedTLS 2.4 needs: an IP address as a dNSName too, ECDSA with SHA-256, TLS 1.2.
func TestSuitsStockDevices(t *testing.T) {
	dir := t.TempDir()
	a := load(t, dir, "10.1.2.3")
	c := a.Certificate()
	names := map[string]bool{}
	for _, n := range c.DNSNames {
		names[n] = true
	}
	if !names["10.1.2.3"] || !names["localhost"] || !names["127.0.0.1"] {
		t.Errorf("dNSNames are %v", c.DNSNames)
	}
	if c.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		t.Errorf("signature is %v", c.SignatureAlgorithm)
	}
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(a.Path)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("CA file: %v", err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, host := range []string{"10.1.2.3", "localhost"} {
			handshake(t, a, &tls.Config{RootCAs: pool, ServerName: host, MinVersion: version, MaxVersion: version})
		}
	}
}

func handshake(t *testing.T, a *Authority, client *tls.Config) {
	t.Helper()
	left, right := net.Pipe()
	end := make(chan error, 1)
	go func() {
		s := tls.Server(left, a.Config())
		end <- s.Handshake()
	}()
	if err := tls.Client(right, client).Handshake(); err != nil {
		t.Errorf("client %s: %v", client.ServerName, err)
	}
	if err := <-end; err != nil {
		t.Errorf("server: %v", err)
	}
	_, _ = left.Close(), right.Close()
}

func TestLoadRefusesDamage(t *testing.T) {
	dir := t.TempDir()
	load(t, dir)
	if err := os.WriteFile(filepath.Join(dir, HubFile), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, nil, ring); !errors.Is(err, ErrFile) {
		t.Errorf("got %v, want ErrFile", err)
	}
}

// TestOperatorsCertificate: a certificate without our CA's key is somebody's own and is left as it is.
func TestOperatorsCertificate(t *testing.T) {
	dir := t.TempDir()
	first := load(t, dir)
	if err := os.Remove(filepath.Join(dir, caKey)); err != nil {
		t.Fatal(err)
	}
	a := load(t, dir, "elsewhere.example.com")
	if !a.Certificate().Equal(first.Certificate()) {
		t.Error("the operator's certificate was replaced")
	}
}
