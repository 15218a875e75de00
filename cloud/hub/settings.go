package hub

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/protocol/credential"
)

// Setting is one field of Config under the names that people know it by.
type Setting struct {
	Flag   string // "mqtt-addr"; Env and Key follow from it
	Usage  string
	Secret bool // may hold a password
	Whole  bool // is one, all of it
	Old    bool // another name of a setting that has a better one now

	field any // pointer to the field
}

// Env is the name of the environment variable: HAWSER_MQTT_ADDR.
func (s Setting) Env() string {
	return "HAWSER_" + strings.ToUpper(strings.ReplaceAll(s.Flag, "-", "_"))
}

// Key is the name in the configuration file: mqtt_addr.
func (s Setting) Key() string { return strings.ReplaceAll(s.Flag, "-", "_") }

// IsBool tells whether the setting is a switch, whose flag needs no value.
func (s Setting) IsBool() bool {
	_, ok := s.field.(*bool)
	return ok
}

// Set reads text into the field.
func (s Setting) Set(text string) (err error) {
	switch p := s.field.(type) {
	case *string:
		*p = text
	case *int:
		*p, err = strconv.Atoi(text)
	case *bool:
		*p, err = strconv.ParseBool(text)
	case *time.Duration:
		*p, err = time.ParseDuration(text)
	case *[]string:
		*p = nil
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*p = append(*p, part)
			}
		}
	}
	if e, ok := errors.AsType[*strconv.NumError](err); ok {
		return e.Err
	}
	return err
}

// String is the value as Set takes it; secrets in it are not hidden.
func (s Setting) String() string {
	switch p := s.field.(type) {
	case *string:
		return *p
	case *int:
		return strconv.Itoa(*p)
	case *bool:
		return strconv.FormatBool(*p)
	case *time.Duration:
		return p.String()
	case *[]string:
		return strings.Join(*p, ",")
	}
	return ""
}

// Settings lists all fields of c, in the order in which help shows them.
func (c *Config) Settings() []Setting {
	return append(c.mainSettings(), c.Files.settings()...)
}

func (c *Config) mainSettings() []Setting {
	return []Setting{
		{Flag: "data", Usage: "data folder; made when absent", field: &c.Data},
		{Flag: "mqtt-addr", Usage: "MQTT address; port 0 takes a free port, off switches it off", field: &c.MQTTAddr},
		{Flag: "mqtts-addr", Usage: "MQTT over TLS address", field: &c.MQTTSAddr},
		{Flag: "http-addr", Usage: "HTTP address: API, device face, MQTT over WebSocket", field: &c.HTTPAddr},
		{Flag: "https-addr", Usage: "HTTPS address, likewise", field: &c.HTTPSAddr},
		{Flag: "face-addrs", Usage: "own addresses for faces of the HTTP doors (api, action, device, mqtt, ops), like device=https://:443, with commas", field: &c.FaceAddrs},
		{Flag: "device-base-url", Usage: "public base of URLs that devices are given; stock devices take none with a port", field: &c.DeviceBaseURL},
		{Flag: "tls-hosts", Usage: "further names and addresses in the generated certificate, with commas", field: &c.TLSHosts},
		{Flag: "proxy-protocol", Usage: "networks of load balancers whose connections begin with a PROXY protocol header, with commas", field: &c.ProxyProtocol},
		{Flag: "proxy-doors", Usage: "doors that proxy-protocol is for", field: &c.ProxyDoors},
		{Flag: "keyring-file", Usage: "keys for the secrets in the store; empty is the file keyring in the data folder", field: &c.KeyringFile},
		{Flag: "store-dsn", Usage: "postgres://… ; empty is SQLite in the data folder", Secret: true, field: &c.StoreDSN},
		{Flag: "nats-url", Usage: "nats://… ; empty is a bus in this process", Secret: true, field: &c.NATSURL},
		{Flag: "blob-url", Usage: "file:///path, or s3://KEY:SECRET@host/bucket/prefix?region=…; empty is the folder blobs in the data folder", Secret: true, field: &c.BlobURL},
		{Flag: "durability", Usage: "what a commit survives: power (loss) or process (death)", field: &c.Durability},
		{Flag: "commit-every", Usage: "how long a commit waits for others", field: &c.CommitEvery},
		{Flag: "node", Usage: "number of this hub in a cluster, 0 to 1023", field: &c.Node},
		{Flag: "bootstrap-key-file", Usage: "write the owner's API key there (0600) at the first start", field: &c.BootstrapKeyFile},
		{Flag: "max-packet", Usage: "largest MQTT packet in bytes", field: &c.MaxPacket},
		{Flag: "keep-alive-min", Usage: "shortest keep-alive in seconds", field: &c.KeepAliveMin},
		{Flag: "keep-alive-max", Usage: "longest keep-alive in seconds; 0 is no limit", field: &c.KeepAliveMax},
		{Flag: "max-subscriptions", Usage: "topic filters a session", field: &c.MaxSubscriptions},
		{Flag: "publish-rate", Usage: "messages a second that a connection may publish; 0 is no limit", field: &c.PublishRate},
		{Flag: "publish-byte-rate", Usage: "bytes a second that a connection may publish; 0 is no limit", field: &c.PublishByteRate},
		{Flag: "api-rate", Usage: "requests a second that a caller may make of the API; 0 is no limit", field: &c.APIRate},
		{Flag: "api-burst", Usage: "requests that a caller may make at once", field: &c.APIBurst},
		{Flag: "action-api", Usage: "serve the API of UCloud IoT Core on /, for programs that were written for it", field: &c.ActionAPI},
		{Flag: "max-body", Usage: "largest body of an API request in bytes", field: &c.MaxBody},
		{Flag: "rule-allow-local", Usage: "let rules and connectors reach loopback and link-local addresses", field: &c.RuleAllowLocal},
		{Flag: "rule-http-allow-private", Usage: "earlier name of rule-allow-local", Old: true, field: &c.RuleAllowLocal},
		{Flag: "rule-queue-size", Usage: "MiB that may wait for an action of a rule, unless it says so itself", field: &c.RuleQueueSize},
		{Flag: "rule-outbox-size", Usage: "MiB of the outbox that an action which lags may keep from being deleted", field: &c.RuleOutboxSize},
		{Flag: "rule-dead-rows", Usage: "how many dead letters of an action are kept", field: &c.RuleDeadRows},
		{Flag: "rule-dead-size", Usage: "MiB of them that are kept", field: &c.RuleDeadSize},
		{Flag: "rule-dead-age", Usage: "how long they are kept", field: &c.RuleDeadAge},
		{Flag: "script-workers", Usage: "processes that run parse scripts; 0 is as many as there are processors, at least 2", field: &c.ScriptWorkers},
		{Flag: "script-cpu", Usage: "processor time of a call of a parse script", field: &c.ScriptCPU},
		{Flag: "script-wall", Usage: "time of it on a busy machine", field: &c.ScriptWall},
		{Flag: "script-memory", Usage: "MiB that it may hold", field: &c.ScriptMemory},
		{Flag: "script-result", Usage: "KiB of its result", field: &c.ScriptResult},
		{Flag: "pprof-addr", Usage: "loopback address for Go's profiles, /debug/pprof/", field: &c.PprofAddr},
		{Flag: "session-idle", Usage: "how long a user's session lives without being used", field: &c.SessionIdle},
		{Flag: "session-life", Usage: "how long a user's session lives at the most", field: &c.SessionLife},
		{Flag: "audit-age", Usage: "how long the audit log is kept; 0 is for ever", field: &c.AuditAge},
		{Flag: "audit-rows", Usage: "how many entries of the audit log are kept; 0 is no limit", field: &c.AuditRows},
		{Flag: "shadow-history-age", Usage: "how long a shadow's changes are remembered", field: &c.ShadowHistoryAge},
		{Flag: "shadow-history-rows", Usage: "of how many of a shadow's last revisions; 0 remembers none", field: &c.ShadowHistoryRows},
		{Flag: "history-age", Usage: "how long a device's connection history is kept", field: &c.HistoryAge},
		{Flag: "history-rows", Usage: "how many entries of it are kept a device", field: &c.HistoryRows},
		{Flag: "property-history-age", Usage: "how long the values that devices reported are kept", field: &c.PropertyHistoryAge},
		{Flag: "property-history-size", Usage: "MiB of them that are kept on this node; 0 keeps none", field: &c.PropertyHistorySize},
		{Flag: "command-age", Usage: "how long the records of commands are kept", field: &c.CommandAge},
		{Flag: "command-rows", Usage: "how many of them are kept a device", field: &c.CommandRows},
		{Flag: "event-age", Usage: "how long the events of devices are kept", field: &c.EventAge},
		{Flag: "event-rows", Usage: "how many of them are kept a device", field: &c.EventRows},
		{Flag: "message-log", Usage: "what the message log keeps of products that do not say it: all, errors or off", field: &c.MessageLog},
		{Flag: "message-log-age", Usage: "how long it is kept", field: &c.MessageLogAge},
		{Flag: "message-log-size", Usage: "MiB of it that are kept on this node", field: &c.MessageLogSize},
		{Flag: "message-log-payload", Usage: "bytes of a message that are kept", field: &c.MessageLogPayload},
		{Flag: "alarm-age", Usage: "how long alarms that are over are kept", field: &c.AlarmAge},
		{Flag: "alarm-rows", Usage: "how many of them are kept of a project", field: &c.AlarmRows},
		{Flag: "metrics-minute-age", Usage: "how long the metrics' points of each minute are kept; then they become quarters of an hour", field: &c.MetricsMinuteAge},
		{Flag: "metrics-age", Usage: "how long the metrics are kept at all", field: &c.MetricsAge},
		{Flag: "oidc-issuer", Usage: "OpenID Connect provider that users may log in through", field: &c.OIDCIssuer},
		{Flag: "oidc-client-id", Usage: "this hub's name at the provider", field: &c.OIDCClientID},
		{Flag: "oidc-client-secret", Usage: "… and its secret", Secret: true, Whole: true, field: &c.OIDCClientSecret},
		{Flag: "oidc-redirect", Usage: "public URL of /v1/login/oidc/callback; empty is below device-base-url", field: &c.OIDCRedirect},
		{Flag: "oidc-project", Usage: "project that a user whom the hub does not know becomes a member of", field: &c.OIDCProject},
		{Flag: "oidc-role", Usage: "… with this role; empty lets in only whom the hub knows", field: &c.OIDCRole},
		{Flag: "log-level", Usage: "debug, info, warn or error", field: &c.LogLevel},
		{Flag: "log-format", Usage: "text or json", field: &c.LogFormat},
		{Flag: "stop-timeout", Usage: "how long a graceful stop may take", field: &c.StopTimeout},
	}
}

// Load makes the effective configuration: a flag wins over the environment, that over the file, that over the
// default. flags holds the flags that were given, by name; file may be "". The result is validated. from says for
// each flag's name where its value came from.
func Load(file string, lookupEnv func(string) (string, bool), flags map[string]string) (c *Config, from map[string]string, err error) {
	config := DefaultConfig()
	c, from = &config, map[string]string{}
	inFile, err := readFile(file)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range c.Settings() {
		from[s.Flag] = "default"
		text, name := "", ""
		if v, ok := inFile[s.Key()]; ok {
			text, name = v, file+": "+s.Key()
			delete(inFile, s.Key())
		}
		if v, ok := lookupEnv(s.Env()); ok {
			text, name = v, s.Env()
		}
		if v, ok := flags[s.Flag]; ok {
			text, name = v, "--"+s.Flag
		}
		if name == "" {
			continue
		}
		if err := s.Set(text); err != nil {
			return nil, nil, fmt.Errorf("%s %q: %w", name, text, err)
		}
		for _, same := range c.Settings() {
			if same.field == s.field { // under all its names
				from[same.Flag] = name
			}
		}
	}
	if v, ok := lookupEnv(keyringEnv); ok {
		c.Keyring = credential.Secret(v)
	}
	for key := range inFile {
		return nil, nil, fmt.Errorf("%s: there is no setting %q; hawser-hub config prints all of them", file, key)
	}
	return c, from, c.Validate()
}

// readFile reads a YAML file of "key: scalar" or "key: [list]" lines.
func readFile(file string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	var nodes map[string]yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&nodes); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("--config %s: %w", file, err)
	}
	values := make(map[string]string, len(nodes))
	for key, n := range nodes {
		switch n.Kind {
		case yaml.ScalarNode:
			if n.Tag != "!!null" {
				values[key] = n.Value
			} else {
				values[key] = ""
			}
		case yaml.SequenceNode:
			var list []string
			if err := n.Decode(&list); err != nil {
				return nil, fmt.Errorf("%s: line %d: %s: %w", file, n.Line, key, err)
			}
			values[key] = strings.Join(list, ",")
		default:
			return nil, fmt.Errorf("%s: line %d: %s: must be a value, not a section", file, n.Line, key)
		}
	}
	return values, nil
}

// secretParameter finds parameters of a URL or connection string that are called like a secret.
var secretParameter = regexp.MustCompile(`(?i)\b(\w*(?:password|secret|token)\w*=)[^\s&]*`)

// Redacted is String with the secrets in it hidden. When it is in doubt what is one, it hides more.
func (s Setting) Redacted() string {
	switch {
	case s.Whole && s.String() != "":
		return "redacted"
	case !s.Secret:
		return s.String()
	}
	// One URL, or of NATS several with commas between. What is before the last @ of each are user and password.
	urls := -1
	if strings.HasPrefix(s.String(), "postgres") {
		urls = 2
	}
	parts := strings.SplitN(s.String(), "://", urls)
	for i := 1; i < len(parts); i++ {
		at := strings.LastIndexByte(parts[i], '@')
		if at < 0 {
			continue
		}
		user, _, hasPassword := strings.Cut(parts[i][:at], ":")
		switch {
		case hasPassword:
			parts[i] = user + ":redacted" + parts[i][at:]
		case !strings.HasPrefix(parts[i-1], "postgres"):
			parts[i] = "redacted" + parts[i][at:] // NATS takes a token there
		}
	}
	return secretParameter.ReplaceAllString(strings.Join(parts, "://"), "${1}redacted")
}

// Write prints the settings as a configuration file that Load takes, each with where it came from. Secrets are hidden.
func (c *Config) Write(w io.Writer, from map[string]string) error {
	for _, s := range c.Settings() {
		if s.Old {
			continue
		}
		value, err := yaml.Marshal(s.Redacted())
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s: %s # %s\n", s.Key(), bytes.TrimSpace(value), from[s.Flag]); err != nil {
			return err
		}
	}
	return nil
}
