// Package server is an MQTT engine: it keeps connections and sessions and speaks the protocol, and asks its
// Owner what all of it means.
package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
)

// Server serves MQTT on any number of listeners for one Owner.
type Server struct {
	cfg   Config
	owner Owner
	log   *slog.Logger
}

// New returns a Server; fields of cfg that are zero get their defaults. It starts nothing.
func New(cfg Config, owner Owner, log *slog.Logger) *Server {
	return &Server{cfg: cfg.withDefaults(), owner: owner, log: log}
}

// Serve accepts connections from ln until ctx ends or the server is closed, and closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener, transport string) error { return nil }

// WebSocket returns a handler that upgrades to MQTT over WebSocket.
func (s *Server) WebSocket() http.Handler { return nil }

// Session returns the session of an identity, offline persistent ones included.
func (s *Server) Session(identity string) (*Session, bool) { return nil, false }

// Each calls f for every session until it returns false.
func (s *Server) Each(f func(*Session) bool) {}

// Connections returns the number of open connections.
func (s *Server) Connections() int { return 0 }

// Kick ends the connection of an identity; it reports whether there was one.
func (s *Server) Kick(identity string, why Cause) bool { return false }

// Forget drops what is kept of a persistent session.
func (s *Server) Forget(identity string) {}

// Close stops accepting, lets acknowledgements in hand finish and closes all connections.
func (s *Server) Close(ctx context.Context) error { return nil }

// Stats returns the counters.
func (s *Server) Stats() Stats { return Stats{} }

// Session is one identity's attachment: from CONNECT to the end of the connection.
type Session struct{}

// Identity is what the owner named it.
func (s *Session) Identity() string { return "" }

// Data is the owner's own, from Welcome.
func (s *Session) Data() any { return nil }

// Clean reports whether the session ends with its connection.
func (s *Session) Clean() bool { return false }

// Remote is the peer's address.
func (s *Session) Remote() string { return "" }

// Online reports whether the session has a connection.
func (s *Session) Online() bool { return false }

// Subscriptions returns the session's filters.
func (s *Session) Subscriptions() []Subscription { return nil }

// Subscribed returns the highest granted QoS of the filters that match topic.
func (s *Session) Subscribed(topic string) (qos byte, ok bool) { return 0, false }

// Send queues m for the client.
func (s *Session) Send(m Message) error { return ErrOffline }

// Publish is a message from a client, and the token that acknowledges it.
type Publish struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retain   bool
	Dup      bool
	PacketID uint16
}

// Done ends the handling of p.
func (p *Publish) Done(err error) {}

// MemListener is a net.Listener in memory.
type MemListener struct{}

// NewMemListener returns a listener whose connections are made by Dial.
func NewMemListener() *MemListener { return &MemListener{} }

// Accept implements net.Listener.
func (l *MemListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }

// Close implements net.Listener.
func (l *MemListener) Close() error { return nil }

// Addr implements net.Listener.
func (l *MemListener) Addr() net.Addr { return nil }

// Dial connects to the listener.
func (l *MemListener) Dial() (net.Conn, error) { return nil, net.ErrClosed }
