// Package console is the hub's web console: a door for people with a browser.
//
// It serves the built pages of web/ (embedded from dist, which is built by `make console` and committed, so that Go alone builds the hub) below
// /console/, and nothing else: what the pages show and change goes through the API, with the session that a login leaves in a cookie. A page of the console is
// answered for every path below it that is no file, so that a link into the console can be opened, kept and sent. Scripts and styles are files of
// this hub with a hash in their name; no inline script is allowed by the policy that goes with each page.
package console

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

// Base is the path that everything of the console is below.
const Base = "/console/"

// State is what a browser needs to know before anybody has logged in.
type State struct {
	// SetUp is a hub without users: the first is made with the owner's API key.
	SetUp bool `json:"setUp"`
	// OIDC tells that there is an identity provider to log in through.
	OIDC bool `json:"oidc"`
	// HTTPS is the port of the hub's own TLS door, 0 for none.
	HTTPS int `json:"https"`
	// Version is the hub's: a page that was loaded from another one loads itself again.
	Version string `json:"version"`
}

// Console is an http.Handler for everything below Base.
type Console struct {
	state func(context.Context) (State, error)
	files map[string]*asset
	index []byte // with noncePlace where the nonce of an answer goes
	done  <-chan struct{}
	alive chan struct{} // a place for each stream of /console/alive
	log   *slog.Logger
}

var _ http.Handler = (*Console)(nil)

// noncePlace stands in the built index.html where the nonce of the answer goes.
const noncePlace = "__NONCE__"

// New returns a Console that asks state at each request for it, and whose streams end when done is closed, which is when the hub stops. The error is
// a damaged build of the pages.
func New(state func(context.Context) (State, error), done <-chan struct{}, log *slog.Logger) (*Console, error) {
	files, index, err := load(dist)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return &Console{state: state, files: files, index: index, done: done, alive: make(chan struct{}, maxAlive), log: log}, nil
}

// ServeHTTP answers a file, the state, or for every other path the page that finds out by itself what it is about.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only to be read", http.StatusMethodNotAllowed)
		return
	}
	common(w.Header())
	name := strings.TrimPrefix(r.URL.Path, Base)
	if a, ok := c.files[name]; ok {
		a.serve(w, r)
		return
	}
	switch {
	case name == "state":
		c.serveState(w, r)
	case name == "alive":
		c.serveAlive(w, r)
	case strings.HasPrefix(name, assetFolder):
		// A page that is older than this hub asks for what has gone: it must not be told that a page is a script.
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "not of this version", http.StatusNotFound)
	default:
		c.servePage(w, r)
	}
}

func (c *Console) servePage(w http.ResponseWriter, r *http.Request) {
	nonce := rand.Text()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store") // it carries a nonce
	h.Set("Content-Security-Policy", policy(nonce))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(bytes.ReplaceAll(c.index, []byte(noncePlace), []byte(nonce))) // the reader may have gone
}

func (c *Console) serveState(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	s, err := c.state(r.Context())
	if err != nil {
		c.log.Error("state for the console", "err", err)
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s)
}

// common are the headers that go with every answer.
func common(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
}

// policy lets a page have what this hub serves, and nothing from elsewhere. Styles that the page's own script makes carry the nonce; scripts are
// files, always.
func policy(nonce string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-" + nonce + "'; img-src 'self' data: blob:; font-src 'self'; " +
		"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
