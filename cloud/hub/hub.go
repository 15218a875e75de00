// Package hub makes one hub of the packages of cloud: it opens what they stand on, hands each what it needs, runs them,
// and stops them in order.
//
// New is the wiring, plain code to be read from top to bottom: ground (store, bus), registry and accounts, paths and
// domain, doors. Run is the life: everything runs in one errgroup, the first part that fails ends all, and the stop is
// explicit, doors first and storage last. The package decides nothing about messages or devices; what it adds of its own
// is the configuration, the listeners, health and readiness, and the few lines by which one package's words become
// another's (senders.go).
package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/api"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/auth/ca"
	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/blob/fileblob"
	"github.com/hawser-iot/hawser/cloud/broker"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/fleet"
	"github.com/hawser-iot/hawser/cloud/idempotency"
	"github.com/hawser-iot/hawser/cloud/ingress"
	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/provision"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/retained"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/sink/httpsink"
	"github.com/hawser-iot/hawser/cloud/rules/sink/republish"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Hub is a hub that is wired and not yet running.
type Hub struct {
	cfg     *Config
	version string
	log     *slog.Logger
	metrics *prometheus.Registry
	started time.Time

	doors listeners
	web   *webServer
	// profiles are Go's, for this machine only.
	profiles *webServer

	// Ground.
	ring    *keyring.Keyring
	db      *store.DB
	bus     *bus.Bus
	numbers *numbers
	blobs   blob.Store // opened so that a folder that cannot be used is told at the start, not at the first file

	registry *registry.Registry
	accounts *account.Accounts
	feed     watchFeed
	changes  *changes

	// Paths and domain.
	presence *presence.Presence
	downlink *downlink.Downlink
	sender   sender
	path     *uplink.Path
	rules    *rules.Rules
	shadows  *shadow.Shadows
	things   *thingmodel.Things
	apps     *application.Applications
	retained *retained.Retained
	broker   *broker.Broker
	jobs     *job.Jobs
	answers  *idempotency.Answers

	// Who may connect.
	tls         *tlsWatch
	authorities *authority.Authorities
	nonces      *auth.Nonces
	trust       *trust

	stopping atomic.Bool
}

// New opens and wires everything; cfg must be valid. Nothing is served before Run, which must follow: it closes what
// New has opened. Errors say which flag is concerned or what to do.
func New(ctx context.Context, cfg *Config, version string, log *slog.Logger) (h *Hub, err error) {
	h = &Hub{cfg: cfg, version: version, log: log, metrics: prometheus.NewRegistry(), started: time.Now()}
	h.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	// The sockets first: a port in use is told before anything is written.
	if h.doors, err = listen(ctx, cfg); err != nil {
		return h, err
	}
	if err := checkKeyFile(cfg.BootstrapKeyFile); err != nil {
		return h, err
	}
	for _, step := range []func(context.Context) error{h.openGround, h.openRegistry, h.openPaths, h.openDoors} {
		if err := step(ctx); err != nil {
			return h, err
		}
	}
	return h, nil
}

// node is this hub's name among others: part of bus subjects and session rows, the same over restarts.
func (h *Hub) node() string { return fmt.Sprintf("n%d", h.cfg.Node) }

// openGround opens what everything stands on.
func (h *Hub) openGround(ctx context.Context) (err error) {
	c := h.cfg
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if h.ring, err = c.loadKeyring(); err != nil {
		return err
	}
	if h.db, err = store.Open(ctx, c.storeConfig(h.ring), h.log.With("part", "store"), h.metrics); err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	c.warnOpen(h.log)
	dir, err := c.blobDir()
	if err != nil {
		return err
	}
	if h.blobs, err = fileblob.Open(dir); err != nil {
		return fmt.Errorf("--blob-url: %w", err)
	}
	if h.numbers, err = openNumbers(ctx, h.db, c.Node, h.log); err != nil {
		return err
	}
	h.bus, err = bus.Open(ctx, bus.Config{URL: c.NATSURL, Name: "hawser-" + h.node()}, h.log.With("part", "bus"))
	return err
}

// openRegistry opens who there is: products, devices, accounts.
func (h *Hub) openRegistry(ctx context.Context) (err error) {
	if h.registry, err = registry.New(ctx, h.db, h.log.With("part", "registry")); err != nil {
		return err
	}
	h.metrics.MustRegister(h.registry)
	h.feed = newWatchFeed(monitor.New(monitor.DefaultConfig()))
	h.accounts = account.New(h.db, h.cfg.accounts())
	h.changes = &changes{node: h.node(), bus: h.bus, reg: h.registry, accounts: h.accounts, log: h.log}
	h.registry.Limit(h.quota)
	key, created, err := h.accounts.Bootstrap(ctx)
	if err != nil || !created {
		return err
	}
	return keepKey(h.cfg.BootstrapKeyFile, key, os.Stderr)
}

// openPaths wires the ways up and down and what the messages mean.
func (h *Hub) openPaths(ctx context.Context) (err error) {
	h.presence = presence.New(presence.Config{Node: h.node()}, presence.Deps{Store: h.db, Registry: h.registry, Bus: h.bus,
		IDs: h.numbers, Rules: ruleMatcher{h}, Feed: statusFeed{h.feed, h}, Log: h.log.With("part", "presence"), Metrics: h.metrics})
	down := downlink.DefaultConfig()
	down.Node = h.node()
	h.downlink = downlink.New(down, downlink.Deps{Store: h.db, Registry: h.registry, Bus: h.bus, Directory: h.presence,
		Log: h.log.With("part", "downlink"), Metrics: h.metrics})
	h.sender = sender{h.downlink, h.feed}

	h.rules, err = rules.New(ctx, rules.DefaultConfig(), rules.Deps{Store: h.db, Registry: h.registry, IDs: h.numbers.IDs,
		Sender: ruleSender{h.sender}, Quota: h.ruleQuota, Kinds: h.sinks(), Feed: h.feed.Feed, Log: h.log.With("part", "rules"), Metrics: h.metrics})
	if err != nil {
		return err
	}
	h.shadows = shadow.New(shadow.Deps{Store: h.db, Registry: h.registry, Sender: shadowSender{h.sender}, Rules: h.rules,
		IDs: h.numbers.IDs, Log: h.log.With("part", "shadow")})
	h.things = thingmodel.New(thingmodel.Deps{Store: h.db, Registry: h.registry, Caller: thingCaller{h.sender}, IDs: h.numbers.IDs,
		Log: h.log.With("part", "thingmodel"), Metrics: h.metrics})
	births := provision.New(provision.DefaultConfig(), provision.Deps{Store: h.db, Registry: h.registry, Presence: h.presence,
		Downlink: h.downlink, Log: h.log.With("part", "provision"), Metrics: h.metrics})

	h.answers = idempotency.New(idempotency.DefaultConfig(), h.db)
	work := job.DefaultConfig()
	work.Node = h.node()
	h.jobs = job.New(work, job.Deps{Store: h.db, Kinds: fleet.New(h.db, h.registry).Kinds(), Log: h.log.With("part", "jobs"), Metrics: h.metrics})

	apps := application.DefaultConfig()
	apps.Node = h.node()
	h.apps = application.New(apps, application.Deps{Store: h.db, Registry: h.registry, Bus: h.bus, Sender: h.sender, Keys: appKeys{h.accounts},
		Log: h.log.With("part", "application"), Metrics: h.metrics})
	h.retained = retained.New(retained.DefaultConfig(), retained.Deps{Store: h.db, Registry: h.registry, Bus: h.bus,
		Log: h.log.With("part", "retained"), Metrics: h.metrics})
	h.accounts.Watch(func(account.Change) { h.apps.KeysChanged() })

	h.path = uplink.New(uplink.Config{Store: h.db, IDs: h.numbers, Handlers: h.handlers(births), Rules: h.rules, Audience: h.apps, Feed: h.feed,
		Sender: h.downlink, Log: h.log.With("part", "uplink"), Metrics: h.metrics})
	return nil
}

// ruleMatcher is the rules for presence, which rules need the way to before they can be made themselves.
type ruleMatcher struct{ hub *Hub }

func (r ruleMatcher) Match(m *uplink.Message, topicName string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	return r.hub.rules.Match(m, topicName, payload, out)
}

// sinks are the kinds of action that rules may have.
func (h *Hub) sinks() map[string]rules.Factory {
	return map[string]rules.Factory{
		httpsink.Kind:  httpsink.New(httpsink.Options{AllowLocal: h.cfg.RuleHTTPAllowPrivate, UserAgent: "hawser-hub/" + h.version}),
		republish.Kind: republish.New,
	}
}

// handlers says which package gives which system topic its meaning.
func (h *Hub) handlers(births *provision.Provision) map[topic.Kind]uplink.Handler {
	all := births.Handlers()
	all[topic.ShadowUpstream] = h.shadows
	all[topic.ShadowGet] = h.shadows
	for _, k := range thingmodel.Kinds() {
		all[k] = h.things
	}
	return all
}

// openDoors wires what devices and applications speak to.
func (h *Hub) openDoors(ctx context.Context) error {
	own, err := ca.Load(filepath.Join(h.cfg.Data, "tls"), h.cfg.TLSHosts)
	if err != nil {
		return err
	}
	h.tls = newTLSWatch(own, h.ring, h.log.With("part", "tls"), h.metrics)
	h.doors.wrapTLS(own.Config)
	h.authorities = authority.New(h.authorityConfig(), h.db, h.ring, h.log.With("part", "authority"))
	h.nonces = auth.NewNonces(h.db, h.ring)
	login := auth.New(auth.DefaultConfig(), auth.Deps{Registry: h.registry, Authorities: h.authorities, Nonces: h.nonces,
		Keys: appKeys{h.accounts}, Log: h.log.With("part", "auth"), Metrics: h.metrics})
	h.broker = broker.New(h.cfg.broker(h.node()), broker.Deps{Auth: login, Presence: h.presence, Downlink: h.downlink, Path: h.path,
		Registry: h.registry, Kept: h.retained, Applications: h.apps, Bus: h.bus, Log: h.log.With("part", "broker"), Metrics: h.metrics})
	device, err := ingress.New(ctx, ingress.DefaultConfig(), ingress.Deps{Auth: login, Registry: h.registry, Path: h.path, Store: h.db,
		Nonces: h.nonces, Authorities: h.authorities, Log: h.log.With("part", "ingress"), Metrics: h.metrics})
	if err != nil {
		return err
	}
	h.trust = &trust{node: h.node(), bus: h.bus, authorities: h.authorities, broker: h.broker, log: h.log.With("part", "trust")}
	h.trust.follow(h.registry)
	apiConfig := api.DefaultConfig()
	apiConfig.MaxBody = int64(h.cfg.MaxBody)
	apiConfig.Rate, apiConfig.Burst = float64(h.cfg.APIRate), h.cfg.APIBurst
	face, err := api.New(apiConfig, api.Services{Products: h.registry, Devices: h.devices(), Groups: h.registry, Accounts: h.accounts, Shadows: h.shadows,
		Things: h.things, Rules: h.rules, CAs: h.authorities, Sender: h.sender, Feed: h.feed, Jobs: h.jobs, Answers: h.answers, Metrics: h.metrics, OIDC: h.oidc(), Info: h.info}, h.log.With("part", "api"))
	if err != nil {
		return err
	}
	f := faces{
		api:    face,
		device: device,
		socket: h.broker.WebSocket(),
		pki:    &pki{h.authorities, h.log},
		ready:  h.ready,
		gather: h.metrics,
		log:    h.log,
	}
	h.web = newWebServer(f.mux(), h.log.With("part", "http"))
	h.profiles = newWebServer(profiles(), h.log.With("part", "pprof"))
	return nil
}

// ready tells whether devices and applications are served.
func (h *Hub) ready(ctx context.Context) error {
	if h.stopping.Load() {
		return errors.New("the hub is stopping")
	}
	var one int
	if err := h.db.QueryRow(ctx, `SELECT 1`).Scan(&one); err != nil {
		return fmt.Errorf("the store does not answer: %w", err)
	}
	return nil
}

// info is what the API tells of this hub.
func (h *Hub) info(context.Context) apitype.Info {
	engine := "sqlite"
	if h.db.Dialect() == store.Postgres {
		engine = "postgres"
	}
	on := func(addr string) string {
		if addr == Off {
			return ""
		}
		return addr
	}
	return apitype.Info{Version: h.version, Commit: commit(), StartedAt: h.started.UTC(), Store: engine,
		Addresses: apitype.Addresses{Mqtt: on(address(h.doors.mqtt)), Mqtts: on(address(h.doors.mqtts)),
			HTTP: on(address(h.doors.http)), HTTPS: on(address(h.doors.https))},
		DeviceBaseURL: h.deviceBaseURL(), Connections: h.broker.Connections()}
}

// deviceBaseURL is the public base of URLs for devices: as configured, or made of this hub's own address.
func (h *Hub) deviceBaseURL() string {
	switch {
	case h.cfg.DeviceBaseURL != "":
		return strings.TrimSuffix(h.cfg.DeviceBaseURL, "/")
	case h.doors.https != nil:
		return "https://" + reachable(h.doors.https.Addr(), h.cfg.TLSHosts)
	case h.doors.http != nil:
		return "http://" + reachable(h.doors.http.Addr(), h.cfg.TLSHosts)
	}
	return ""
}

// reachable is addr with a host that others can use: where the hub listens on every address, the first of hosts, which
// the operator says are its own, or this machine's name.
func reachable(addr net.Addr, hosts []string) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	host := "localhost"
	if name, err := os.Hostname(); err == nil {
		host = name
	}
	if len(hosts) > 0 {
		host = hosts[0]
	}
	return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// commit is the source revision that the Go tool has put into the binary.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
