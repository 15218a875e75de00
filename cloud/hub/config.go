package hub

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/alarm"
	"github.com/hawser-iot/hawser/cloud/api"
	"github.com/hawser-iot/hawser/cloud/broker"
	"github.com/hawser-iot/hawser/cloud/messagelog"
	"github.com/hawser-iot/hawser/cloud/monitor/metric"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/script"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Off as an address switches a door off; so does the empty string.
const Off = "off"

// Config is everything that can be chosen about a hub. DefaultConfig has the defaults, Settings the name of each
// field as flag, environment variable and key of the file.
type Config struct {
	// Data is the data folder: SQLite database, blobs, TLS keys. It is made (0700) when it is absent.
	Data string

	// The doors' addresses, host:port; port 0 takes a free one, "" or Off switches the door off.
	MQTTAddr, MQTTSAddr, HTTPAddr, HTTPSAddr string
	// FaceAddrs give faces of the HTTP doors an address of their own, see faceAddrs: device=https://:443. Such a face is served
	// there and no more on HTTPAddr and HTTPSAddr.
	FaceAddrs []string
	// DeviceBaseURL is the public base of URLs that devices are given. "" takes the HTTPS or HTTP address.
	DeviceBaseURL string
	// TLSHosts are further names and addresses for the generated certificate, which has this machine's own already. To
	// use another certificate put it into Data/tls/hub.pem, its key first.
	TLSHosts []string

	// ProxyProtocol are networks of load balancers: their connections to the doors that ProxyDoors names begin with a PROXY
	// protocol header, version 1 or 2, that tells the client's address. Empty: nobody is believed.
	ProxyProtocol, ProxyDoors []string

	// KeyringFile holds the keys that secrets in the store are sealed with; "" is Data/keyring, made at the first start. Keyring
	// are the keys themselves, and wins; only the environment has it.
	KeyringFile string
	Keyring     credential.Secret

	// StoreDSN is a PostgreSQL URL; "" is SQLite in the data folder. It may hold a password.
	StoreDSN string
	// NATSURL is a NATS server or cluster; "" is a bus inside this process. It may hold a password.
	NATSURL string
	// BlobURL says where blobs are: "" or "file:" is the folder blobs in the data folder, file:///path another one, s3://… a bucket; it may
	// hold a password.
	BlobURL string
	// Durability and CommitEvery are the store's, see store.Config.
	Durability  string
	CommitEvery time.Duration

	// Node is this hub's number among the nodes of a cluster (0 to 1023), part of every MessageID.
	Node int
	// BootstrapKeyFile is where the owner's API key is written (0600) at the first start; "" prints it once.
	BootstrapKeyFile string

	// The limits of a connection, see server.Config. Rates of 0 are no limit.
	MaxPacket        int
	KeepAliveMin     int // seconds
	KeepAliveMax     int // seconds
	MaxSubscriptions int
	PublishRate      int // messages a second
	PublishByteRate  int // bytes a second
	MaxBody          int // bytes of a request to the API
	APIRate          int // requests a second to the API that a caller may make; 0 is no limit
	APIBurst         int // … and how many at once
	// ActionAPI serves the Action API on /. Off by default: its signatures hold no time, so that who has seen a request can send it
	// again, and nobody needs it who has no programs that speak it.
	ActionAPI bool

	// How long and for how many revisions a shadow's changes are remembered; 0 revisions is not at all.
	ShadowHistoryAge  time.Duration
	ShadowHistoryRows int

	// How long and how many entries a device's connection history is kept.
	HistoryAge  time.Duration
	HistoryRows int

	// The values that devices reported of their properties are kept so long, and the oldest go first above
	// PropertyHistorySize MiB; 0 keeps none.
	PropertyHistoryAge  time.Duration
	PropertyHistorySize int

	// How long and how many a device's commands that have ended, and its events, are kept.
	CommandAge, EventAge   time.Duration
	CommandRows, EventRows int

	// MessageLog says how much the message log keeps of products that say nothing of their own: all, errors or off, which
	// keeps nothing of any. What is kept goes after MessageLogAge, and the oldest first above MessageLogSize MiB;
	// MessageLogPayload is how many bytes of a payload are kept.
	MessageLog        string
	MessageLogAge     time.Duration
	MessageLogSize    int
	MessageLogPayload int

	// Points of the metrics are kept for each minute for MetricsMinuteAge, then for each quarter of an hour until MetricsAge.
	MetricsMinuteAge, MetricsAge time.Duration
	// Alarms that are over are kept for AlarmAge, AlarmRows of a project at most.
	AlarmAge  time.Duration
	AlarmRows int

	// Files bounds what devices send and download.
	Files FilesConfig

	// RuleAllowLocal lets rules and connectors reach loopback and link-local addresses. Off by default: whoever may make rules
	// could otherwise reach what only this machine can.
	RuleAllowLocal bool

	// RuleQueueSize MiB may wait for an action of a rule that says nothing of its own, and RuleOutboxSize MiB of the outbox may be kept from
	// being deleted by one that lags. RuleDead… bound the dead letters of an action: rows, MiB, age.
	RuleQueueSize, RuleOutboxSize, RuleDeadRows, RuleDeadSize int
	RuleDeadAge                                               time.Duration

	// ScriptWorkers processes run parse scripts (0: as many as there are processors, at least 2). A call has ScriptCPU of processor time,
	// ScriptWall in all, ScriptMemory MiB, and a result of ScriptResult KiB.
	ScriptWorkers, ScriptMemory, ScriptResult int
	ScriptCPU, ScriptWall                     time.Duration

	// PprofAddr serves Go's profiles (/debug/pprof/) to this machine; "" or Off does not. They tell much about what a hub
	// holds, so only a loopback address is taken.
	PprofAddr string

	// SessionIdle and SessionLife end the sessions of users, AuditAge and AuditRows bound the audit log, see
	// account.Config.
	SessionIdle, SessionLife, AuditAge time.Duration
	AuditRows                          int
	// OIDC… are the provider that users may log in through, "" for none. Somebody whom the hub does not know becomes a
	// member of OIDCProject with OIDCRole; without a role they are refused.
	OIDCIssuer, OIDCClientID, OIDCClientSecret, OIDCRedirect string
	OIDCProject, OIDCRole                                    string

	LogLevel, LogFormat string
	// StopTimeout bounds the graceful stop; what is not finished by then is cut off.
	StopTimeout time.Duration
}

// DefaultConfig is a hub that runs alone on this machine's standard ports, with the protocol's limits.
func DefaultConfig() Config {
	mqtt := server.DefaultConfig()
	accounts := account.DefaultConfig()
	delivery, scripts := rules.DefaultConfig(), script.DefaultConfig().Pool
	return Config{
		Data:                "hawser-data",
		MQTTAddr:            ":1883",
		MQTTSAddr:           ":8883",
		HTTPAddr:            ":8080",
		HTTPSAddr:           ":8443",
		PprofAddr:           Off,
		ProxyDoors:          []string{"mqtt", "mqtts", "http", "https"},
		Durability:          store.DurabilityPower,
		CommitEvery:         10 * time.Millisecond,
		MaxPacket:           mqtt.MaxPacket,
		KeepAliveMin:        30,
		KeepAliveMax:        1200,
		MaxSubscriptions:    mqtt.MaxSubscriptions,
		PublishRate:         30,
		PublishByteRate:     1 << 20,
		MaxBody:             int(api.DefaultConfig().MaxBody),
		APIRate:             int(api.DefaultConfig().Rate),
		APIBurst:            api.DefaultConfig().Burst,
		HistoryAge:          registry.DefaultHistoryConfig().MaxAge,
		HistoryRows:         registry.DefaultHistoryConfig().MaxCount,
		PropertyHistoryAge:  30 * 24 * time.Hour,
		PropertyHistorySize: 1024,
		CommandAge:          thingmodel.DefaultKeep().MaxAge,
		CommandRows:         thingmodel.DefaultKeep().MaxCount,
		EventAge:            thingmodel.DefaultKeep().MaxAge,
		EventRows:           thingmodel.DefaultKeep().MaxCount,
		MessageLog:          "all", MessageLogAge: 7 * 24 * time.Hour, MessageLogSize: 1024, MessageLogPayload: 1024,
		AlarmAge: alarm.DefaultConfig().MaxAge, AlarmRows: alarm.DefaultConfig().MaxRows,
		MetricsMinuteAge: metric.DefaultConfig().MinuteAge, MetricsAge: metric.DefaultConfig().Age,
		RuleQueueSize: int(delivery.QueueBytes >> 20), RuleOutboxSize: int(delivery.OutboxBytes >> 20), RuleDeadRows: int(delivery.DeadLetters),
		RuleDeadSize: int(delivery.DeadBytes >> 20), RuleDeadAge: delivery.DeadAge,
		ScriptMemory: int(scripts.Memory >> 20), ScriptResult: scripts.Result >> 10, ScriptCPU: scripts.CPU, ScriptWall: scripts.Wall,
		Files:       defaultFiles(),
		SessionIdle: accounts.SessionIdle,
		SessionLife: accounts.SessionLife,
		AuditAge:    accounts.AuditAge,
		AuditRows:   int(accounts.AuditRows),
		OIDCProject: account.DefaultProject,
		LogLevel:    "info",
		LogFormat:   "text",
		StopTimeout: 20 * time.Second,

		ShadowHistoryAge:  shadow.DefaultHistoryConfig().MaxAge,
		ShadowHistoryRows: shadow.DefaultHistoryConfig().Depth,
	}
}

// delivery is how rules deliver.
func (c *Config) delivery() rules.Config {
	r := rules.DefaultConfig()
	r.QueueBytes, r.OutboxBytes = int64(c.RuleQueueSize)<<20, int64(c.RuleOutboxSize)<<20
	r.DeadLetters, r.DeadBytes, r.DeadAge = int64(c.RuleDeadRows), int64(c.RuleDeadSize)<<20, c.RuleDeadAge
	return r
}

// Validate checks everything that can be checked without touching anything; errors name the flag.
func (c *Config) Validate() error {
	if c.Data == "" {
		return errors.New("--data: must name a folder")
	}
	if err := c.validateProxies(); err != nil {
		return err
	}
	if _, err := c.faceAddrs(); err != nil {
		return err
	}
	for _, a := range []struct{ flag, addr string }{
		{"mqtt-addr", c.MQTTAddr}, {"mqtts-addr", c.MQTTSAddr}, {"http-addr", c.HTTPAddr}, {"https-addr", c.HTTPSAddr},
		{"pprof-addr", c.PprofAddr},
	} {
		if isOff(a.addr) {
			continue
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			return fmt.Errorf("--%s %q: must be host:port, :port or off: %w", a.flag, a.addr, err)
		}
	}
	if host, _, _ := net.SplitHostPort(c.PprofAddr); !isOff(c.PprofAddr) && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("--pprof-addr %q: must be a loopback address, such as 127.0.0.1:6060: profiles show what a hub holds", c.PprofAddr)
	}
	for _, check := range []func() error{c.validateURLs, c.validateStore, c.validateLimits, c.Files.validate, c.validateAccounts, c.validateLog} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func isOff(addr string) bool { return addr == "" || addr == Off }

func (c *Config) validateURLs() error {
	if c.DeviceBaseURL != "" {
		u, err := url.Parse(c.DeviceBaseURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("--device-base-url %q: must be a URL like https://iot.example.com", c.DeviceBaseURL)
		}
	}
	if c.NATSURL != "" && !strings.HasPrefix(c.NATSURL, "nats://") && !strings.HasPrefix(c.NATSURL, "tls://") {
		return errors.New("--nats-url: must begin with nats:// or tls://")
	}
	if _, err := c.blobPlace(); err != nil {
		return err
	}
	return nil
}

func (c *Config) validateStore() error {
	switch {
	case c.StoreDSN != "" && !strings.HasPrefix(c.StoreDSN, "postgres://") && !strings.HasPrefix(c.StoreDSN, "postgresql://"):
		return errors.New("--store-dsn: must begin with postgres:// or be empty for SQLite in the data folder")
	case c.Durability != store.DurabilityPower && c.Durability != store.DurabilityProcess:
		return fmt.Errorf("--durability %q: must be %s or %s", c.Durability, store.DurabilityPower, store.DurabilityProcess)
	case c.CommitEvery <= 0 || c.CommitEvery > time.Second:
		return fmt.Errorf("--commit-every %v: must be more than 0 and at most 1s", c.CommitEvery)
	case c.Node < 0 || c.Node > 1023:
		return fmt.Errorf("--node %d: must be 0 to 1023", c.Node)
	}
	return nil
}

func (c *Config) validateLimits() error {
	for _, l := range []struct {
		flag       string
		v          int
		least, max int
	}{
		{"max-packet", c.MaxPacket, 1024, 16 << 20},
		{"keep-alive-min", c.KeepAliveMin, 0, 65535},
		{"keep-alive-max", c.KeepAliveMax, 0, 65535},
		{"shadow-history-rows", c.ShadowHistoryRows, 0, 10_000},
		{"max-subscriptions", c.MaxSubscriptions, 1, 10_000},
		{"publish-rate", c.PublishRate, 0, 1_000_000},
		{"publish-byte-rate", c.PublishByteRate, 0, 1 << 30},
		{"max-body", c.MaxBody, 1024, 64 << 20},
		{"api-rate", c.APIRate, 0, 1_000_000},
		{"api-burst", c.APIBurst, 1, 1_000_000},
		{"history-rows", c.HistoryRows, 2, 1_000_000},
		{"property-history-size", c.PropertyHistorySize, 0, 1 << 30},
		{"command-rows", c.CommandRows, 1, 1_000_000},
		{"event-rows", c.EventRows, 1, 1_000_000},
		{"alarm-rows", c.AlarmRows, 1, 1_000_000},
		{"message-log-size", c.MessageLogSize, 1, 1 << 30},
		{"message-log-payload", c.MessageLogPayload, 0, 64 << 10},
		{"rule-queue-size", c.RuleQueueSize, 1, 1 << 20},
		{"rule-outbox-size", c.RuleOutboxSize, 16, 1 << 20},
		{"rule-dead-rows", c.RuleDeadRows, 1, 100_000_000},
		{"rule-dead-size", c.RuleDeadSize, 1, 1 << 20},
		{"script-workers", c.ScriptWorkers, 0, 256},
		{"script-memory", c.ScriptMemory, 8, 4096},
		{"script-result", c.ScriptResult, 1, 16 << 10},
	} {
		if l.v < l.least || l.v > l.max {
			return fmt.Errorf("--%s %d: must be %d to %d", l.flag, l.v, l.least, l.max)
		}
	}
	if c.KeepAliveMax != 0 && c.KeepAliveMax < c.KeepAliveMin {
		return fmt.Errorf("--keep-alive-max %d: is less than --keep-alive-min %d", c.KeepAliveMax, c.KeepAliveMin)
	}
	for flag, age := range map[string]time.Duration{"history-age": c.HistoryAge, "command-age": c.CommandAge, "event-age": c.EventAge, "rule-dead-age": c.RuleDeadAge,
		"property-history-age": c.PropertyHistoryAge} {
		if age < time.Hour {
			return fmt.Errorf("--%s %v: must be at least 1h", flag, age)
		}
	}
	if c.AlarmAge < time.Hour {
		return fmt.Errorf("--alarm-age %v: must be at least 1h", c.AlarmAge)
	}
	if c.MetricsMinuteAge < 24*time.Hour || c.MetricsAge < c.MetricsMinuteAge {
		return fmt.Errorf("--metrics-minute-age %v: must be at least 24h, and at most --metrics-age (%v)", c.MetricsMinuteAge, c.MetricsAge)
	}
	if c.MessageLogAge < time.Hour {
		return fmt.Errorf("--message-log-age %v: must be at least 1h", c.MessageLogAge)
	}
	if c.ScriptCPU < time.Millisecond || c.ScriptCPU > time.Minute {
		return fmt.Errorf("--script-cpu %v: must be 1ms to 1m", c.ScriptCPU)
	}
	if c.ScriptWall < c.ScriptCPU || c.ScriptWall > 5*time.Minute {
		return fmt.Errorf("--script-wall %v: must be no less than --script-cpu, and at most 5m", c.ScriptWall)
	}
	if _, err := messagelog.ParseLevel(c.MessageLog); err != nil {
		return fmt.Errorf("--message-log: %w", err)
	}
	if c.ShadowHistoryAge < time.Hour {
		return fmt.Errorf("--shadow-history-age %v: must be at least 1h", c.ShadowHistoryAge)
	}
	if c.StopTimeout < time.Second {
		return fmt.Errorf("--stop-timeout %v: must be at least 1s", c.StopTimeout)
	}
	return nil
}

func (c *Config) validateLog() error {
	if _, err := c.level(); err != nil {
		return err
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("--log-format %q: must be text or json", c.LogFormat)
	}
	return nil
}

func (c *Config) level() (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return 0, fmt.Errorf("--log-level %q: must be debug, info, warn or error", c.LogLevel)
	}
	return l, nil
}

// mqtt is the engine's share of the configuration.
func (c *Config) mqtt() server.Config {
	m := server.DefaultConfig()
	m.MaxPacket, m.MaxSubscriptions = c.MaxPacket, c.MaxSubscriptions

	m.Rate, m.ByteRate = float64(c.PublishRate), float64(c.PublishByteRate)
	return m
}

// broker is the MQTT door's share of the configuration.
func (c *Config) broker(node string) broker.Config {
	b := broker.DefaultConfig()
	b.Node, b.Engine = node, c.mqtt()
	b.KeepAliveMin, b.KeepAliveMax = uint16(c.KeepAliveMin), uint16(c.KeepAliveMax)
	if c.KeepAliveMax == 0 {
		b.KeepAliveMax = math.MaxUint16
	}
	return b
}
