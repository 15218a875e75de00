package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
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
		{"not yaml", "\t:", "a tab"},
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
		{"when full", minimal + "buffer: {when_full: panic}\n", "buffer.when_full"},
		{"durability", minimal + "buffer: {durability: hope}\n", "buffer.durability"},
		{"ttl", minimal + "buffer: {ttl: -1h}\n", "buffer.ttl"},
		{"priority", minimal + "buffer: {priority: 256}\n", "buffer.priority: 256"},
		{"stream without name", minimal + "buffer: {streams: [{priority: 1}]}\n", "buffer.streams[0].name"},
		{"stream's name", minimal + "buffer: {streams: [{name: A}]}\n", "buffer.streams[0].name: \"A\""},
		{"stream twice", minimal + "buffer: {streams: [{name: a}, {name: a}]}\n", "buffer.streams[1].name: a is there twice"},
		{"the first stream again", minimal + "buffer: {streams: [{name: messages}]}\n", "buffer.streams[0].name: messages"},
		{"stream's durability", minimal + "buffer: {streams: [{name: a, durability: hope}]}\n", "buffer.streams[0].durability"},
		{"stream's eviction", minimal + "buffer: {streams: [{name: a, when_full: panic}]}\n", "buffer.streams[0].when_full"},
		{"stream's ttl", minimal + "buffer: {streams: [{name: a, ttl: -1s}]}\n", "buffer.streams[0].ttl"},
		{"stream's quota", minimal + "buffer: {max_bytes: 1MiB, streams: [{name: a, max_bytes: 2MiB}]}\n", "buffer.streams[0].max_bytes"},
		{"stream's topics", minimal + "buffer: {streams: [{name: a, topics: ['/x/#/y']}]}\n", "buffer.streams[0].topics[0]"},
		{"stream's typo", minimal + "buffer: {streams: [{name: a, topic: x}]}\n", "topic"},
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

const firmware = `firmware:
  allow_unsigned: true
  boot: {kind: uboot, path: /dev/mmcblk0, offsets: [0x100000, 0x110000], size: 8KiB, restart: [reboot]}
  modules:
    - {name: default, class: example.com/thermo-2, version: "1.0", paths: {A: /dev/a, B: /dev/b}}
`

func TestParseFirmware(t *testing.T) {
	cfg, err := agent.Parse([]byte(minimal + firmware))
	if err != nil {
		t.Fatal(err)
	}
	f := cfg.Firmware
	if f.Boot.Tries != 3 || f.Boot.Booted != "rauc.slot" || time.Duration(f.Trial) != 10*time.Minute || len(f.Boot.Slots) != 2 || f.Boot.Size != 8192 {
		t.Errorf("firmware = %+v", f)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"root", "allow_unsigned: true", "allow_unsigned: false", "firmware.root: missing"},
		{"root file", "allow_unsigned: true", "root: /does/not/exist", "firmware.root"},
		{"typo", "allow_unsigned", "allow_unsinged", "allow_unsinged"},
		{"nested typo", "restart:", "reset:", "reset"},
		{"kind", "boot: {kind: uboot, path: /dev/mmcblk0, offsets: [0x100000, 0x110000], size: 8KiB", "boot: {kind: lilo", "lilo"},
		{"path", "path: /dev/mmcblk0, ", "", "path: missing"},
		{"copies", "[0x100000, 0x110000]", "[0, 4096]", "overlap"},
		{"size", "size: 8KiB", "size: 9MiB", "environment"},
		{"tries", "kind: uboot", "kind: uboot, tries: 99", "tries"},
		{"slots", "kind: uboot", "kind: uboot, slots: [A, A]", "twice"},
		{"kind's keys", "kind: uboot", "kind: grub", "of kind uboot"},
		{"class", "example.com/thermo-2", "thermo-2", "VENDOR/CLASS"},
		{"version", `"1.0"`, `"1 0"`, "version"},
		{"paths", ", B: /dev/b", "", "slot B"},
		{"trial", "boot:", "trial: 1ms\n  boot:", "firmware.trial"},
		{"watchdog", "boot:", "watchdog: {every: 1ms}\n  boot:", "firmware.watchdog.every"},
		{"health", "boot:", "checks: {health: [[]]}\n  boot:", "firmware.checks.health[0]"},
	} {
		text := minimal + strings.Replace(firmware, tt.old, tt.new, 1)
		if _, err := agent.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), tt.want) {
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
	if len(cfg.Subdevices) != 2 || !reflect.DeepEqual(cfg.Buffer, def.Buffer) || cfg.Listen != def.Listen || cfg.KeepAlive != def.KeepAlive || cfg.Data != def.Data {
		t.Errorf("the example differs from the defaults: %+v", cfg)
	}
}
