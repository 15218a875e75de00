package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Connectors is what rules need of the stored connectors.
type Connectors interface {
	// Handle finds a connector of a project by its id, which must be of the kind.
	Handle(project, kind, id string) (Handle, error)
	// Hold makes sure, within a transaction, that a connector is there and stays until the transaction's end.
	Hold(ctx context.Context, tx *store.Tx, id int64) error
}

// connector is Env.Connector for a project.
func (r *Rules) connector(project, kind, id string) (Handle, int64, error) {
	if r.Deps.Connectors == nil {
		return nil, 0, errors.New("this hub has no connectors")
	}
	if id == "" {
		return nil, 0, errors.New("connector: must be the id of a connector")
	}
	h, err := r.Deps.Connectors.Handle(project, kind, id)
	if err != nil {
		return nil, 0, fmt.Errorf("connector: %w", err)
	}
	n, err := strconv.ParseInt(id, 10, 64)
	return h, n, err
}

// holdConnector keeps the connector of an action from being deleted while the action is stored.
func (r *Rules) holdConnector(ctx context.Context, tx *store.Tx, field string, a Action) error {
	if a.connector == 0 {
		return nil
	}
	if err := r.Deps.Connectors.Hold(ctx, tx, a.connector); err != nil {
		return &ErrInvalid{Field: field + ".config", Reason: err.Error(), Err: err}
	}
	return nil
}

// maxUsers is how many rules ConnectorUsers names.
const maxUsers = 5

// ConnectorUsers names, within a transaction, rules that have an action which uses a connector; not all when there are many.
func (*Rules) ConnectorUsers(ctx context.Context, tx *store.Tx, id int64) (names []string, err error) {
	rows, err := tx.Query(ctx, `SELECT DISTINCT r.name FROM rule_action a JOIN rule r ON r.id = a.rule WHERE a.connector = ? AND a.connector <> 0
		ORDER BY r.name LIMIT ?`, id, maxUsers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// ConnectorKind is what a driver package offers for one kind of target: how a connector (address and credentials, kept apart from
// the rules that use it) becomes a Connection.
type ConnectorKind struct {
	// Secrets are the members of the configuration that are sealed in the store and never shown again. No other member may hold a
	// secret: Open refuses a URL with a password in it.
	Secrets []string
	// Address are the members that say which server it is: when one of them changes, secrets have to be given again, so that nobody has
	// the hub send one that it keeps to a server of his own.
	Address []string
	// Open checks a configuration, a JSON object, and makes its Connection. It connects nowhere yet.
	Open func(config json.RawMessage, out Outbound) (Connection, error)
}

// Outbound is the way to the world that connections must take: it refuses addresses that the operator has not allowed, however
// a name resolves, with an error that wraps ErrPermanent.
type Outbound struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// CheckHost is the same for a host that is an address, before anybody dials it: for a good error when a configuration is made.
	// A name is always right.
	CheckHost func(host string) error
	UserAgent string // of this hub, where a protocol has room for it
}

// Connection is an open connector: the address, the credentials and the pool of one target, shared by all actions that use it.
// It is safe for concurrent use and connects when it is needed.
type Connection interface {
	// Ping goes to the target and back in a way that proves address and credentials. Its errors are classified as those of Send.
	Ping(ctx context.Context) error
	Close() error
}

// Handle is what an action holds of a connector. The operator may change the connector at any time, so a sink asks at each Send.
type Handle interface {
	// Use calls f with the connector's connection as it is configured now, and returns f's error. The connection stays open until f
	// returns and must not be kept: what a sink derives of it (a prepared statement, a producer) it makes anew when f is given another
	// one. What f returns is also how the connector is doing: an error that wraps ErrUnavailable says that the target is not there. When
	// there is no connection f is not called, and the error wraps ErrUnavailable.
	Use(f func(c Connection) error) error
	// Info says what the connector is, for previews; it never has secrets. Nothing is told of a connector that is gone.
	Info() (name string, config json.RawMessage)
}

// Previewer is a Sink that can tell what it would send, without sending it.
type Previewer interface {
	Preview(r *Record) (Preview, error)
}

// Preview is what a sink would send for a record.
type Preview struct {
	Target    string   `json:"target"`         // where to, without credentials: a table, a topic, a URL
	Statement string   `json:"statement"`      // as it would go out: SQL, a document, a line, a body
	Args      []any    `json:"args,omitempty"` // bound parameters, in order
	Headers   []string `json:"headers,omitempty"`
}
