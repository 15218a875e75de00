package ca

import (
	"crypto/tls"
	"strconv"
	"time"
)

// Config is the server side of TLS for devices and browsers: TLS 1.3, and TLS 1.2 with ECDHE and AEAD only, which stock devices
// need. A client certificate is asked for and not required, nor judged here: that is done at the login, where the reason of a
// refusal can be logged. Sessions are resumed by tickets under the keys of Tickets.
func (a *Authority) Config(protocols ...string) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,
		},
		ClientAuth:     tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.cert.Load(), nil },
		NextProtos:     protocols,
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.configs = append(a.configs, c)
	if len(a.tickets) > 0 {
		c.SetSessionTicketKeys(a.tickets)
	}
	return c
}

// Tickets has every Config, those that are in use too, make tickets under the first key and take those of all.
func (a *Authority) Tickets(keys [][32]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tickets = keys
	for _, c := range a.configs {
		c.SetSessionTicketKeys(keys)
	}
}

// ticketTurn is how long tickets are made under one key; they are taken for as long again.
const ticketTurn = 12 * time.Hour

// TicketKeys are the keys of a moment, the same for all nodes that derive alike: the one of this turn, the one before, and the next
// one's for a node whose clock is ahead. derive gives the secrets for a purpose, the one to make things with first.
func TicketKeys(derive func(purpose string) [][32]byte, now time.Time) [][32]byte {
	turn := now.Unix() / int64(ticketTurn/time.Second)
	var keys [][32]byte
	for _, t := range []int64{turn, turn - 1, turn + 1} {
		keys = append(keys, derive("tls tickets "+strconv.FormatInt(t, 10))...)
	}
	return keys
}
