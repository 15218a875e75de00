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
	Accounts Accounts
	Shadows  Shadows
	Things   Things
	Sender   Sender
	Rules    Rules
	CAs      CAs
	Feed     Feed
	Jobs     Jobs
	Answers  Answers
	Metrics  prometheus.Registerer // may be nil
	// OIDC is the identity provider that users may log in through; nil for none.
	OIDC OIDC
	// Info says what this hub is.
	Info func(context.Context) apitype.Info
}
