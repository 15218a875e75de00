package hub

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/broker"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
)

const revokeSubject = "hawser.trust.revoked"

// missedPoll is how often a node looks for revocations that it was not told of.
const missedPoll = 15 * time.Second

// trust ends the sessions of revoked certificates on every node: told at once by the bus, and, should a note be lost, found in the
// store.
type trust struct {
	node        string
	bus         *bus.Bus
	authorities *authority.Authorities
	broker      *broker.Broker
	log         *slog.Logger

	// deleted holds ids of devices that were deleted, whose certificates are still to be revoked. When it is full they are not, and
	// only missing in the revocation list: the hub itself lets nobody in for a device that is not there.
	deleted chan int64
}

// follow has certificates end with their devices.
func (t *trust) follow(reg *registry.Registry) {
	t.deleted = make(chan int64, 1024)
	reg.Watch(func(c registry.Change) {
		if c.Kind != registry.DeviceDeleted {
			return
		}
		select {
		case t.deleted <- c.DeviceID:
		default:
		}
	})
}

// revokeNote is a revocation on the bus.
type revokeNote struct {
	Node string
	authority.Revocation
}

// Run watches until ctx ends.
func (t *trust) Run(ctx context.Context) error {
	t.authorities.Watch(t.local)
	stop, err := t.bus.Subscribe(revokeSubject, t.remote)
	if err != nil {
		return err
	}
	defer stop()
	ticker := time.NewTicker(missedPoll)
	defer ticker.Stop()
	for since := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case id := <-t.deleted:
			if err := t.authorities.RevokeDevice(ctx, id, authority.Ceased); err != nil && ctx.Err() == nil {
				t.log.Warn("certificates of a deleted device not revoked", "err", err)
			}
			continue
		case <-ticker.C:
		}
		next := time.Now()
		missed, err := t.authorities.Missed(ctx, since.Add(-missedPoll)) // clocks of nodes differ
		if err != nil {
			t.log.Warn("revocations not read", "err", err)
			continue
		}
		since = next
		for _, r := range missed {
			t.end(r)
		}
	}
}

func (t *trust) end(r authority.Revocation) { t.broker.Revoke(r.Authority, r.Serial, r.Product) }

func (t *trust) local(r authority.Revocation) {
	t.end(r)
	b, err := json.Marshal(revokeNote{t.node, r})
	if err == nil {
		err = t.bus.Publish(revokeSubject, b)
	}
	if err != nil {
		t.log.Warn("other nodes not told of a revocation", "serial", r.Serial, "err", err)
	}
}

func (t *trust) remote(_ string, b []byte) []byte {
	var n revokeNote
	if err := json.Unmarshal(b, &n); err != nil {
		t.log.Warn("revocation of another node not understood", "err", err)
	} else if n.Node != t.node {
		t.end(n.Revocation)
	}
	return nil
}

// authorityConfig is the share of the configuration of who signs certificates of devices.
func (h *Hub) authorityConfig() authority.Config {
	c := authority.DefaultConfig()
	c.CRLBase = strings.TrimSuffix(h.cfg.DeviceBaseURL, "/")
	return c
}

// nonceTrim is how often used nonces are forgotten.
const nonceTrim = time.Minute

func (h *Hub) trimNonces(ctx context.Context) error {
	ticker := time.NewTicker(nonceTrim)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if _, err := h.nonces.Trim(ctx, now); err != nil && ctx.Err() == nil {
				h.log.Warn("used nonces not forgotten", "err", err)
			}
		}
	}
}

// appKeys are the API keys as auth sees them.
type appKeys struct{ accounts *account.Accounts }

// App implements auth.Keys. Users' sessions are not for MQTT.
func (a appKeys) App(ctx context.Context, text string) (*auth.App, error) {
	caller, err := a.accounts.Authenticate(ctx, text)
	if errors.Is(err, account.ErrBadKey) {
		return nil, auth.ErrKey
	}
	if err != nil {
		return nil, err
	}
	p := caller.Home()
	if caller.Kind != account.KindKey || p == nil {
		return nil, auth.ErrKey
	}
	app := &auth.App{KeyID: caller.ID, Project: p.Within(), Rights: rightsOf(p.Permissions)}
	if p.Products != nil {
		app.Products = make(map[string]auth.Rights, len(p.Products))
	}
	for sn, on := range p.Products {
		app.Products[sn] = rightsOf(on)
	}
	return app, nil
}

func rightsOf(p account.Permission) auth.Rights {
	return auth.Rights{Read: p.Has(account.DeviceRead), Write: p.Has(account.DeviceControl)}
}

// pki serves what anybody may have: the certificates of the hub's authorities for devices, and their revocation lists.
type pki struct {
	authorities *authority.Authorities
	log         *slog.Logger
}

// ServeHTTP implements http.Handler.
func (p *pki) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		answer(w, http.StatusMethodNotAllowed, "only GET")
		return
	}
	list, err := p.authorities.Owned(r.Context())
	if err != nil {
		p.fault(w, err)
		return
	}
	if r.URL.Path == "/pki/device-ca.pem" { // all that are trusted, the one that issues first
		var all []byte
		for i := range list {
			if list[i].Retired.IsZero() {
				all = append(all, list[i].PEM()...)
			}
		}
		p.write(w, "application/x-pem-file", all)
		return
	}
	for i := range list {
		path := authority.CRLPath(list[i].ID)
		switch r.URL.Path {
		case path:
			crl, err := p.authorities.CRL(r.Context(), &list[i])
			if err != nil {
				p.fault(w, err)
				return
			}
			p.write(w, "application/pkix-crl", crl)
			return
		case strings.TrimSuffix(path, ".crl") + ".pem":
			p.write(w, "application/x-pem-file", list[i].PEM())
			return
		}
	}
	answer(w, http.StatusNotFound, "not found")
}

func (p *pki) fault(w http.ResponseWriter, err error) {
	p.log.Error("authority of devices not served", "err", err)
	answer(w, http.StatusServiceUnavailable, "not available just now")
}

func (p *pki) write(w http.ResponseWriter, kind string, b []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(b) // the client may have gone
}
