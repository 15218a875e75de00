package server

import "crypto/x509"

// Chain is the verified certificate chain of the client, its own certificate first; nil when it presented none, or when the listener
// does not verify them (tls.Config.ClientAuth). It works on TLS and on WebSocket over TLS alike.
func (c *Connect) Chain() []*x509.Certificate {
	if c.TLS == nil || len(c.TLS.VerifiedChains) == 0 {
		return nil
	}
	return c.TLS.VerifiedChains[0]
}
