package hub

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/account/oidc"
	"github.com/hawser-iot/hawser/cloud/api"
	"github.com/hawser-iot/hawser/cloud/store"
)

// accounts is the accounts' share of the configuration.
func (c *Config) accounts() account.Config {
	a := account.DefaultConfig()
	a.SessionIdle, a.SessionLife = c.SessionIdle, c.SessionLife
	a.AuditAge, a.AuditRows = c.AuditAge, int64(c.AuditRows)
	return a
}

func (c *Config) validateAccounts() error {
	switch {
	case c.SessionIdle < time.Minute:
		return fmt.Errorf("--session-idle %v: must be at least 1m", c.SessionIdle)
	case c.SessionLife < c.SessionIdle:
		return fmt.Errorf("--session-life %v: is less than --session-idle %v", c.SessionLife, c.SessionIdle)
	case c.AuditAge < 0:
		return fmt.Errorf("--audit-age %v: must not be negative; 0 keeps the log for ever", c.AuditAge)
	case c.AuditRows < 0:
		return fmt.Errorf("--audit-rows %d: must not be negative; 0 is no limit", c.AuditRows)
	case c.OIDCIssuer == "" && (c.OIDCClientID != "" || c.OIDCRole != ""):
		return errors.New("--oidc-issuer: is missing beside the other OpenID Connect settings")
	case c.OIDCIssuer == "":
		return nil
	case c.OIDCClientID == "":
		return errors.New("--oidc-client-id: must be given with --oidc-issuer")
	case c.OIDCRole != "" && !account.Role(c.OIDCRole).Valid():
		return fmt.Errorf("--oidc-role %q: must be owner, admin, operator, engineer or viewer; empty makes no users", c.OIDCRole)
	}
	for _, u := range []struct{ flag, value string }{{"oidc-issuer", c.OIDCIssuer}, {"oidc-redirect", c.OIDCRedirect}} {
		parsed, err := url.Parse(u.value)
		if u.value != "" && (err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https") {
			return fmt.Errorf("--%s %q: must be a URL", u.flag, u.value)
		}
	}
	return nil
}

// quota is the projects' quotas as the registry asks for them.
func (h *Hub) quota(ctx context.Context, tx *store.Tx, project, kind string, n int64) error {
	return h.accounts.Reserve(ctx, tx, project, account.QuotaKind(kind), n)
}

func (h *Hub) ruleQuota(ctx context.Context, tx *store.Tx, project string, n int64) error {
	return h.accounts.Reserve(ctx, tx, project, account.QuotaRules, n)
}

// oidc is the identity provider, nil when there is none.
func (h *Hub) oidc() api.OIDC {
	c := h.cfg
	if c.OIDCIssuer == "" {
		return nil
	}
	redirect := c.OIDCRedirect
	if redirect == "" {
		redirect = h.deviceBaseURL() + "/v1/login/oidc/callback"
	}
	return oidc.New(oidc.Config{Issuer: c.OIDCIssuer, ClientID: c.OIDCClientID, ClientSecret: c.OIDCClientSecret, Redirect: redirect,
		Auto: account.AutoCreate{Project: c.OIDCProject, Role: account.Role(c.OIDCRole)}})
}
