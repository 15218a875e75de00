package agent

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/edge-agent/conf"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Config is the file that `hawser-agent run --config` reads, in YAML. A key that
// is not known is an error, so that a typo does not become a default.
type Config struct {
	// Hub is the hub's address: tcp://host:1883, tls://host:8883, ws:// or wss://.
	Hub string `yaml:"hub"`
	// HubFallback are other addresses of the hub, tried in this order when Hub is out of reach.
	HubFallback []string `yaml:"hub_fallback"`
	// Proxy is an HTTP proxy on the way to the hub: http://user:password@host:3128.
	Proxy ProxyURL `yaml:"proxy"`
	// Product and Device are the gateway's own serial numbers; DeviceFile names a file that holds Device instead, such as the address of a network card.
	Product    string `yaml:"product"`
	Device     string `yaml:"device"`
	DeviceFile string `yaml:"device_file"`
	// Secret is the gateway's secret; SecretFile names a file that holds it instead.
	Secret     Secret `yaml:"secret"`
	SecretFile string `yaml:"secret_file"`
	// Register has the gateway ask the hub for its secret at the first start, and keep it in SecretFile.
	Register *Registration `yaml:"register"`
	// Data is the folder for what must last. It is created when it is absent.
	Data string `yaml:"data"`
	// KeepAlive is the MQTT keep-alive to the hub.
	KeepAlive Duration `yaml:"keep_alive"`
	TLS       TLS      `yaml:"tls"`
	Listen    string   `yaml:"listen"`
	Buffer    Buffer   `yaml:"buffer"`
	Log       Log      `yaml:"log"`
	// Firmware says how the gateway takes firmware of its own; absent, it takes none.
	Firmware *Firmware `yaml:"firmware"`
	// Uploads says which files are sent; absent, none are.
	Uploads *Uploads `yaml:"uploads"`
	// Remote says whose configuration is taken from afar; absent, none is.
	Remote *RemoteConfig `yaml:"remote_config"`
	// Subdevices may log in at Listen and are carried to the hub.
	Subdevices []Subdevice `yaml:"subdevices"`
	// Shadows are kept by the agent, for use without the hub.
	Shadows    Shadows `yaml:"shadows"`
	SideConfig `yaml:",inline"`
}

// TLS says whom to trust on tls:// and wss://.
type TLS struct {
	// CA is a PEM file that replaces the system's authorities.
	CA string `yaml:"ca"`
	// Pins are hex SHA-256 digests of acceptable public keys (SubjectPublicKeyInfo).
	Pins       []string `yaml:"pins"`
	ServerName string   `yaml:"server_name"`
}

// Buffer bounds what is kept for a hub that is out of reach.
type Buffer struct {
	MaxBytes    Size     `yaml:"max_bytes"`
	CommitEvery Duration `yaml:"commit_every"`
	// Durability is group or sync: acknowledged when it is on the disk; or ram: in memory while the hub is connected.
	Durability string `yaml:"durability"`
	// WhenFull is drop-oldest, reject-new or thin-out.
	WhenFull string `yaml:"when_full"`
	// TTL is after how long a message is dropped that could not be sent; 0 is never.
	TTL Duration `yaml:"ttl"`
	// AckedRetain is how long messages stay on the disk that the hub has, as long as their room is not needed.
	AckedRetain Duration `yaml:"acked_retain"`
	// Replay is what goes first of what waited for a connection: oldest or newest.
	Replay string `yaml:"replay"`
	// Priority is that of what goes into no other stream.
	Priority int `yaml:"priority"`
	// Streams are those beside the one that the keys above describe.
	Streams []BufferStream `yaml:"streams"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Subdevice is a device behind the gateway.
type Subdevice struct {
	Product string `yaml:"product"`
	Device  string `yaml:"device"`
	Secret  Secret `yaml:"secret"`
	// Sleep is how long it stays online at the hub after it has gone, if its session is persistent; what comes down meanwhile is kept.
	Sleep Duration `yaml:"sleep"`
}

// DefaultConfig returns what a file need not say.
func DefaultConfig() Config {
	return Config{
		Data:      "/var/lib/hawser-agent",
		KeepAlive: Duration(60 * time.Second),
		Listen:    "127.0.0.1:1884",
		Buffer: Buffer{
			MaxBytes: 64 << 20, CommitEvery: Duration(5 * time.Millisecond), Durability: string(buffer.Group),
			WhenFull: string(buffer.DropOldest), AckedRetain: Duration(time.Hour), Replay: oldest,
		},
		Log: Log{Level: "info", Format: "text"},
	}
}

// Load reads and checks a configuration file.
func Load(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	cfg, err := Parse(b)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	return cfg, nil
}

// Parse reads and checks a configuration.
func Parse(b []byte) (Config, error) {
	cfg := DefaultConfig()
	if err := conf.Unmarshal(b, &cfg); err != nil {
		return Config{}, err
	}
	if err := cfg.readFiles(); err != nil {
		return Config{}, err
	}
	if err := cfg.read(); err != nil {
		return Config{}, err
	}
	if cfg.Firmware != nil {
		cfg.Firmware.fill()
	}
	if cfg.Uploads != nil {
		cfg.Uploads.fill()
	}
	if cfg.Remote != nil {
		cfg.Remote.fill()
	}
	return cfg, cfg.Validate()
}

// readFiles reads the files that stand for values.
func (c *Config) readFiles() error {
	if c.DeviceFile != "" {
		if c.Device != "" {
			return errors.New("device and device_file: only one of them may be set")
		}
		b, err := os.ReadFile(c.DeviceFile)
		if err != nil {
			return fmt.Errorf("device_file: %w", err)
		}
		c.Device = strings.TrimSpace(string(b))
	}
	if c.SecretFile == "" {
		return nil
	}
	if c.Secret != "" {
		return errors.New("secret and secret_file: only one of them may be set")
	}
	b, err := os.ReadFile(c.SecretFile)
	if errors.Is(err, fs.ErrNotExist) && c.Register != nil {
		return c.Register.read()
	}
	if err != nil {
		return fmt.Errorf("secret_file: %w", err)
	}
	c.Secret = Secret(strings.TrimSpace(string(b)))
	return nil
}

// Validate reports the first key that is missing or can't be right.
func (c *Config) Validate() error {
	own := c.own()
	switch {
	case c.Hub == "":
		return errors.New("hub: missing; set the hub's address, such as tcp://192.0.2.1:1883")
	case c.Product == "":
		return errors.New("product: missing; set the gateway's ProductSN")
	case c.Device == "":
		return errors.New("device: missing; set the gateway's DeviceSN, or device_file")
	case c.Register != nil && c.SecretFile == "":
		return errors.New("secret_file: missing; register needs a place to keep the secret in")
	case c.Secret == "" && c.Register == nil:
		return errors.New("secret: missing; set it, or secret_file")
	case c.Data == "":
		return errors.New("data: missing; set a folder that the agent may write to")
	case c.KeepAlive < Duration(30*time.Second) || c.KeepAlive > Duration(1200*time.Second):
		return fmt.Errorf("keep_alive: %s is outside 30s..20m", time.Duration(c.KeepAlive))
	case c.Buffer.MaxBytes < 64<<10:
		return fmt.Errorf("buffer.max_bytes: %d is less than 64KiB", c.Buffer.MaxBytes)
	case c.Buffer.Replay != oldest && c.Buffer.Replay != newest:
		return fmt.Errorf("buffer.replay: %q is neither oldest nor newest", c.Buffer.Replay)
	case c.Buffer.AckedRetain < 0:
		return errors.New("buffer.acked_retain: less than nothing")
	case !slices.Contains([]string{"text", "json"}, c.Log.Format):
		return fmt.Errorf("log.format: %q is neither text nor json", c.Log.Format)
	}
	if err := own.Check(); err != nil {
		return fmt.Errorf("product and device: %w", err)
	}
	if err := c.Buffer.validate(); err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil && c.Listen != "" {
		return fmt.Errorf("listen: %w", err)
	}
	if _, err := c.level(); err != nil {
		return err
	}
	if _, err := c.link(); err != nil {
		return err
	}
	if c.Firmware != nil {
		if err := c.Firmware.validate(); err != nil {
			return err
		}
	}
	if c.Uploads != nil {
		if _, err := c.Uploads.config(); err != nil {
			return err
		}
	}
	if c.Remote != nil {
		if _, err := c.Remote.trusted(); err != nil {
			return err
		}
	}
	if err := c.validateSubdevices(own); err != nil {
		return err
	}
	if err := errors.Join(c.Shadows.validate(), c.validateSide(own)); err != nil {
		return err
	}
	return c.checkBrought()
}

func (c *Config) validateSubdevices(own ident.Device) error {
	seen := map[ident.Device]bool{own: true}
	for i, s := range c.Subdevices {
		d := ident.Device{Product: s.Product, SN: s.Device}
		switch err := d.Check(); {
		case err != nil:
			return fmt.Errorf("subdevices[%d]: %w", i, err)
		case s.Secret == "" && !c.registers(s.Product):
			return fmt.Errorf("subdevices[%d]: the secret is missing", i)
		case s.Sleep < 0:
			return fmt.Errorf("subdevices[%d]: sleep: less than nothing", i)
		case seen[d]:
			return fmt.Errorf("subdevices[%d]: %s is there twice", i, d)
		}
		seen[d] = true
	}
	return nil
}

func (c *Config) level() (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.Log.Level)); err != nil {
		return 0, fmt.Errorf("log.level: %q is none of debug, info, warn, error", c.Log.Level)
	}
	return l, nil
}

// link returns the configuration of the gateway's connection.
func (c *Config) link() (link.Config, error) {
	lc := link.Config{
		Server:     c.Hub,
		Fallback:   c.HubFallback,
		Device:     c.own(),
		Secret:     credential.Secret(c.Secret),
		Options:    credential.Options{Buffer: 256 << 10, SUIT: c.Firmware != nil && c.Firmware.Root != ""},
		TLS:        link.TLS{ServerName: c.TLS.ServerName},
		Persistent: true,
		KeepAlive:  time.Duration(c.KeepAlive),
		KeepTrying: true,
	}
	if c.Secret == "" && c.Register != nil {
		lc.Secret, lc.Mode = c.Register.ProductSecret, credential.ModeRegister
	}
	if c.TLS.CA != "" {
		pem, err := os.ReadFile(c.TLS.CA)
		if err != nil {
			return link.Config{}, fmt.Errorf("tls.ca: %w", err)
		}
		lc.TLS.CA = pem
	}
	for i, p := range c.TLS.Pins {
		b, err := hex.DecodeString(p)
		if err != nil || len(b) != 32 {
			return link.Config{}, fmt.Errorf("tls.pins[%d]: want 64 hex digits", i)
		}
		lc.TLS.Pins = append(lc.TLS.Pins, b)
	}
	if c.Proxy != "" {
		u, err := url.Parse(c.Proxy.Reveal())
		if err != nil {
			return link.Config{}, errors.New("proxy: not an address such as http://proxy.example:3128")
		}
		lc.Proxy = u
	}
	if _, err := link.New(lc, slog.New(slog.DiscardHandler)); err != nil {
		return link.Config{}, fmt.Errorf("hub: %w", err)
	}
	return lc, nil
}

// own is the gateway itself.
func (c *Config) own() ident.Device { return ident.Device{Product: c.Product, SN: c.Device} }

// SocketPath is where commands reach the running agent.
func (c *Config) SocketPath() string { return filepath.Join(c.Data, "agent.sock") }

// statePath is the file of the agent's small state.
func (c *Config) statePath() string { return filepath.Join(c.Data, "state.db") }

// BufferDir is the buffer's folder in the data folder.
func (c *Config) BufferDir() string { return filepath.Join(c.Data, "buffer") }

// Logger builds the logger that the file asks for.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	level, err := c.level()
	if err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// What of Buffer.Replay goes first.
const (
	oldest = "oldest"
	newest = "newest"
)

// ProxyURL is an address that may hold a password.
type ProxyURL = credential.Secret

// Secret is a secret of the file; it does not print itself.
type Secret = credential.Secret

// Duration reads "5ms", "60s", "20m".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 60s", b)
	}
	*d = Duration(v)
	return nil
}

// Size reads bytes as a number, or with a unit: 512KiB, 64MiB, 1GiB.
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(b []byte) error {
	text, unit := string(b), int64(1)
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if t, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = strings.TrimSpace(t), u
		}
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 || v > (1<<62)/unit {
		return fmt.Errorf("%q is not a size such as 64MiB", b)
	}
	*s = Size(v * unit)
	return nil
}
