package link

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// TLS says whom to trust on tls:// and wss:// addresses. Its zero value trusts
// the system's certificate authorities.
type TLS struct {
	// CA holds one or more PEM certificates that replace the system's authorities.
	CA []byte
	// Pins are SHA-256 digests of the SubjectPublicKeyInfo of acceptable leaf
	// certificates. With pins and no CA the pin alone decides: no chain and no
	// host name is checked. With both, both must fit.
	Pins [][]byte
	// ServerName replaces the address's host in the check of the certificate.
	ServerName string
	// Now is the time that certificates are judged by; nil: the machine's clock.
	Now func() time.Time
}

var errPin = errors.New("link: the hub's certificate has none of the pinned keys")

// Config returns the crypto/tls form of t, for other connections to the same hub.
func (t TLS) Config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, Time: t.Now}
	if len(t.CA) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(t.CA) {
			return nil, errors.New("link: the CA holds no PEM certificate")
		}
		cfg.RootCAs = pool
	}
	if len(t.Pins) == 0 {
		return cfg, nil
	}
	for _, p := range t.Pins {
		if len(p) != sha256.Size {
			return nil, fmt.Errorf("link: a pin has %d bytes, want the %d of SHA-256", len(p), sha256.Size)
		}
	}
	// The pin replaces the chain only when no CA was named.
	cfg.InsecureSkipVerify = len(t.CA) == 0
	cfg.VerifyConnection = t.verifyPin
	return cfg, nil
}

// verifyPin runs for resumed sessions too, which VerifyPeerCertificate does not.
func (t TLS) verifyPin(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errPin
	}
	sum := sha256.Sum256(cs.PeerCertificates[0].RawSubjectPublicKeyInfo)
	for _, p := range t.Pins {
		if bytes.Equal(p, sum[:]) {
			return nil
		}
	}
	return errPin
}
