package harness

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// PKI is an authority of its own with a server's certificate for this machine and a client's.
type PKI struct {
	CA                           string // PEM
	Pool                         *x509.CertPool
	Server                       tls.Certificate
	ServerCertificate, ServerKey string // PEM, the same
	ClientCertificate, ClientKey string // PEM
}

// NewPKI makes one, good for a day.
func NewPKI(e Env) *PKI {
	e.Helper()
	p := &PKI{Pool: x509.NewCertPool()}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	caKey := newKey(e)
	p.CA = issue(e, ca, ca, caKey.Public(), caKey)
	p.Pool.AppendCertsFromPEM([]byte(p.CA))
	leaf := func(serial int64, name string, use x509.ExtKeyUsage) (certificate, key string) {
		k := newKey(e)
		t := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{use}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			e.Fatalf("key: %v", err)
		}
		return issue(e, t, ca, k.Public(), caKey), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	p.ServerCertificate, p.ServerKey = leaf(2, "test server", x509.ExtKeyUsageServerAuth)
	p.ClientCertificate, p.ClientKey = leaf(3, "test client", x509.ExtKeyUsageClientAuth)
	var err error
	if p.Server, err = tls.X509KeyPair([]byte(p.ServerCertificate), []byte(p.ServerKey)); err != nil {
		e.Fatalf("server's certificate: %v", err)
	}
	return p
}

func newKey(e Env) *ecdsa.PrivateKey {
	e.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		e.Fatalf("key: %v", err)
	}
	return k
}

func issue(e Env, t, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) string {
	e.Helper()
	t.NotBefore, t.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, key)
	if err != nil {
		e.Fatalf("certificate: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
