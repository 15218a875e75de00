package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

const minimal = `hub: tcp://192.0.2.1:1883
product: abcdefghij012345
device: gateway-1
secret: 0123456789abcdef
`

func TestParseConfig(t *testing.T) {
	cfg, err := agent.Parse([]byte(minimal + `
data: /tmp/x
keep_alive: 2m
listen: 192.0.2.7:1884
buffer: {max_bytes: 2MiB, commit_every: 10ms}
log: {level: debug, format: json}
subdevices:
  - {product: abcdefghij012346, device: meter-1, secret: 0123456789abcdef}
`))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Buffer.MaxBytes != 2<<20 || time.Duration(cfg.KeepAlive) != 2*time.Minute || len(cfg.Subdevices) != 1 {
		t.Errorf("cfg = %+v", cfg)
	}
	if s := fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg); strings.Contains(s, "0123456789abcdef") {
		t.Errorf("a printed configuration shows a secret: %s", s)
	}
	def, err := agent.Parse([]byte(minimal))
	if err != nil || def.Listen != "127.0.0.1:1884" || def.Buffer.MaxBytes != 64<<20 {
		t.Errorf("defaults: %+v, %v", def, err)
	}
}

func TestConfigErrorsNameTheKey(t *testing.T) {
	replace := func(old, new string) string { return strings.Replace(minimal, old, new, 1) }
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "hub: missing"},
		{"typo", minimal + "hubb: x\n", "hubb"},
		{"nested typo", minimal + "buffer: {maxbytes: 1MiB}\n", "maxbytes"},
		{"two documents", minimal + "---\nhub: x\n", "more than one"},
		{"not yaml", "\t:", "yaml"},
		{"scheme", replace("tcp://", "http://"), "hub"},
		{"product", replace("abcdefghij012345", "P"), "product"},
		{"no device", replace("device: gateway-1\n", ""), "device: missing"},
		{"no secret", replace("secret: 0123456789abcdef\n", ""), "secret: missing"},
		{"two secrets", minimal + "secret_file: agent_test.go\n", "only one"},
		{"keep alive", minimal + "keep_alive: 5s\n", "keep_alive"},
		{"duration", minimal + "keep_alive: 60\n", "not a duration"},
		{"size", minimal + "buffer: {max_bytes: lots}\n", "not a size"},
		{"small", minimal + "buffer: {max_bytes: 1}\n", "buffer.max_bytes"},
		{"huge", minimal + "buffer: {max_bytes: 99999999999GiB}\n", "not a size"},
		{"listen", minimal + "listen: here\n", "listen"},
		{"level", minimal + "log: {level: loud}\n", "log.level"},
		{"format", minimal + "log: {format: xml}\n", "log.format"},
		{"ca", minimal + "tls: {ca: /does/not/exist}\n", "tls.ca"},
		{"pin", minimal + "tls: {pins: [zz]}\n", "tls.pins[0]"},
		{"subdevice", minimal + "subdevices: [{product: x, device: y, secret: z}]\n", "subdevices[0]"},
		{"subdevice secret", minimal + "subdevices: [{product: abcdefghij012346, device: meter}]\n", "secret is missing"},
		{"itself", minimal + "subdevices: [{product: abcdefghij012345, device: gateway-1, secret: x}]\n", "twice"},
	} {
		if _, err := agent.Parse([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want it to mention %q", tt.name, err, tt.want)
		}
	}
}

func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("fromfile\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(minimal, "secret: 0123456789abcdef", "secret_file: "+path, 1)
	cfg, err := agent.Parse([]byte(text))
	if err != nil || cfg.Secret.Reveal() != "fromfile" {
		t.Errorf("Parse = %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("buffer: {max_bytes: 1KiB}\nsubdevices: [{}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if strings.Contains(string(b), "_file") || strings.Contains(string(b), "ca") {
			return // names of files are followed
		}
		_, _ = agent.Parse(b)
	})
}

func TestExampleIsRight(t *testing.T) {
	cfg, err := agent.Load("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	def := agent.DefaultConfig()
	if len(cfg.Subdevices) != 2 || cfg.Buffer != def.Buffer || cfg.Listen != def.Listen || cfg.KeepAlive != def.KeepAlive || cfg.Data != def.Data {
		t.Errorf("the example differs from the defaults: %+v", cfg)
	}
}
