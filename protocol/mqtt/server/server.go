// Package server is an MQTT engine: it keeps connections and sessions, packet ids, quality of service and
// keep-alive, and asks its Owner what all of it means: who may connect, what a publish causes and when it is
// safe, which filters are granted, what is sent to whom.
//
// What it promises:
//   - MQTT 3.1, 3.1.1 and 5.0 over TCP, TLS, WebSocket and memory; QoS 0, 1 and 2 both ways; sessions that outlive their
//     connection for as long as they may; wills with delay; shared subscriptions; of 5.0 all but server redirection.
//   - QoS 2 is exactly once for a persistent session whatever happens to its connections; with a Keeper over the process's end, too.
//   - A publish is acknowledged when the owner says so (Publish.Done), from any goroutine, and acknowledgements
//     leave in the order in which the publishes came. Acknowledgements of one commit leave in one write.
//   - A subscription is in force and its SUBACK written before the connection's next packet is handled, and
//     nothing is delivered on it before the SUBACK.
//   - One connection an identity. A newer one takes over: Disconnect of the old is called before Attached of the new.
//   - After a reconnect the messages in flight of a persistent session are sent again at once, in order, with DUP.
//   - Every queue is bounded; what closes a connection, refuses a CONNECT or drops a message is counted by cause.
//   - Costs follow events: an idle connection has no buffer, no timer of its own and, where the transport allows it, no goroutine.
//
// What it leaves to the owner: permissions, who gets a publish (Route and Send), retained messages (Retainer, RetainedStore),
// durable queues (Message.Tag, Keeper). Subscriptions and messages in flight of a persistent session live in memory; the owner
// restores them by Welcome and by what it sends in Attached.
package server

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/trie"
)

// ErrClosed is returned by Serve of a Server that was closed before.
var ErrClosed = errors.New("mqtt server: closed")

// Server serves MQTT on any number of listeners for one Owner.
type Server struct {
	cfg     Config
	owner   Owner
	log     *slog.Logger
	stats   counters
	pools   pools
	wheel   wheel
	flush   flusher
	workers workers
	terms   shared
	start   time.Time
	base    context.Context // ends when Close does; parent of what Owner.Connect gets
	cancel  context.CancelFunc
	open    atomic.Int64 // connections

	subs   trie.Tree[audience] // filters of Routed sessions, and shared subscriptions
	shards [shardCount]shard
	seed   maphash.Seed

	mu        sync.Mutex // guards the fields below
	closing   bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	wg        sync.WaitGroup // goroutines of connections; Add only under mu while not closing
}

// shardCount divides the sessions so that connects of different identities do not meet on one lock.
const shardCount = 64

type shard struct {
	mu       sync.Mutex // taken before Session.mu
	sessions map[string]*Session
}

// New returns a Server; fields of cfg that are zero get their defaults, but for those where zero has a meaning. It starts nothing.
func New(cfg Config, owner Owner, log *slog.Logger) *Server {
	s := &Server{
		cfg: cfg.withDefaults(), owner: owner, log: log, start: time.Now(), seed: maphash.MakeSeed(),
		listeners: map[net.Listener]struct{}{}, conns: map[*conn]struct{}{},
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	s.wheel.init(s.cfg)
	for i := range s.shards {
		s.shards[i].sessions = map[string]*Session{}
	}
	return s
}

func (s *Server) shard(identity string) *shard {
	return &s.shards[maphash.String(s.seed, identity)%shardCount]
}

// Session returns the session of an identity: one with a connection, or a persistent one that is kept without.
func (s *Server) Session(identity string) (*Session, bool) {
	sh := s.shard(identity)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	found, ok := sh.sessions[identity]
	return found, ok
}

// Each calls f for every session, kept ones without a connection included, until f returns false. Sessions that come or
// go meanwhile may be missed. f may call anything but Each's own shard-wide operations on the same identity are seen later.
func (s *Server) Each(f func(*Session) bool) {
	var batch []*Session
	for i := range s.shards {
		sh := &s.shards[i]
		batch = batch[:0]
		sh.mu.Lock()
		for _, one := range sh.sessions {
			batch = append(batch, one)
		}
		sh.mu.Unlock()
		for _, one := range batch {
			if !f(one) {
				return
			}
		}
	}
}

// Connections returns the number of open connections, handshakes included.
func (s *Server) Connections() int { return int(s.open.Load()) }

// Kick ends the connection of an identity at once; it reports whether there was one.
func (s *Server) Kick(identity string, why Cause) bool {
	found, ok := s.Session(identity)
	return ok && found.kick(why)
}

// Forget drops what is kept of a persistent session: at once when it has no connection, else when that ends.
func (s *Server) Forget(identity string) {
	sh := s.shard(identity)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	found, ok := sh.sessions[identity]
	if !ok {
		return
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	found.forget = true
	if found.ended {
		_, _ = found.resumeLocked()
		delete(sh.sessions, identity)
		found.dropAllLocked()
	}
}
