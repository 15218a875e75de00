package api

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// Accounts is all that the API needs of the accounts.
type Accounts interface {
	Logins
	Self
	Keys
	Users
	Projects
	Audit
}

var _ Accounts = (*account.Accounts)(nil)

// Services are what the API is a face of. All but OIDC must be given.
type Services struct {
	Products Products
	Devices  Devices
	Groups   Groups
	Catalog  Catalog
	Accounts Accounts
	Shadows  Shadows
	Things   Things
	Topology Topology
	Sender   Sender
	Scripts  Scripts
	Rules    Rules
	// Connectors are what rules deliver through.
	Connectors Connectors
	CAs        CAs
	Feed       Feed
	Files      Files
	OTA        OTA
	Releases   Releases
	Jobs       Jobs
	Messages   Messages
	History    History
	Alarms     Alarms
	Answers    Answers
	Agents     Agents
	// AgentConfigs are what agents are to work with.
	AgentConfigs AgentConfigs
	Metrics      prometheus.Registerer // may be nil
	// OIDC is the identity provider that users may log in through; nil for none.
	OIDC OIDC
	// Info says what this hub is.
	Info func(context.Context) apitype.Info
}
