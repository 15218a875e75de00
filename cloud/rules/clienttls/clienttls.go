// Package clienttls is the part of a connector's configuration that says how its connections are encrypted: the same members
// for every kind of target.
//
// It promises that a configuration that it takes either verifies the server or says in so many words that it does not, and
// that its errors name the member and hold nothing secret. Who dials, and when, is the driver's.
package clienttls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Certificates say how a server is known and how the hub proves itself to it, all in PEM. The zero value trusts what the machine
// trusts.
type Certificates struct {
	CA                string `json:"ca,omitempty"`                // certificates that are trusted instead of the machine's
	ServerName        string `json:"serverName,omitempty"`        // the name in the server's certificate, if it is not the address's
	ClientCertificate string `json:"clientCertificate,omitempty"` // of the hub as a client, with its intermediates
	ClientKey         string `json:"clientKey,omitempty"`         // of ClientCertificate
}

// Secrets are the members that must not be shown.
func Secrets() []string { return []string{"clientKey"} }

// Config returns what to dial with, or says which member is wrong.
func (t Certificates) Config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("ca has no certificate in PEM")
		}
	}
	switch {
	case (t.ClientCertificate == "") != (t.ClientKey == ""):
		return nil, errors.New("clientCertificate and clientKey go together")
	case t.ClientCertificate != "":
		pair, err := tls.X509KeyPair([]byte(t.ClientCertificate), []byte(t.ClientKey))
		if err != nil {
			return nil, fmt.Errorf("clientCertificate and clientKey: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Config is for targets whose addresses do not tell whether TLS is spoken there. It is meant to be embedded; the zero value is
// no TLS.
type Config struct {
	TLS bool `json:"tls,omitempty"`
	Certificates
	SkipVerify bool `json:"tlsSkipVerify,omitempty"` // take any certificate, and with it anybody who is in between
}

// Client returns what to dial with, nil for no TLS, or says which member is wrong.
func (c Config) Client() (*tls.Config, error) {
	if !c.TLS {
		if c.Certificates != (Certificates{}) || c.SkipVerify {
			return nil, errors.New("ca, serverName, clientCertificate, clientKey and tlsSkipVerify need tls: true")
		}
		return nil, nil
	}
	t, err := c.Config()
	if err == nil {
		t.InsecureSkipVerify = c.SkipVerify //nolint:gosec // the operator has asked for it by name
	}
	return t, err
}
