package mysqlsink

import (
	"context"
	"database/sql"
	"net"
	"strconv"

	"github.com/go-sql-driver/mysql"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/sqlrow"
)

const (
	defaultPort  = 3306
	defaultConns = 4 // more get into each other's way in the server: of rows from 8, MariaDB takes twice the CPU
)

// Connector is the kind of connector.
func Connector() rules.ConnectorKind { return sqlrow.Connector(defaultPort, defaultConns, open) }

// Conn is a pool of connections to one database.
type Conn struct {
	db       *sql.DB
	database string
}

var _ rules.Connection = (*Conn)(nil)

// quiet is a logger for a driver that would write to standard error.
type quiet struct{}

func (quiet) Print(...any) {}

func open(c *sqlrow.Server, out rules.Outbound) (rules.Connection, error) {
	t, err := c.Client()
	if err != nil {
		return nil, err
	}
	m := mysql.NewConfig()
	m.Net, m.Addr, m.DialFunc = "tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), out.Dial
	m.User, m.Passwd, m.DBName, m.TLS = c.User, c.Password, c.Database, t
	m.MaxAllowedPacket = 0 // as the server says
	m.ConnectionAttributes = "program_name:hawser"
	m.Logger = quiet{}
	// Times are in UTC whatever the server's zone is, and what does not fit a column is refused, not cut.
	m.Params = map[string]string{"time_zone": "'+00:00'", "sql_mode": "CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"}
	connector, err := mysql.NewConnector(m)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(c.MaxConnections)
	db.SetMaxIdleConns(c.MaxConnections)
	db.SetConnMaxIdleTime(sqlrow.IdleTime)
	db.SetConnMaxLifetime(sqlrow.LifeTime)
	return &Conn{db: db, database: c.Database}, nil
}

// Ping implements rules.Connection.
func (c *Conn) Ping(ctx context.Context) error { return classify(c.db.PingContext(ctx)) }

// Close implements rules.Connection.
func (c *Conn) Close() error { return c.db.Close() }
