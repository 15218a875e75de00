package hub

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/connector"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/cloud/rules/sink/httpsink"
	"github.com/hawser-iot/hawser/cloud/rules/sink/kafkasink"
	"github.com/hawser-iot/hawser/cloud/rules/sink/mongosink"
	"github.com/hawser-iot/hawser/cloud/rules/sink/mysqlsink"
	"github.com/hawser-iot/hawser/cloud/rules/sink/natssink"
	"github.com/hawser-iot/hawser/cloud/rules/sink/pgsink"
	"github.com/hawser-iot/hawser/cloud/rules/sink/republish"
	"github.com/hawser-iot/hawser/cloud/rules/sink/tsdbsink"
	"github.com/hawser-iot/hawser/cloud/store"
)

// outbound is the way to the world for what operators write into rules and connectors.
func (h *Hub) outbound() rules.Outbound {
	return outbound.New(outbound.Options{AllowLocal: h.cfg.RuleAllowLocal, UserAgent: "hawser-hub/" + h.version})
}

// sinks are the kinds of action that rules may have.
func (h *Hub) sinks() map[string]rules.Factory {
	return map[string]rules.Factory{
		httpsink.Kind:  httpsink.New(h.outbound()),
		republish.Kind: republish.New,
		tsdbsink.Kind:  tsdbsink.New,
		kafkasink.Kind: kafkasink.New,
		mongosink.Kind: mongosink.New,
		mysqlsink.Kind: mysqlsink.New,
		natssink.Kind:  natssink.New,
		pgsink.Kind:    pgsink.New,
	}
}

// connectorKinds are the kinds of connector that there may be.
func connectorKinds() map[string]rules.ConnectorKind {
	return map[string]rules.ConnectorKind{
		httpsink.Kind:  httpsink.Connector(),
		tsdbsink.Kind:  tsdbsink.Connector(),
		kafkasink.Kind: kafkasink.ConnectorKind(),
		mongosink.Kind: mongosink.ConnectorKind(),
		mysqlsink.Kind: mysqlsink.Connector(),
		natssink.Kind:  natssink.ConnectorKind(),
		pgsink.Kind:    pgsink.Connector(),
	}
}

// newConnectors opens the connectors; other nodes are told of their changes.
func (h *Hub) newConnectors(ctx context.Context) (*connector.Connectors, error) {
	c, err := connector.New(ctx, connector.DefaultConfig(), connector.Deps{Store: h.db, IDs: h.numbers.IDs, Kinds: connectorKinds(), Out: h.outbound(),
		Users: func(ctx context.Context, tx *store.Tx, id int64) ([]string, error) {
			return h.rules.ConnectorUsers(ctx, tx, id)
		}, Changed: h.changes.localConnector, Log: h.log.With("part", "connectors")})
	h.changes.connectors = c
	return c, err
}
