package mongosink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/actionconfig"
	"github.com/hawser-iot/hawser/cloud/rules/clienttls"
)

const (
	srvScheme = "mongodb+srv://"
	maxPool   = 32 // an action has one delivery at a time in each of 16 shards
)

// ConnectorConfig is a connector's configuration.
type ConnectorConfig struct {
	// URI is mongodb://host,…/?options or mongodb+srv://name/?options, without user and password; or Hosts are host or host:port.
	URI        string   `json:"uri,omitempty"`
	Hosts      []string `json:"hosts,omitempty"`
	ReplicaSet string   `json:"replicaSet,omitempty"`
	clienttls.Config
	User       string `json:"user,omitempty"`
	Password   string `json:"password,omitempty"`
	AuthSource string `json:"authSource,omitempty"` // the database that knows the user; "": admin
	// AuthMechanism is SCRAM-SHA-256, SCRAM-SHA-1, PLAIN or MONGODB-X509; "": what the server likes best.
	AuthMechanism string `json:"authMechanism,omitempty"`
	// TimeoutSeconds bounds one delivery, connecting included; 0: 10.
	TimeoutSeconds float64 `json:"timeoutSeconds,omitempty"`
}

// ConnectorKind is the kind of connector that MongoDB actions use.
func ConnectorKind() rules.ConnectorKind {
	return rules.ConnectorKind{Secrets: append(clienttls.Secrets(), "password"), Address: []string{"uri", "hosts"}, Open: openConnector}
}

func openConnector(config json.RawMessage, out rules.Outbound) (rules.Connection, error) {
	var c ConnectorConfig
	if err := actionconfig.Decode(config, &c); err != nil {
		return nil, err
	}
	conn := &Connection{cfg: c, out: out}
	var err error
	if conn.timeout, err = actionconfig.Timeout(c.TimeoutSeconds); err != nil {
		return nil, err
	}
	if conn.tls, err = c.Client(); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if strings.HasPrefix(c.URI, srvScheme) {
		return conn, nil // its hosts are asked for when they are needed
	}
	o, err := conn.options()
	if err != nil {
		return nil, err
	}
	for _, h := range o.Hosts {
		host, _, err := net.SplitHostPort(h)
		if err != nil {
			host = h
		}
		if err := out.CheckHost(host); err != nil {
			return nil, err
		}
	}
	return conn, nil
}

// check looks at what the driver does not.
func (c *ConnectorConfig) check() error {
	switch {
	case (c.URI == "") == (len(c.Hosts) == 0):
		return errors.New("either uri or hosts is needed, like \"hosts\": [\"db1:27017\"]")
	case c.URI != "" && c.ReplicaSet != "":
		return errors.New("replicaSet belongs into the uri's options, replicaSet=…")
	case !slices.Contains(mechanisms, c.AuthMechanism):
		return fmt.Errorf("authMechanism: %q is none of %s", c.AuthMechanism, strings.Join(mechanisms[1:], ", "))
	case (c.User == "") != (c.Password == "") && c.AuthMechanism != "MONGODB-X509":
		return errors.New("user and password go together")
	}
	if c.URI == "" {
		return nil
	}
	rest, ok := strings.CutPrefix(c.URI, "mongodb://")
	if !ok {
		rest, ok = strings.CutPrefix(c.URI, srvScheme)
	}
	hosts, query, _ := strings.Cut(rest, "?")
	if !ok || hosts == "" || strings.HasPrefix(hosts, "/") {
		return errors.New("uri is no mongodb:// or mongodb+srv:// URI") // it may hold a password
	}
	if strings.Contains(hosts, "@") {
		return errors.New("uri has a user or password in it: they have members of their own")
	}
	options, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("uri: its options cannot be read")
	}
	for name := range options {
		if !uriOptions[name] {
			return fmt.Errorf("uri: the option %q is not taken here", name)
		}
	}
	return nil
}

var mechanisms = []string{"", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "MONGODB-X509"}

// uriOptions are those that have no member of their own and break no promise.
var uriOptions = map[string]bool{"replicaSet": true, "directConnection": true, "loadBalanced": true, "srvServiceName": true, "srvMaxHosts": true,
	"compressors": true, "appName": true, "maxPoolSize": true, "minPoolSize": true, "maxIdleTimeMS": true, "heartbeatFrequencyMS": true, "tls": true, "ssl": true}

// options are the driver's. It does not try again by itself: the rules do, and know how to keep the order.
func (c *Connection) options() (*options.ClientOptions, error) {
	o := options.Client().SetAppName("hawser")
	if c.cfg.URI != "" {
		o.ApplyURI(c.cfg.URI)
	} else {
		o.SetHosts(c.cfg.Hosts)
		if c.cfg.ReplicaSet != "" {
			o.SetReplicaSet(c.cfg.ReplicaSet)
		}
	}
	if o.MaxPoolSize == nil {
		o.SetMaxPoolSize(maxPool)
	}
	o.SetDialer(c).SetRetryWrites(false).SetWriteConcern(writeconcern.Majority()).
		SetServerSelectionTimeout(c.timeout).SetConnectTimeout(c.timeout).SetDriverInfo(&options.DriverInfo{Name: "hawser"})
	if c.tls != nil {
		o.SetTLSConfig(c.tls)
	}
	if c.cfg.User != "" || c.cfg.AuthMechanism != "" {
		o.SetAuth(options.Credential{AuthMechanism: c.cfg.AuthMechanism, AuthSource: c.cfg.AuthSource, Username: c.cfg.User,
			Password: c.cfg.Password, PasswordSet: c.cfg.Password != ""})
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return o, nil
}

// Connection is an open connector: one client of the driver, made at its first use, with its pool.
type Connection struct {
	cfg     ConnectorConfig
	out     rules.Outbound
	tls     *tls.Config
	timeout time.Duration
	trouble trouble

	mu     sync.Mutex // guards the fields below
	mongo  *mongo.Client
	closed bool
}

var _ rules.Connection = (*Connection)(nil)

// DialContext implements options.ContextDialer by the hub's way out.
func (c *Connection) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.out.Dial(ctx, network, address)
	c.trouble.dialled(ctx, err)
	return conn, err
}

func (c *Connection) client() (*mongo.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("%w: %w", rules.ErrUnavailable, mongo.ErrClientDisconnected)
	}
	if c.mongo != nil {
		return c.mongo, nil
	}
	o, err := c.options()
	if err == nil {
		c.mongo, err = mongo.Connect(o)
	}
	if err != nil { // a name with services that cannot be resolved now
		return nil, fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
	}
	return c.mongo, nil
}

// Ping implements rules.Connection: it logs in to the primary.
func (c *Connection) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	cl, err := c.client()
	if err != nil {
		return err
	}
	if err := cl.Ping(ctx, readpref.Primary()); err != nil {
		return c.trouble.judge(err, true)
	}
	return nil
}

// Close implements rules.Connection.
func (c *Connection) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.mongo == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := c.mongo.Disconnect(ctx)
	c.mongo = nil
	if errors.Is(err, context.DeadlineExceeded) { // it has closed what was in use
		return nil
	}
	return err
}
