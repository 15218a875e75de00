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
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/actionapi"
	"github.com/hawser-iot/hawser/cloud/agentconf"
	"github.com/hawser-iot/hawser/cloud/agentlink"
	"github.com/hawser-iot/hawser/cloud/alarm"
	"github.com/hawser-iot/hawser/cloud/api"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/auth/ca"
	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/broker"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/clock"
	"github.com/hawser-iot/hawser/cloud/console"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/fleet"
	"github.com/hawser-iot/hawser/cloud/idempotency"
	"github.com/hawser-iot/hawser/cloud/ingress"
	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/messagelog"
	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/cloud/monitor/metric"
	"github.com/hawser-iot/hawser/cloud/ota"
	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/provision"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/catalog"
	"github.com/hawser-iot/hawser/cloud/retained"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/connector"
	"github.com/hawser-iot/hawser/cloud/script"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/cloud/thingmodel/series"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/cloud/upload"
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
	messages *messagelog.Log
	meter    *meter.Meter
	history  *metric.History
	alarms   *alarm.Alarms
	changes  *changes

	// Paths and domain.
	presence *presence.Presence
	downlink *downlink.Downlink
	sender   sender
	path     *uplink.Path
	rules    *rules.Rules
	// connectors are the addresses and credentials that rules deliver to.
	connectors *connector.Connectors
	shadows    *shadow.Shadows
	things     *thingmodel.Things
	series     *series.Series // nil when no history of properties is kept
	apps       *application.Applications
	agents     *agentlink.Links
	configs    *agentconf.Configs
	scripts    *script.Scripts
	retained   *retained.Retained
	links      *shortlink.Links
	uploads    *upload.Uploads
	ota        *ota.OTA
	artifacts  *artifact.Repository
	broker     *broker.Broker
	births     *provision.Provision
	jobs       *job.Jobs
	answers    *idempotency.Answers

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
	if h.blobs, err = c.openBlobs(ctx); err != nil {
		return err
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
	h.meter = meter.New()
	h.history = h.newHistory()
	h.metrics.MustRegister(h.meter)
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
	if h.messages, err = messagelog.New(h.cfg.messageLog(h.node()), messagelog.Deps{Store: h.db, Registry: h.registry, Bus: h.bus,
		Log: h.log.With("part", "messagelog"), Metrics: h.metrics}); err != nil {
		return err
	}
	h.presence = presence.New(presence.Config{Node: h.node(), Alone: h.cfg.NATSURL == ""}, presence.Deps{Store: h.db, Registry: h.registry, Bus: h.bus,
		IDs: h.numbers, Rules: ruleMatcher{h}, Audience: comings{h}, Feed: h.feed, Journal: told[presence.Journal](h, h.journal()),
		Log: h.log.With("part", "presence"), Metrics: h.metrics})
	down := downlink.DefaultConfig()
	down.Node = h.node()
	h.downlink = downlink.New(down, downlink.Deps{Store: h.db, Registry: h.registry, Bus: h.bus, Directory: h.presence, Meter: h.meter, Journal: told[downlink.Journal](h, h.journal()),
		Log: h.log.With("part", "downlink"), Metrics: h.metrics})
	h.sender = sender{down: h.downlink, feed: h.feed, journal: h.journal()}

	h.scripts = h.newScripts()
	if h.connectors, err = h.newConnectors(ctx); err != nil {
		return err
	}
	h.rules, err = rules.New(ctx, h.cfg.delivery(), rules.Deps{Store: h.db, Node: h.node(), Announce: h.changes.rulesChanged, Registry: h.registry, IDs: h.numbers.IDs,
		Sender: ruleSender{h.encoder()}, Quota: h.ruleQuota, Kinds: h.sinks(), Connectors: h.connectors, Feed: h.feed.Feed, Meter: h.meter, Journal: told[rules.Journal](h, h.journal()), Devices: ruleDevices{h}, Log: h.log.With("part", "rules"), Metrics: h.metrics})
	if err != nil {
		return err
	}
	h.changes.rules = h.rules
	h.shadows = shadow.New(shadow.Deps{Store: h.db, Registry: h.registry, Sender: shadowSender{h.sender}, Rules: h.rules, Audience: audience{h},
		IDs: h.numbers.IDs, Log: h.log.With("part", "shadow"),
		History: shadow.HistoryConfig{Depth: h.cfg.ShadowHistoryRows, MaxAge: h.cfg.ShadowHistoryAge}})
	if h.cfg.PropertyHistorySize > 0 {
		h.series, err = series.Open(series.Config{Dir: filepath.Join(h.cfg.Data, "series"), MaxAge: h.cfg.PropertyHistoryAge,
			MaxBytes: int64(h.cfg.PropertyHistorySize) << 20, Peers: series.Peers{Node: h.node(), Store: h.db, Bus: h.bus}}, h.log.With("part", "series"), h.metrics)
		if err != nil {
			return err
		}
	}
	h.things = thingmodel.New(thingmodel.Deps{Store: h.db, Registry: h.registry, Caller: thingCaller{h.sender}, IDs: h.numbers.IDs, Series: h.series,
		Log: h.log.With("part", "thingmodel"), Metrics: h.metrics})
	h.births = provision.New(provision.DefaultConfig(), provision.Deps{Store: h.db, Registry: h.registry, Presence: h.presence,
		Downlink: h.downlink, Log: h.log.With("part", "provision"), Metrics: h.metrics})

	h.answers = idempotency.New(idempotency.DefaultConfig(), h.db)
	work := job.DefaultConfig()
	work.Node = h.node()
	h.jobs = job.New(work, job.Deps{Store: h.db, Kinds: h.jobKinds(), Log: h.log.With("part", "jobs"), Metrics: h.metrics})

	apps := application.DefaultConfig()
	apps.Node = h.node()
	h.apps = application.New(apps, application.Deps{Store: h.db, Registry: h.registry, Bus: h.bus, Sender: h.encoder(), IDs: h.numbers, Keys: appKeys{h.accounts},
		Log: h.log.With("part", "application"), Metrics: h.metrics})
	h.retained = retained.New(retained.DefaultConfig(), retained.Deps{Store: h.db, Registry: h.registry, Bus: h.bus,
		Log: h.log.With("part", "retained"), Metrics: h.metrics})
	h.accounts.Watch(func(account.Change) { h.apps.KeysChanged() })

	h.links = shortlink.New(h.ring, h.deviceBaseURL)
	h.uploads = upload.New(h.cfg.uploads(), upload.Deps{Store: h.db, Registry: h.registry, Blobs: h.blobs, Links: h.links, Ring: h.ring,
		Sender: h.downlink, Rules: h.rules, IDs: h.numbers, Log: h.log.With("part", "upload"), Metrics: h.metrics})
	h.artifacts = artifact.New(h.cfg.artifacts(), artifact.Deps{Store: h.db, Blobs: h.blobs, Log: h.log.With("part", "artifact"), Metrics: h.metrics})
	h.ota = ota.New(h.cfg.Files.ota(), ota.Deps{Store: h.db, Registry: h.registry, Blobs: h.blobs, Artifacts: h.artifacts, Links: h.links, Sender: otaSender{h.sender}, Rules: h.rules, Feed: h.feed,
		IDs: h.numbers, Log: h.log.With("part", "ota"), Metrics: h.metrics})
	h.agents = h.newAgents()
	if err := h.openAlarms(ctx); err != nil {
		return err
	}
	h.path = uplink.New(uplink.Config{Store: h.db, IDs: h.numbers, Handlers: h.handlers(), Parser: h.scripts, Rules: h.rules, Audience: ears{h.apps, h.alarms},
		Feed: h.feed, Meter: h.meter, Journal: told[uplink.Journal](h, h.messages), Sender: h.downlink, Log: h.log.With("part", "uplink"), Metrics: h.metrics})
	h.agents.Serve(h.path)
	return nil
}

// newAgents is the hub's side of the agent channel.
func (h *Hub) newAgents() *agentlink.Links {
	c := agentlink.DefaultConfig()
	c.Version, c.MaxBytes = h.version, h.cfg.broker(h.node()).Engine.MaxPacket
	h.configs = agentconf.New(agentconf.DefaultConfig(), agentconf.Deps{Store: h.db, IDs: h.numbers, Key: h.artifacts.ConfigKey,
		Log: h.log.With("part", "configs"), Metrics: h.metrics})
	return agentlink.New(c, agentlink.Deps{Store: h.db, Configs: h.configs, Sender: agentSender{h.downlink}, Requests: h.downlink, Log: h.log.With("part", "agents"), Metrics: h.metrics})
}

func (h *Hub) encoder() encoder { return encoder{h.sender, h.scripts} }

// ruleMatcher is the rules for presence, which rules need the way to before they can be made themselves.
type ruleMatcher struct{ hub *Hub }

func (r ruleMatcher) Match(m *uplink.Message, topicName string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	return r.hub.rules.Match(m, topicName, payload, out)
}

// audience is the applications for presence, which are made after it.
type audience struct{ hub *Hub }

func (a audience) Listening() bool         { return a.hub.apps.Listening() }
func (a audience) Match(m *uplink.Message) { a.hub.apps.Match(m) }

// ears are those who look at each message: applications and alarms.
type ears []uplink.Audience

// Listening implements uplink.Audience.
func (l ears) Listening() bool {
	for _, a := range l {
		if a.Listening() {
			return true
		}
	}
	return false
}

// Match implements uplink.Audience.
func (l ears) Match(m *uplink.Message) {
	for _, a := range l {
		if a.Listening() {
			a.Match(m)
		}
	}
}

// comings are who hear of devices that come and go; they are made after the presence.
type comings struct{ hub *Hub }

func (c comings) Listening() bool { return c.hub.apps.Listening() || c.hub.alarms.Listening() }
func (c comings) Match(m *uplink.Message) {
	ears{c.hub.apps, c.hub.alarms}.Match(m)
}

// jobKinds are the kinds of long work.
func (h *Hub) jobKinds() map[string]job.Kind {
	kinds := fleet.New(h.db, h.registry, fleetCaller{h.things}, fleetSender{h.encoder(), h.births}).Kinds()
	kinds[api.KindReplay] = replayKind{h}
	return kinds
}

// handlers says which package gives which system topic its meaning.
func (h *Hub) handlers() map[topic.Kind]uplink.Handler {
	all := h.births.Handlers()
	all[topic.OTAUpstream] = h.ota
	all[topic.AgentUp] = h.agents
	all[topic.UploadUpstream] = h.uploads
	all[topic.ShadowUpstream] = h.shadows
	all[topic.ShadowGet] = h.shadows
	all[topic.NTPRequest] = clock.New(nil)
	all[topic.LogPost] = h.messages
	for _, k := range thingmodel.Kinds() {
		all[k] = h.things
	}
	return all
}

// openDoors wires what devices and applications speak to.
func (h *Hub) openDoors(context.Context) error {
	if sealed, err := ca.Seal(h.cfg.tlsDir(), h.ring); err != nil {
		return err
	} else if sealed {
		h.log.Info("the key of the hub's own CA is sealed now", "dir", h.cfg.tlsDir())
	}
	own, err := ca.Load(h.cfg.tlsDir(), h.cfg.TLSHosts, h.ring)
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
		Registry: h.registry, Kept: h.retained, Applications: h.apps, Agents: h.agents, Journal: told[broker.Journal](h, h.journal()), Listening: h.things.Listening, Bus: h.bus, Log: h.log.With("part", "broker"), Metrics: h.metrics})
	device := ingress.New(ingress.DefaultConfig(), ingress.Deps{Auth: login, Registry: h.registry, Path: h.path, Store: h.db, Ring: h.ring,
		Nonces: h.nonces, Authorities: h.authorities, Uploads: uploadFace{h.uploads}, Sessions: sessionFace{h.uploads}, Downloads: downloadFace{h.ota, h.uploads}, Blobs: h.blobs,
		Journal: told[ingress.Journal](h, h.journal()), Requests: h.downlink, Log: h.log.With("part", "ingress"), Metrics: h.metrics})
	h.trust = &trust{node: h.node(), bus: h.bus, authorities: h.authorities, broker: h.broker, log: h.log.With("part", "trust")}
	h.trust.follow(h.registry)
	apiConfig := api.DefaultConfig()
	apiConfig.MaxBody, apiConfig.MaxFirmware = int64(h.cfg.MaxBody), int64(h.cfg.Files.FirmwareMaxSize)
	apiConfig.Rate, apiConfig.Burst = float64(h.cfg.APIRate), h.cfg.APIBurst
	face, err := api.New(apiConfig, api.Services{Files: h.uploads, OTA: h.ota, Releases: h.ota,
		Products: h.registry, Devices: h.devices(), Groups: h.registry, Catalog: catalog.New(h.db, h.registry), Accounts: h.accounts, Shadows: h.shadows,
		Things: h.things, Topology: h.births, Rules: h.rules, Connectors: h.connectors, CAs: h.authorities, Sender: h.sender, Scripts: h.scripts, Feed: h.feed, Jobs: h.jobs, Messages: h.messages, History: h.history, Alarms: h.alarms, Answers: h.answers, Agents: h.agents, AgentConfigs: h.configs, Metrics: h.metrics, OIDC: h.oidc(), Info: h.info}, h.log.With("part", "api"))
	if err != nil {
		return err
	}
	pages, err := console.New(h.consoleState, h.feed.Done(), h.log.With("part", "console"))
	if err != nil {
		return err
	}
	f := faces{
		api:     face,
		console: pages,
		action:  h.actionAPI(),
		device:  device,
		socket:  h.broker.WebSocket(),
		pki:     &pki{h.authorities, h.log},
		ready:   h.ready,
		gather:  h.metrics,
		log:     h.log,
	}
	h.serveFaces(&f)
	h.profiles = newWebServer(profiles(), h.log.With("part", "pprof"))
	return nil
}

// actionAPI is the Action API, nil when it is switched off.
func (h *Hub) actionAPI() http.Handler {
	if !h.cfg.ActionAPI {
		return nil
	}
	return actionapi.New(actionapi.Config{MaxBody: int64(h.cfg.MaxBody), Rate: float64(h.cfg.APIRate), Burst: h.cfg.APIBurst}, actionapi.Services{
		Accounts: h.accounts, Products: h.registry, Devices: h.actionDevices(), Firmware: h.ota, Shadows: h.shadows, Things: h.things, Sender: h.sender,
		Scripts: h.scripts, Jobs: h.jobs, Topology: h.births, Files: h.uploads, Rules: h.rules, Connectors: h.connectors, Ring: h.ring, Metrics: h.metrics}, h.log.With("part", "actionapi"))
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
	case !h.doors.common(faceDevice):
		own := h.doors.faces[slices.IndexFunc(h.doors.faces, func(d *faceDoor) bool { return d.face == faceDevice })]
		scheme := "http://"
		if own.tls {
			scheme = "https://"
		}
		return scheme + reachable(own.ln.Addr(), h.cfg.TLSHosts)
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
