package scenario

import (
	"bytes"
	"database/sql"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // spoils a hub's data file

	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestWrongLoginsAreRefusedWithTheirCode(t *testing.T) {
	hub, devices := fleet(t, 1, nil)
	d := devices[0]
	for _, tt := range []struct {
		name, id, user, password string
		keepAlive                uint16
		want                     byte
	}{
		{"right", d.ClientID(), d.UserName(), d.DeviceSecret, 60, 0},
		{"wrong secret", d.ClientID(), d.UserName(), "0123456789abcdef", 60, 4},
		{"unknown device", d.ProductSN + ".nobody", d.ProductSN + "|nobody|1", d.DeviceSecret, 60, 4},
		{"client id of another device", d.ProductSN + ".other", d.UserName(), d.DeviceSecret, 60, 2},
		{"user name of no form", d.ClientID(), "me", d.DeviceSecret, 60, 4},
		{"keep-alive out of range", d.ClientID(), d.UserName(), d.DeviceSecret, 5, 2},
		{"right again", d.ClientID(), d.UserName(), d.DeviceSecret, 60, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := dialRaw(hub.MQTT)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			got, err := c.connect(tt.id, tt.user, tt.password, tt.keepAlive)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("CONNACK code = %d, want %d", got, tt.want)
			}
		})
	}
	if log := hub.Log(); strings.Contains(log, d.DeviceSecret) {
		t.Error("the device's secret is in the hub's log")
	}
}

func TestSpoiledInputHarmsNobody(t *testing.T) {
	hub, devices := fleet(t, 2, nil)
	bystander := login(t, hub, devices[1])
	d := devices[0]
	for _, tt := range []struct {
		name   string
		spoil  func(c *raw) error
		closed bool
	}{
		{"foreign topic", func(c *raw) error { return c.publishAcked(devices[1].Topic("upload"), []byte(`{}`), 1) }, false},
		{"undefined topic", func(c *raw) error { return c.publishAcked(d.Topic("nosuch"), []byte(`{}`), 1) }, false},
		{"broken JSON", func(c *raw) error { return c.publishAcked(d.System("shadow/upstream"), []byte(`{"Method":`), 1) }, false},
		{"broken CBOR", func(c *raw) error {
			return c.publishAcked(d.System("shadow/upstream"), []byte{0xA1, 0x5F, 0xFF, 0x9B, 0xFF}, 1)
		}, false},
		{"deep JSON", func(c *raw) error {
			return c.publishAcked(d.System("shadow/upstream"), bytes.Repeat([]byte(`{"a":`), 20_000), 1)
		}, false},
		{"oversized packet", func(c *raw) error { return c.send(0x30, make([]byte, 300<<10)) }, true},
		{"reserved packet type", func(c *raw) error { return c.send(0x00, nil) }, true},
		{"reserved flags", func(c *raw) error { return c.send(0x83, []byte{0, 1, 0, 1, 'a', 0}) }, true},
		{"packet id 0", func(c *raw) error { return c.send(0x32, append(mqttString(d.Topic("upload")), 0, 0)) }, true},
		{"length of five bytes", func(c *raw) error { _, err := c.conn.Write([]byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1}); return err }, true},
		{"second CONNECT", func(c *raw) error { return c.send(0x10, append(mqttString("MQTT"), 4, 2, 0, 60, 0, 1, 'x')) }, true},
		{"topic with a wildcard", func(c *raw) error { return c.send(0x30, mqttString(d.Topic("+"))) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := login(t, hub, d)
			defer c.close()
			err := tt.spoil(c)
			if tt.closed {
				if !c.ended() {
					t.Error("the hub kept the connection")
				}
			} else if err != nil {
				t.Errorf("after bad input: %v", err)
			} else if err := c.publishAcked(d.Topic("upload"), []byte(`{"ok":1}`), 9); err != nil {
				t.Errorf("a good message behind the bad one: %v", err)
			}
			if err := bystander.publishAcked(devices[1].Topic("upload"), []byte(`{"ok":1}`), 9); err != nil {
				t.Errorf("another device: %v", err)
			}
		})
	}
	c := login(t, hub, d)
	defer c.close()
	for _, filter := range []string{"#", "/+/+/upload", devices[1].Topic("set"), "/$system/" + d.ProductSN + "/+/shadow/downstream"} {
		if code, err := c.subscribe(filter); err != nil || code != 0x80 {
			t.Errorf("SUBACK for %s = %#x, %v; want 0x80", filter, code, err)
		}
	}
	metrics := get(t, "http://"+hub.HTTP+"/metrics")
	if !strings.Contains(metrics, "hawser_") {
		t.Error("/metrics has no hawser_ counters")
	}
}

func login(t *testing.T, h *harness.Hub, d harness.Credentials) *raw {
	t.Helper()
	c, err := dialRaw(h.MQTT)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	if code, err := c.connect(d.ClientID(), d.UserName(), d.DeviceSecret, 60); err != nil || code != 0 {
		t.Fatalf("login of %s: code %d, %v", d.ClientID(), code, err)
	}
	return c
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// serve runs a hub that is expected to refuse to start, and returns what it says.
func serve(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(harness.Binary(t, "hub"), append([]string{"serve", "--mqtt-addr", "127.0.0.1:0", "--mqtts-addr", "127.0.0.1:0",
		"--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0"}, args...)...)
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("the hub started and ended well:\n%s", out)
	}
	return string(out)
}

func TestHubThatCannotStartSaysWhatToDo(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{})
	dir := t.TempDir()
	t.Run("two hubs on one data folder", func(t *testing.T) {
		wantAll(t, serve(t, "--data", hub.Data), hub.Data, strconv.Itoa(hub.PID()))
	})
	t.Run("port in use", func(t *testing.T) {
		wantAll(t, serve(t, "--data", filepath.Join(dir, "port"), "--mqtt-addr", hub.MQTT), hub.MQTT, "--mqtt-addr")
	})
	t.Run("read-only data folder", func(t *testing.T) {
		data := tmpfs(t, "size=16m")
		if err := syscall.Mount("", data, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		wantAll(t, serve(t, "--data", data), data, "read-only")
	})
	t.Run("full data folder", func(t *testing.T) {
		data := tmpfs(t, "size=64k")
		_ = os.WriteFile(filepath.Join(data, "ballast"), make([]byte, 64<<10), 0o600)
		wantAll(t, serve(t, "--data", data), data, "space")
	})
	t.Run("unknown key in the file", func(t *testing.T) {
		file := filepath.Join(dir, "hub.yaml")
		if err := os.WriteFile(file, []byte("data: "+dir+"\nmqtt_addrs: :1883\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantAll(t, serve(t, "--config", file), file, "mqtt_addrs")
	})
	t.Run("newer schema", func(t *testing.T) {
		if err := hub.Stop(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", filepath.Join(hub.Data, "hawser.db"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)"); err != nil {
			t.Fatal(err)
		}
		db.Close()
		wantAll(t, serve(t, "--data", hub.Data), "99999", "newer")
	})
}

func wantAll(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in: %s", w, got)
		}
	}
}

// tmpfs mounts a small file system for the test.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}
