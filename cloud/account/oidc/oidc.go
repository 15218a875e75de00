// Package oidc lets users in through an OpenID Connect provider: authorization code with PKCE, state and nonce.
//
// It promises that Claims were signed by the provider, for this client, for the login that the nonce belongs to. It keeps
// nothing: the flow's state is the accounts' business, and so is who the claims are. The provider is looked up when it
// is needed first, so that a hub starts without it.
package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/hawser-iot/hawser/cloud/account"
)

// Config is one provider.
type Config struct {
	Issuer       string // as in its tokens; its document is at Issuer/.well-known/openid-configuration
	ClientID     string
	ClientSecret string // "" for a public client
	Redirect     string // of this hub: …/v1/login/oidc/callback
	Auto         account.AutoCreate
}

// timeout bounds each question to the provider.
const timeout = 10 * time.Second

// Provider is safe for concurrent use.
type Provider struct {
	cfg    Config
	client *http.Client

	mu       sync.Mutex // guards the fields below
	verifier *oidc.IDTokenVerifier
	oauth    *oauth2.Config
}

// New returns the Provider of cfg. It asks nobody yet.
func New(cfg Config) *Provider {
	return &Provider{cfg: cfg, client: &http.Client{Timeout: timeout}}
}

// AutoCreate says what becomes of somebody whom the hub does not know.
func (p *Provider) AutoCreate() account.AutoCreate { return p.cfg.Auto }

// discover reads the provider's document, once it can be had.
func (p *Provider) discover(ctx context.Context) (*oauth2.Config, *oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.oauth != nil {
		return p.oauth, p.verifier, nil
	}
	// Without the request's end: the provider's keys are fetched again with it later.
	ctx = oidc.ClientContext(context.WithoutCancel(ctx), p.client)
	found, err := oidc.NewProvider(ctx, p.cfg.Issuer)
	if err != nil {
		return nil, nil, fmt.Errorf("oidc: ask provider %s: %w", p.cfg.Issuer, err)
	}
	p.verifier = found.Verifier(&oidc.Config{ClientID: p.cfg.ClientID})
	p.oauth = &oauth2.Config{ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, RedirectURL: p.cfg.Redirect,
		Endpoint: found.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "email", "profile"}}
	return p.oauth, p.verifier, nil
}

// URL is where the user logs in.
func (p *Provider) URL(ctx context.Context, state, nonce, verifier string) (string, error) {
	oauth, _, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return oauth.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), nil
}

// Exchange gets the token for the code that the provider sent back, and verifies it.
func (p *Provider) Exchange(ctx context.Context, code, nonce, verifier string) (c account.Claims, err error) {
	oauth, verify, err := p.discover(ctx)
	if err != nil {
		return c, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := oauth.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return c, fmt.Errorf("oidc: exchange the code: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return c, errors.New("oidc: the provider sent no id_token")
	}
	id, err := verify.Verify(ctx, raw)
	if err != nil {
		return c, fmt.Errorf("oidc: verify the id_token: %w", err)
	}
	if nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return c, errors.New("oidc: the id_token is of another login")
	}
	var more struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
		Name     string `json:"name"`
	}
	if err := id.Claims(&more); err != nil {
		return c, fmt.Errorf("oidc: read the id_token: %w", err)
	}
	c = account.Claims{Issuer: id.Issuer, Subject: id.Subject, Name: more.Name}
	if more.Verified {
		c.Email = more.Email
	}
	return c, nil
}
