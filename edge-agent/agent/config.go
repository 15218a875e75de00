package agent

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Config is the file that `hawser-agent run --config` reads, in YAML. A key that
// is not known is an error, so that a typo does not become a default.
type Config struct {
	// Hub is the hub's address: tcp://host:1883, tls://host:8883, ws:// or wss://.
	Hub string `yaml:"hub"`
	// Product and Device are the gateway's own serial numbers.
	Product string `yaml:"product"`
	Device  string `yaml:"device"`
	// Secret is the gateway's secret; SecretFile names a file that holds it instead.
	Secret     Secret `yaml:"secret"`
	SecretFile string `yaml:"secret_file"`
	// Data is the folder for what must last. It is created when it is absent.
	Data string `yaml:"data"`
	// KeepAlive is the MQTT keep-alive to the hub.
	KeepAlive Duration `yaml:"keep_alive"`
	TLS       TLS      `yaml:"tls"`
	Listen    string   `yaml:"listen"`
	Buffer    Buffer   `yaml:"buffer"`
	Log       Log      `yaml:"log"`
	// Subdevices may log in at Listen and are carried to the hub.
	Subdevices []Subdevice `yaml:"subdevices"`
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
}

// DefaultConfig returns what a file need not say.
func DefaultConfig() Config {
	return Config{
		Data:      "/var/lib/hawser-agent",
		KeepAlive: Duration(60 * time.Second),
		Listen:    "127.0.0.1:1884",
		Buffer:    Buffer{MaxBytes: 64 << 20, CommitEvery: Duration(5 * time.Millisecond)},
		Log:       Log{Level: "info", Format: "text"},
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
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&cfg); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, err
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("the file holds more than one YAML document")
	}
	if err := cfg.readSecret(); err != nil {
		return Config{}, err
	}
	return cfg, cfg.Validate()
}

func (c *Config) readSecret() error {
	if c.SecretFile == "" {
		return nil
	}
	if c.Secret != "" {
		return errors.New("secret and secret_file: only one of them may be set")
	}
	b, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return fmt.Errorf("secret_file: %w", err)
	}
	c.Secret = Secret(strings.TrimSpace(string(b)))
	return nil
}

// Validate reports the first key that is missing or can't be right.
func (c *Config) Validate() error {
	own := ident.Device{Product: c.Product, SN: c.Device}
	switch {
	case c.Hub == "":
		return errors.New("hub: missing; set the hub's address, such as tcp://192.0.2.1:1883")
	case c.Product == "":
		return errors.New("product: missing; set the gateway's ProductSN")
	case c.Device == "":
		return errors.New("device: missing; set the gateway's DeviceSN")
	case c.Secret == "":
		return errors.New("secret: missing; set it, or secret_file")
	case c.Data == "":
		return errors.New("data: missing; set a folder that the agent may write to")
	case c.KeepAlive < Duration(30*time.Second) || c.KeepAlive > Duration(1200*time.Second):
		return fmt.Errorf("keep_alive: %s is outside 30s..20m", time.Duration(c.KeepAlive))
	case c.Buffer.MaxBytes < 64<<10:
		return fmt.Errorf("buffer.max_bytes: %d is less than 64KiB", c.Buffer.MaxBytes)
	case c.Buffer.CommitEvery <= 0 || c.Buffer.CommitEvery > Duration(time.Second):
		return fmt.Errorf("buffer.commit_every: %s is outside 0..1s", time.Duration(c.Buffer.CommitEvery))
	case !slices.Contains([]string{"text", "json"}, c.Log.Format):
		return fmt.Errorf("log.format: %q is neither text nor json", c.Log.Format)
	}
	if err := own.Check(); err != nil {
		return fmt.Errorf("product and device: %w", err)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if _, err := c.level(); err != nil {
		return err
	}
	if _, err := c.link(); err != nil {
		return err
	}
	return c.validateSubdevices(own)
}

func (c *Config) validateSubdevices(own ident.Device) error {
	seen := map[ident.Device]bool{own: true}
	for i, s := range c.Subdevices {
		d := ident.Device{Product: s.Product, SN: s.Device}
		switch err := d.Check(); {
		case err != nil:
			return fmt.Errorf("subdevices[%d]: %w", i, err)
		case s.Secret == "":
			return fmt.Errorf("subdevices[%d]: the secret is missing", i)
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
		Device:     ident.Device{Product: c.Product, SN: c.Device},
		Secret:     credential.Secret(c.Secret),
		Options:    credential.Options{Buffer: 256 << 10},
		TLS:        link.TLS{ServerName: c.TLS.ServerName},
		Persistent: true,
		KeepAlive:  time.Duration(c.KeepAlive),
		KeepTrying: true,
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
	if _, err := link.New(lc, slog.New(slog.DiscardHandler)); err != nil {
		return link.Config{}, fmt.Errorf("hub: %w", err)
	}
	return lc, nil
}

// bufferPath is the buffer's file in the data folder.
func (c *Config) bufferPath() string { return filepath.Join(c.Data, "uplink.db") }

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

// Secret is a secret of the file; it does not print itself.
type Secret = credential.Secret

// Duration reads "5ms", "60s", "20m".
type Duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is not a duration such as 60s", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// Size reads bytes as a number, or with a unit: 512KiB, 64MiB, 1GiB.
type Size int64

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	text, unit := n.Value, int64(1)
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if t, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = strings.TrimSpace(t), u
		}
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 || v > (1<<62)/unit {
		return fmt.Errorf("line %d: %q is not a size such as 64MiB", n.Line, n.Value)
	}
	*s = Size(v * unit)
	return nil
}
