package pgsink

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/sqlrow"
)

const (
	defaultPort  = 5432
	defaultConns = 8
)

// Connector is the kind of connector.
func Connector() rules.ConnectorKind { return sqlrow.Connector(defaultPort, defaultConns, open) }

// Conn is a pool of connections to one database.
type Conn struct{ pool *pgxpool.Pool }

var _ rules.Connection = (*Conn)(nil)

func open(c *sqlrow.Server, out rules.Outbound) (rules.Connection, error) {
	p, err := poolConfig(c, out)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), p)
	if err != nil {
		return nil, errors.New("the connection cannot be configured") // the driver's error may hold what was configured
	}
	return &Conn{pool}, nil
}

// poolConfig leaves nothing to the environment, which is the hub's and not the connector's.
func poolConfig(c *sqlrow.Server, out rules.Outbound) (*pgxpool.Config, error) {
	t, err := c.Client()
	if err != nil {
		return nil, err
	}
	if t != nil && t.ServerName == "" {
		t.ServerName = c.Host
	}
	p, err := pgxpool.ParseConfig("host=placeholder user=placeholder password=placeholder dbname=placeholder sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("the environment of the hub keeps the driver from working: %w", err)
	}
	conn := &p.ConnConfig.Config
	conn.Host, conn.Port, conn.Database, conn.User, conn.Password = c.Host, uint16(c.Port), c.Database, c.User, c.Password
	conn.TLSConfig, conn.Fallbacks, conn.ValidateConnect = t, nil, nil
	conn.DialFunc = out.Dial
	conn.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // Dial resolves it, and looks at what comes out
	conn.RuntimeParams = map[string]string{"application_name": "hawser", "timezone": "UTC", "standard_conforming_strings": "on"}
	p.MaxConns, p.MinConns = int32(c.MaxConnections), 0
	p.MaxConnIdleTime, p.MaxConnLifetime = sqlrow.IdleTime, sqlrow.LifeTime
	return p, nil
}

// on calls f with a connection of the pool, which goes when its prepared statements are not what the client takes them for.
func (c *Conn) on(ctx context.Context, f func(conn *pgx.Conn) error) error {
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if err = f(conn.Conn()); stale(err) {
		_ = conn.Conn().Close(ctx) // the pool makes another
	}
	return err
}

// Ping implements rules.Connection.
func (c *Conn) Ping(ctx context.Context) error { return classify(c.pool.Ping(ctx)) }

// Close implements rules.Connection.
func (c *Conn) Close() error {
	c.pool.Close()
	return nil
}
