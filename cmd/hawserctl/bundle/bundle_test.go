package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func good() Config {
	return Config{
		Hub: "tls://hub.example:8883", Product: "abcdefghij012345", Device: "gw-1", Secret: "0123456789abcdef", CA: []byte("PEM\n"),
		Variant: "gateway", Init: Systemd, Agent: []byte("program"),
	}
}

func TestFiles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string // names with modes
		yaml   map[string]any
	}{
		{"systemd", func(*Config) {}, "etc/hawser-agent/ 0700, etc/hawser-agent/agent.yaml 0600, etc/hawser-agent/ca.pem 0644, etc/hawser-agent/secret 0600, " +
			"etc/systemd/system/hawser-agent.service 0644, usr/bin/hawser-agent 0755",
			map[string]any{"device": "gw-1", "secret_file": "/etc/hawser-agent/secret", "data": "/var/lib/hawser-agent", "tls": map[string]any{"ca": "/etc/hawser-agent/ca.pem"}}},
		{"OpenWrt, no CA", func(c *Config) { c.Init, c.CA = Procd, nil }, "etc/hawser-agent/ 0700, etc/hawser-agent/agent.yaml 0600, etc/hawser-agent/secret 0600, " +
			"etc/init.d/hawser-agent 0755, usr/bin/hawser-agent 0755",
			map[string]any{"data": "/opt/hawser-agent", "tls": nil}},
		{"factory", func(c *Config) {
			c.Init, c.Prefix, c.Device, c.DeviceFile, c.Secret, c.ProductSecret = SysV, "/opt/x", "", "/sys/class/net/eth0/address", "", "ps"
		}, "etc/hawser-agent/ 0700, etc/hawser-agent/agent.yaml 0600, etc/hawser-agent/ca.pem 0644, etc/hawser-agent/product.secret 0600, " +
			"etc/init.d/hawser-agent 0755, usr/bin/hawser-agent 0755",
			map[string]any{"device_file": "/sys/class/net/eth0/address", "register": map[string]any{"product_secret_file": "/opt/x/etc/hawser-agent/product.secret"},
				"secret_file": "/opt/x/etc/hawser-agent/secret"}},
		{"more", func(c *Config) {
			c.Listen, c.Pins, c.Extra = "10.0.0.1:1883", []string{"ab"}, "buffer: {max_bytes: 4MiB}"
			c.ConfigKeys = []string{"12e3", "ab"}
		},
			"etc/hawser-agent/ 0700, etc/hawser-agent/agent.yaml 0600, etc/hawser-agent/ca.pem 0644, etc/hawser-agent/secret 0600, " +
				"etc/systemd/system/hawser-agent.service 0644, usr/bin/hawser-agent 0755",
			map[string]any{"listen": "10.0.0.1:1883", "buffer": map[string]any{"max_bytes": "4MiB"}, "remote_config": map[string]any{"keys": []any{"12e3", "ab"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.change(&c)
			files, err := c.Files()
			must(t, err)
			var names []string
			for _, f := range files {
				names = append(names, fmt.Sprintf("%s %04o", f.Name, f.Mode.Perm()))
				holds := bytes.Contains(f.Bytes, []byte("0123456789abcdef")) || string(f.Bytes) == "ps\n"
				if holds && f.Mode.Perm() != 0o600 {
					t.Errorf("%s holds a secret with mode %v", f.Name, f.Mode)
				}
				if f.Name != settings+"agent.yaml" {
					continue
				}
				var got map[string]any
				must(t, yaml.Unmarshal(f.Bytes, &got))
				for key, want := range tt.yaml {
					if fmt.Sprint(got[key]) != fmt.Sprint(want) {
						t.Errorf("%s is %v, want %v\n%s", key, got[key], want, f.Bytes)
					}
				}
			}
			if got := strings.Join(names, ", "); got != tt.want {
				t.Errorf("files %s, want %s", got, tt.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no such scheme": func(c *Config) { c.Hub = "http://hub" }, "no hub": func(c *Config) { c.Hub = "" },
		"no device": func(c *Config) { c.Device = "" }, "two devices": func(c *Config) { c.DeviceFile = "/x" },
		"no secret": func(c *Config) { c.Secret = "" }, "two secrets": func(c *Config) { c.ProductSecret = "x" },
		"init": func(c *Config) { c.Init = "runit" }, "variant": func(c *Config) { c.Variant = "mini" },
		"listening core": func(c *Config) { c.Variant, c.Listen = "core", ":1" }, "no program": func(c *Config) { c.Agent = nil },
		"relative prefix": func(c *Config) { c.Init, c.Prefix = SysV, "opt" }, "quotes": func(c *Config) { c.Init, c.Prefix = SysV, "/a'b" },
		"prefix with systemd": func(c *Config) { c.Prefix = "/opt" }, "product": func(c *Config) { c.Product = "x" }, "serial number": func(c *Config) { c.Device = "a b" },
	} {
		c := good()
		change(&c)
		if err := c.Check(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	c := good()
	must(t, c.Check())
}

func TestWrite(t *testing.T) {
	c := good()
	var sums [2][32]byte
	for i := range sums {
		files, err := c.Files()
		must(t, err)
		var b bytes.Buffer
		must(t, Write(&b, files))
		sums[i] = sha256.Sum256(b.Bytes())
		zip, err := gzip.NewReader(&b)
		must(t, err)
		n := 0
		for r := tar.NewReader(zip); ; n++ {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 || h.Name != files[n].Name || h.Mode != int64(files[n].Mode.Perm()) {
				t.Errorf("%+v", h)
			}
		}
		if n != len(files) {
			t.Errorf("%d of %d files", n, len(files))
		}
	}
	if sums[0] != sums[1] {
		t.Error("the same device gave two archives")
	}
}

// TestScripts: the shell takes what starts the agent.
func TestScripts(t *testing.T) {
	for _, init := range []string{SysV, Procd} {
		c := good()
		c.Init = init
		f, err := c.start()
		must(t, err)
		path := filepath.Join(t.TempDir(), init)
		must(t, os.WriteFile(path, f.Bytes, 0o700))
		if out, err := exec.Command("sh", "-n", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", init, err, out)
		}
		if !bytes.Contains(f.Bytes, []byte("/usr/bin/hawser-agent")) || bytes.Contains(f.Bytes, []byte("{{")) {
			t.Errorf("%s:\n%s", init, f.Bytes)
		}
	}
}

func TestTarget(t *testing.T) {
	head := func(class, data byte, machine ...byte) []byte {
		return append(append([]byte("\x7fELF"), class, data), append(make([]byte, 12), machine...)...)
	}
	for _, tt := range []struct {
		head    []byte
		machine string
		want    string
	}{
		{head(2, 1, 62, 0), "x86_64", "linux-amd64"},
		{head(1, 1, 3, 0), "x86_64", "linux-386"},
		{head(2, 1, 183, 0), "aarch64", "linux-arm64"},
		{head(1, 1, 40, 0), "aarch64", "linux-arm-7"}, // programs of 32 bits
		{head(1, 1, 40, 0), "armv7l", "linux-arm-7"},
		{head(1, 1, 40, 0), "armv6l", "linux-arm-6"},
		{head(1, 1, 40, 0), "armv5tejl", "linux-arm-5"},
		{head(1, 1, 8, 0), "mips", "linux-mipsle-softfloat"},
		{head(1, 2, 0, 8), "mips", "linux-mips-softfloat"},
		{head(2, 1, 8, 0), "mips64", "linux-mips64le"},
		{head(2, 1, 243, 0), "riscv64", "linux-riscv64"},
		{head(2, 2, 0, 22), "s390x", ""},
		{head(2, 2, 0, 8), "mips64", ""},
		{[]byte("#!/bin/busybox sh  and more"), "x86_64", ""},
		{nil, "x86_64", ""},
	} {
		got, err := Target(tt.head, tt.machine)
		if got != tt.want || (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, ErrNotProgram) {
			t.Errorf("% x, %s: %q, %v, want %q", tt.head, tt.machine, got, err, tt.want)
		}
	}
	own, err := os.ReadFile("/bin/sh")
	must(t, err)
	if _, err := Target(own[:64], "x86_64"); err != nil {
		t.Errorf("the shell here: %v", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "hawser-agent-core-linux-386"), []byte("x"), 0o600))
	if _, err := Load(dir, "linux-386", "core"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no checksums: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "SHA256SUMS"), fmt.Appendf(nil, "%x  hawser-agent-core-linux-386\n", sha256.Sum256([]byte("x"))), 0o600))
	b, err := Load(dir, "linux-386", "core")
	if err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "hawser-agent-core-linux-386"), []byte("y"), 0o600))
	if _, err := Load(dir, "linux-386", "core"); err == nil || !strings.Contains(err.Error(), "SHA256SUMS") {
		t.Errorf("changed: %v", err)
	}
	if _, err := Load(dir, "linux-amd64", "core"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}
