package kafkasink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/actionconfig"
	"github.com/hawser-iot/hawser/cloud/rules/clienttls"
)

const (
	defaultPort       = "9092"
	defaultMaxMessage = 1_000_012 // Kafka's own default of message.max.bytes
	minMaxMessage     = 1 << 10
	maxMaxMessage     = 16 << 20
	maxBrokers        = 32
)

// ConnectorConfig is a connector's configuration.
type ConnectorConfig struct {
	Brokers []string `json:"brokers"` // host or host:port, those to ask first
	clienttls.Config
	// SASL is how the hub logs in: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; "" not at all.
	SASL     string `json:"sasl,omitempty"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	ClientID string `json:"clientId,omitempty"` // "": hawser
	// TimeoutSeconds bounds one delivery, connecting included; 0: 10.
	TimeoutSeconds float64 `json:"timeoutSeconds,omitempty"`
	// MaxMessageBytes is the most that one message may have; larger ones are dead letters. 0: 1000012, which is what
	// Kafka takes unless it is told otherwise.
	MaxMessageBytes int `json:"maxMessageBytes,omitempty"`
	// CreateTopics lets the brokers make topics that are missing, if they are set so too.
	CreateTopics bool `json:"createTopics,omitempty"`
	// Version is the Kafka whose requests are the newest that are used, like 2.8, for brokers that stumble over newer ones;
	// "": whatever the brokers say that they know.
	Version string `json:"version,omitempty"`
}

// ConnectorKind is the kind of connector that Kafka actions use.
func ConnectorKind() rules.ConnectorKind {
	return rules.ConnectorKind{Secrets: append(clienttls.Secrets(), "password"), Address: []string{"brokers"}, Open: openConnector}
}

func openConnector(config json.RawMessage, out rules.Outbound) (rules.Connection, error) {
	c, err := parseConnector(config, out)
	if err != nil {
		return nil, err
	}
	return newConnection(c, out)
}

func newConnection(c ConnectorConfig, out rules.Outbound) (*Connection, error) {
	conn := &Connection{cfg: c, trouble: trouble{login: c.SASL != ""}, clients: map[profile]*kgo.Client{}}
	var err error
	if conn.timeout, err = actionconfig.Timeout(c.TimeoutSeconds); err != nil {
		return nil, err
	}
	encrypted, err := c.Client()
	if err != nil {
		return nil, err
	}
	mechanism, err := c.mechanism()
	if err != nil {
		return nil, err
	}
	conn.options = conn.baseOptions(out, encrypted)
	if mechanism != nil {
		conn.options = append(conn.options, kgo.SASL(mechanism))
	}
	if c.CreateTopics {
		conn.options = append(conn.options, kgo.AllowAutoTopicCreation())
	}
	if c.Version != "" {
		v := kversion.FromString(c.Version)
		if v == nil {
			return nil, fmt.Errorf("version: %q is no version of Kafka, like 2.8", c.Version)
		}
		conn.options = append(conn.options, kgo.MaxVersions(v))
	}
	if _, err := conn.client(profile{}); err != nil { // it connects nowhere, and says what does not fit together
		return nil, err
	}
	return conn, nil
}

func parseConnector(config json.RawMessage, out rules.Outbound) (ConnectorConfig, error) {
	var c ConnectorConfig
	if err := actionconfig.Decode(config, &c); err != nil {
		return c, err
	}
	if len(c.Brokers) == 0 || len(c.Brokers) > maxBrokers {
		return c, fmt.Errorf("brokers: 1 to %d are needed, like [\"kafka1:9092\"]", maxBrokers)
	}
	for i, b := range c.Brokers {
		host, port, err := hostPort(b)
		if err == nil {
			err = out.CheckHost(host)
		}
		if err != nil {
			return c, fmt.Errorf("brokers: %w", err)
		}
		c.Brokers[i] = net.JoinHostPort(host, port)
	}
	if c.ClientID == "" {
		c.ClientID = "hawser"
	}
	switch {
	case c.MaxMessageBytes == 0:
		c.MaxMessageBytes = defaultMaxMessage
	case c.MaxMessageBytes < minMaxMessage || c.MaxMessageBytes > maxMaxMessage:
		return c, fmt.Errorf("maxMessageBytes must be between %d and %d", minMaxMessage, maxMaxMessage)
	}
	return c, nil
}

// hostPort takes a broker's address apart and gives it the usual port when it has none.
func hostPort(s string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(s)
	if err != nil {
		host, port, err = net.SplitHostPort(net.JoinHostPort(s, defaultPort))
	}
	if err == nil && (host == "" || port == "" || strings.Contains(host, ":") && net.ParseIP(host) == nil) {
		err = fmt.Errorf("%q is no host:port", s)
	}
	return host, port, err
}

func (c ConnectorConfig) mechanism() (sasl.Mechanism, error) {
	if c.SASL == "" {
		if c.User != "" || c.Password != "" {
			return nil, errors.New("user and password need sasl: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
		}
		return nil, nil
	}
	if c.User == "" || c.Password == "" {
		return nil, errors.New("sasl needs user and password")
	}
	switch login := (scram.Auth{User: c.User, Pass: c.Password}); c.SASL {
	case "PLAIN":
		return plain.Auth{User: c.User, Pass: c.Password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return login.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return login.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("sasl: %q is none of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512", c.SASL)
}

// profile is what actions may choose differently and a client can have only one of.
type profile struct{ compression, partitioner string }

// Connection is an open connector: a client for each profile that its actions use.
type Connection struct {
	cfg     ConnectorConfig
	timeout time.Duration
	options []kgo.Opt
	trouble trouble

	mu      sync.Mutex // guards the fields below
	clients map[profile]*kgo.Client
	closed  bool
}

var _ rules.Connection = (*Connection)(nil)

// baseOptions are those of all clients. The client tries again a few times within the time of one delivery, in which it can
// keep its sequence numbers; all else is left to the rules, which know how to wait without losing the order. It is not given a
// RecordDeliveryTimeout, which counts from the message's timestamp and would be over for all that have waited: the context ends.
func (c *Connection) baseOptions(out rules.Outbound, encrypted *tls.Config) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(c.cfg.Brokers...),
		kgo.ClientID(c.cfg.ClientID),
		kgo.SoftwareNameAndVersion(software(out.UserAgent)),
		kgo.Dialer(dialer(out, encrypted, c.timeout)),
		kgo.WithHooks(&c.trouble),
		kgo.DisableClientMetrics(),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// A batch whose fate is unknown when the time is up is given back, under a new epoch of the producer: it comes
		// again whole, in its old order, and what the broker still has of the old epoch in a pipe is refused there.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.ProduceRequestTimeout(c.timeout),
		kgo.RequestTimeoutOverhead(c.timeout),
		kgo.RetryTimeout(c.timeout),
		kgo.RecordRetries(recordRetries),
		kgo.RequestRetries(recordRetries),
		kgo.UnknownTopicRetries(1),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(func(n int) time.Duration { return min(50*time.Millisecond<<min(n, 5), time.Second) }),
		kgo.ProducerBatchMaxBytes(int32(c.cfg.MaxMessageBytes)), //nolint:gosec // bounded by parseConnector
	}
}

// recordRetries is how often the client itself tries again.
const recordRetries = 4

// client returns the client of a profile, made at its first use.
func (c *Connection) client(p profile) (*kgo.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl := c.clients[p]; cl != nil || c.closed {
		if c.closed {
			return nil, fmt.Errorf("%w: %w", rules.ErrUnavailable, kgo.ErrClientClosed)
		}
		return cl, nil
	}
	opts := append([]kgo.Opt{}, c.options...)
	// A copy, as the client changes its list.
	opts = append(opts, kgo.ProducerBatchCompression(slices.Clone(codecs[p.compression])...), kgo.RecordPartitioner(partitioners[p.partitioner]()))
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	c.clients[p] = cl
	return cl, nil
}

// Ping implements rules.Connection: it logs in to a broker.
func (c *Connection) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	cl, err := c.client(profile{})
	if err != nil {
		return err
	}
	if err := cl.Ping(ctx); err != nil {
		return c.trouble.judge(err, false)
	}
	return nil
}

// Close implements rules.Connection.
func (c *Connection) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, cl := range c.clients {
		cl.Close()
	}
	c.clients = nil
	return nil
}

// dialer is the way out, with TLS on top of it.
func dialer(out rules.Outbound, encrypted *tls.Config, timeout time.Duration) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		conn, err := out.Dial(ctx, network, address)
		if err != nil || encrypted == nil {
			return conn, err
		}
		cfg := encrypted.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName, _, err = net.SplitHostPort(address)
		}
		secure := tls.Client(conn, cfg)
		if err == nil {
			err = secure.HandshakeContext(ctx)
		}
		if err != nil {
			_ = conn.Close() // the handshake's error tells
			return nil, fmt.Errorf("TLS with %s: %w", address, err)
		}
		return secure, nil
	}
}
