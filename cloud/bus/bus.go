// Package bus carries what nodes of a hub tell each other while they live: downlinks to the node that holds a session,
// presence, invalidations, wake-ups. It is NATS with core subjects only; without a URL the server runs inside the process,
// reached through memory and with no TCP port, so that one hub alone goes the same way as a hundred.
//
// It promises very little, on purpose: a message reaches the subscribers that are connected at that moment, at most once,
// in order between one publisher and one subscriber. No promise of the hub rests on it; what must not be lost is in the
// store before it is announced here, and whoever waits for a wake-up also looks by himself now and then.
//
//   - Publish does not wait. While the connection to a remote server is down it fails with ErrUnavailable instead of
//     buffering: a routed message that arrives a minute late helps nobody.
//   - Each subscription has one goroutine and a bounded queue of PendingMax messages. A handler that does not keep up loses
//     the newest messages; they are counted (Stats) and logged once until it has caught up.
//   - A lost connection to a remote server is taken up again for ever, with jitter; subscriptions come back by themselves.
//
// Why not JetStream: measured per queued message and per consumer it costs many times what a row in the store costs, and
// its syncing is one switch for the whole server; queues of devices are rows instead.
//
// Close ends the client's goroutines and the embedded server's. NATS keeps none of them alive afterwards, but ends some of
// its own a moment after its Shutdown has returned.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// PendingMax is how many messages may wait for one subscription's handler.
const PendingMax = 1 << 16

// startTimeout bounds the start of the embedded server and the first connection to a remote one; closeTimeout how long
// Close waits for messages in flight.
const (
	startTimeout = 20 * time.Second
	closeTimeout = 2 * time.Second
)

var (
	// ErrUnavailable: the bus cannot be reached now. Nothing was sent.
	ErrUnavailable = errors.New("bus: unavailable")
	// ErrNoResponders: nobody subscribes to the subject of a request.
	ErrNoResponders = errors.New("bus: no responders")
	// ErrTooLarge: the message is larger than the server takes, 1 MiB for the embedded one.
	ErrTooLarge = errors.New("bus: message too large")
	// ErrClosed: the bus was closed.
	ErrClosed = errors.New("bus: closed")
)

// Config says which bus.
type Config struct {
	// URL is a NATS server or a comma-separated list of a cluster's, nats://… or tls://…; empty runs a server inside the
	// process.
	URL string
	// Name of this node, seen in the server's monitoring.
	Name string
}

// Stats are counters since Open.
type Stats struct {
	Dropped    uint64 // messages that slow handlers lost
	Reconnects uint64
}

// Bus is a connection to the bus. It is safe for concurrent use.
type Bus struct {
	conn   *nats.Conn
	server *server.Server // nil with a remote bus
	log    *slog.Logger
	ended  chan struct{} // closed when conn is

	slow    atomic.Bool // a slow handler has been told of
	dropped atomic.Uint64
	close   sync.Once
}

// Open starts the embedded server or connects to a remote one; it fails when that does not answer within 20 s.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Bus, error) {
	b := &Bus{log: log, ended: make(chan struct{})}
	options := []nats.Option{nats.Name(cfg.Name), nats.Timeout(startTimeout), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2), nats.ErrorHandler(b.onError),
		nats.DisconnectErrHandler(b.onDisconnect), nats.ReconnectHandler(b.onReconnect),
		nats.ClosedHandler(func(*nats.Conn) { close(b.ended) })}
	if cfg.URL == "" {
		if err := b.embed(cfg.Name); err != nil {
			return nil, err
		}
		options = append(options, nats.InProcessServer(b.server))
	}
	if err := ctx.Err(); err != nil {
		b.stopServer()
		return nil, err
	}
	var err error
	if b.conn, err = nats.Connect(cfg.URL, options...); err != nil {
		b.stopServer()
		return nil, fmt.Errorf("connect to NATS%s: %w: check that it runs and that the URL is right: %w", redacted(cfg.URL), ErrUnavailable, err)
	}
	return b, nil
}

// redacted returns the URL for messages, without its password.
func redacted(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return " at " + u.Redacted()
}

// embed starts the server inside the process.
func (b *Bus) embed(name string) error {
	s, err := server.NewServer(&server.Options{ServerName: name, DontListen: true, NoSigs: true, NoLog: true, NoSystemAccount: true})
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	s.Start()
	b.server = s
	if !s.ReadyForConnections(startTimeout) {
		b.stopServer()
		return fmt.Errorf("embedded NATS: not ready after %v: %w", startTimeout, ErrUnavailable)
	}
	return nil
}

func (b *Bus) stopServer() {
	if b.server != nil {
		b.server.Shutdown()
		b.server.WaitForShutdown()
	}
}

func (b *Bus) onError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrSlowConsumer) {
		b.log.Warn("bus error", "err", err)
		return
	}
	b.dropped.Add(1)
	if b.slow.CompareAndSwap(false, true) {
		b.log.Warn("bus handler is too slow; its newest messages are dropped", "subject", sub.Subject)
	}
}

func (b *Bus) onDisconnect(_ *nats.Conn, err error) {
	if err != nil {
		b.log.Warn("bus connection lost; connecting again", "err", err)
	}
}

func (b *Bus) onReconnect(c *nats.Conn) {
	b.log.Info("bus connected again", "server", c.ConnectedUrlRedacted())
}

// Publish sends data to whoever subscribes to subject now. It does not wait, and data may be reused when it returns.
func (b *Bus) Publish(subject string, data []byte) error {
	if err := b.conn.Publish(subject, data); err != nil {
		return fmt.Errorf("publish %s: %w", subject, translate(err))
	}
	return nil
}

// Subscribe calls handler for each message on subject ('*' stands for one token, '>' at the end for the rest), one after the
// other, on the subscription's goroutine. What the handler returns answers a request; nil does not answer, and is right for
// messages that were published. The handler owns data. After unsubscribe has returned, at most the call that is running
// goes on, and requests find no responder here.
func (b *Bus) Subscribe(subject string, handler func(subject string, data []byte) (reply []byte)) (unsubscribe func(), err error) {
	sub, err := b.conn.Subscribe(subject, func(m *nats.Msg) {
		b.slow.Store(false)
		reply := handler(m.Subject, m.Data)
		if reply == nil || m.Reply == "" {
			return
		}
		if err := m.Respond(reply); err != nil {
			b.log.Warn("bus reply not sent", "subject", m.Subject, "err", err)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe %s: %w", subject, translate(err))
	}
	if err := sub.SetPendingLimits(PendingMax, -1); err != nil {
		return nil, fmt.Errorf("subscribe %s: %w", subject, translate(err))
	}
	if err := b.conn.FlushTimeout(startTimeout); err != nil { // messages published after Subscribe returns are received
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("subscribe %s: %w", subject, translate(err))
	}
	return func() {
		// Told to the server before it returns: a request that comes later must not be held for nobody. It fails only when
		// the subscription or the connection is gone already.
		if sub.Unsubscribe() == nil {
			_ = b.conn.FlushTimeout(closeTimeout)
		}
	}, nil
}

// Request publishes data and returns the first answer. ErrNoResponders comes at once; a subscriber that does not answer
// holds it until ctx ends, which should have a deadline.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	m, err := b.conn.RequestWithContext(ctx, subject, data)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", subject, translate(err))
	}
	return m.Data, nil
}

// translate turns NATS's errors into the package's.
func translate(err error) error {
	for _, t := range []struct{ from, to error }{
		{nats.ErrNoResponders, ErrNoResponders}, {nats.ErrMaxPayload, ErrTooLarge}, {nats.ErrConnectionClosed, ErrClosed},
		{nats.ErrConnectionDraining, ErrClosed}, {nats.ErrReconnectBufExceeded, ErrUnavailable},
		{nats.ErrConnectionReconnecting, ErrUnavailable}, {nats.ErrDisconnected, ErrUnavailable}, {nats.ErrStaleConnection, ErrUnavailable},
	} {
		if errors.Is(err, t.from) {
			return fmt.Errorf("%w: %w", t.to, err)
		}
	}
	return err
}

// Stats returns the counters.
func (b *Bus) Stats() Stats {
	return Stats{Dropped: b.dropped.Load(), Reconnects: b.conn.Stats().Reconnects}
}

// Subscriptions is how many there are of this node's.
func (b *Bus) Subscriptions() int { return b.conn.NumSubscriptions() }

// Close lets handlers finish what has arrived, for 2 s at most, then ends the connection and the embedded server.
func (b *Bus) Close() error {
	var err error
	b.close.Do(func() {
		if err = b.conn.Drain(); err == nil {
			select {
			case <-b.ended:
			case <-time.After(closeTimeout):
			}
		}
		b.conn.Close()
		b.stopServer()
		if errors.Is(err, nats.ErrConnectionReconnecting) {
			err = nil // nothing to drain
		}
	})
	return err
}
