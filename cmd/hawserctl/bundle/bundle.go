// Package bundle makes what is put onto a device so that it comes online by itself: the agent's program, its configuration and credentials, and what starts
// it. A bundle is a tar.gz that is unpacked in the root folder of the device; the same device gives the same bytes each time.
package bundle

import (
	"archive/tar"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// The ways to start the agent.
const (
	Systemd = "systemd"
	Procd   = "procd" // OpenWrt
	SysV    = "sysv"  // a script that keeps the agent running itself
)

// Inits are all of them.
var Inits = []string{Systemd, Procd, SysV}

// Config says what goes onto the device.
type Config struct {
	Hub     string // tls://host:8883
	Product string
	// Device is the serial number; DeviceFile names a file on the device that holds it instead.
	Device, DeviceFile string
	// Secret is the device's own. Without, ProductSecret is for dynamic registration at the first start.
	Secret, ProductSecret credential.Secret
	// CA is what the device trusts; nil is the authorities of its system. Pins are SHA-256 digests of the hub's key, in hex.
	CA   []byte
	Pins []string
	// Variant is core or gateway; Listen is where a gateway's sub-devices log in, "" is the agent's default.
	Variant, Listen string
	Init            string
	// Prefix is the folder that all of it is put into, "" for the root folder.
	Prefix string
	// ConfigKeys are the keys, in hex, whose configurations the agent takes from afar; empty: it takes none.
	ConfigKeys []string
	// Extra are further lines of the configuration.
	Extra string
	// Agent is the program.
	Agent []byte
}

// Check reports what is missing or cannot be right.
func (c *Config) Check() error {
	u, err := url.Parse(c.Hub)
	switch {
	case err != nil:
		return fmt.Errorf("the hub's address for devices: %w", err)
	case u.Host == "" || !slices.Contains([]string{"tcp", "tls", "ws", "wss"}, u.Scheme):
		return fmt.Errorf("the hub's address for devices is %q: want tls://HOST:8883", c.Hub)
	case (c.Device == "") == (c.DeviceFile == ""):
		return errors.New("want a serial number, or a file on the device that holds it")
	case (c.Secret == "") == (c.ProductSecret == ""):
		return errors.New("want the device's secret, or the product's for dynamic registration")
	case !slices.Contains(Inits, c.Init):
		return fmt.Errorf("init %q is none of %s", c.Init, strings.Join(Inits, ", "))
	case c.Variant != "core" && c.Variant != "gateway":
		return fmt.Errorf("variant %q is neither core nor gateway", c.Variant)
	case c.Listen != "" && c.Variant == "core":
		return errors.New("the core agent serves no sub-devices: no address to listen on")
	case c.Prefix != "" && (!path.IsAbs(c.Prefix) || path.Clean(c.Prefix) != c.Prefix || strings.ContainsAny(c.Prefix, " '\"\\$`\n")):
		return fmt.Errorf("the folder %q: want an absolute path of plain characters", c.Prefix)
	case c.Prefix != "" && c.Init != SysV:
		return errors.New("into a folder of its own goes only a script of its own: init sysv")
	case len(c.Agent) == 0:
		return errors.New("the agent's program is missing")
	}
	if c.Device == "" {
		return ident.Device{Product: c.Product, SN: "placeholder"}.Check()
	}
	return ident.Device{Product: c.Product, SN: c.Device}.Check()
}

// File is a file of a bundle; a folder has a name that ends in a slash.
type File struct {
	Name  string // from the Prefix
	Mode  fs.FileMode
	Bytes []byte
}

// Where things are on the device.
const (
	program  = "usr/bin/hawser-agent"
	settings = "etc/hawser-agent/"
)

// Program is the path of the agent's program on the device.
func (c *Config) Program() string { return c.at(program) }

// Settings is the path of its configuration.
func (c *Config) Settings() string { return c.at(settings + "agent.yaml") }

func (c *Config) at(name string) string { return c.Prefix + "/" + name }

// Data is the folder for what lasts. On OpenWrt /var is in memory.
func (c *Config) Data() string {
	if c.Init == Procd {
		return c.at("opt/hawser-agent")
	}
	return c.at("var/lib/hawser-agent")
}

// Files are what is in the bundle, by name. Whatever holds a secret is for its owner only, and so is the folder that it is in.
func (c *Config) Files() ([]File, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	start, err := c.start()
	if err != nil {
		return nil, err
	}
	files := []File{
		{settings, 0o700 | fs.ModeDir, nil}, {settings + "agent.yaml", 0o600, c.yaml()}, {program, 0o755, c.Agent}, start,
	}
	if c.CA != nil {
		files = append(files, File{settings + "ca.pem", 0o644, c.CA})
	}
	if c.Secret != "" {
		files = append(files, File{settings + "secret", 0o600, []byte(c.Secret.Reveal() + "\n")})
	} else {
		files = append(files, File{settings + "product.secret", 0o600, []byte(c.ProductSecret.Reveal() + "\n")})
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

// yaml is the agent's configuration.
func (c *Config) yaml() []byte {
	var b strings.Builder
	line := func(depth, key, value string) { fmt.Fprintf(&b, "%s%s: %s\n", depth, key, strconv.Quote(value)) }
	fmt.Fprintf(&b, "# Made by hawserctl provision. hawser-agent config show --config %s prints what is in force.\n", c.Settings())
	line("", "hub", c.Hub)
	line("", "product", c.Product)
	if c.Device != "" {
		line("", "device", c.Device)
	} else {
		line("", "device_file", c.DeviceFile)
	}
	line("", "secret_file", c.at(settings+"secret"))
	if c.Secret == "" {
		b.WriteString("register:\n")
		line("  ", "product_secret_file", c.at(settings+"product.secret"))
	}
	line("", "data", c.Data())
	if c.Listen != "" {
		line("", "listen", c.Listen)
	}
	if c.CA != nil || len(c.Pins) > 0 {
		b.WriteString("tls:\n")
	}
	if c.CA != nil {
		line("  ", "ca", c.at(settings+"ca.pem"))
	}
	if len(c.Pins) > 0 {
		fmt.Fprintf(&b, "  pins: [%s]\n", strings.Join(c.Pins, ", "))
	}
	if len(c.ConfigKeys) > 0 {
		fmt.Fprintf(&b, "remote_config:\n  keys: [\"%s\"]\n", strings.Join(c.ConfigKeys, `", "`))
	}
	if c.Extra != "" {
		b.WriteString(strings.TrimRight(c.Extra, "\n") + "\n")
	}
	return []byte(b.String())
}

//go:embed service
var services embed.FS

// start is what starts the agent.
func (c *Config) start() (File, error) {
	f := map[string]File{
		Systemd: {Name: "etc/systemd/system/hawser-agent.service", Mode: 0o644},
		Procd:   {Name: "etc/init.d/hawser-agent", Mode: 0o755},
		SysV:    {Name: "etc/init.d/hawser-agent", Mode: 0o755},
	}[c.Init]
	t, err := template.ParseFS(services, "service/"+c.Init)
	if err != nil {
		return f, err
	}
	var b strings.Builder
	err = t.Execute(&b, c)
	f.Bytes = []byte(b.String())
	return f, err
}

// Write writes the files as a tar.gz in which nothing depends on when and by whom it is written.
func Write(w io.Writer, files []File) error {
	zip, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zip)
	for _, f := range files {
		h := &tar.Header{
			Name: f.Name, Mode: int64(f.Mode.Perm()), Size: int64(len(f.Bytes)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR,
			Uname: "root", Gname: "root",
		}
		if f.Mode.IsDir() {
			h.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if _, err := archive.Write(f.Bytes); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}
