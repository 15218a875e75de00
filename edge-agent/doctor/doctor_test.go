package doctor

import (
	"context"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/ident"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func find(list []Finding, check string) Finding {
	for _, f := range list {
		if f.Check == check {
			return f
		}
	}
	return Finding{}
}

// TestNetwork breaks the way to a hub at each step; the steps behind it are not tried.
func TestNetwork(t *testing.T) {
	hub := devicetest.New(t)
	id := hub.AddDevice(devicetest.Device{})
	off := hub.AddDevice(devicetest.Device{})
	hub.SetEnabled(off, false)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed.Close()
	plain := strings.TrimPrefix(hub.URL(), "tcp://")
	good := link.Config{Server: hub.TLSURL(), Device: id, Secret: hub.Secret(id), TLS: link.TLS{CA: hub.CA()}}
	for _, tt := range []struct {
		name   string
		change func(c *link.Config)
		check  string // the first that failed, "" for none
		do     string
	}{
		{"well", func(*link.Config) {}, "", ""},
		{"well without TLS", func(c *link.Config) { c.Server = hub.URL() }, "", ""},
		{"no such name", func(c *link.Config) { c.Server = "tls://nowhere.invalid:8883" }, "dns", "resolv.conf"},
		{"nobody there", func(c *link.Config) { c.Server = "tls://" + closed.Addr().String() }, "tcp", "nothing listens"},
		{"no TLS there", func(c *link.Config) { c.Server = "tls://" + plain }, "tls", "TLS"},
		{"another CA", func(c *link.Config) { c.TLS.CA = nil }, "tls", "CA is not trusted"},
		{"another name", func(c *link.Config) { c.TLS.ServerName = "hub.example" }, "tls", "another name"},
		{"another pin", func(c *link.Config) { c.TLS = link.TLS{Pins: [][]byte{make([]byte, 32)}} }, "tls", "another key"},
		{"wrong secret", func(c *link.Config) { c.Secret = "wrong" }, "login", "compare product"},
		{"disabled", func(c *link.Config) { c.Device, c.Secret = off, hub.Secret(off) }, "login", "enable"},
		{"unknown", func(c *link.Config) { c.Device = ident.Device{Product: id.Product, SN: "nobody"} }, "login", "compare product"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := DefaultConfig()
			c.Link, c.Timeout = good, 5*time.Second
			tt.change(&c.Link)
			list := c.network(t.Context())
			first := Finding{}
			for _, f := range list {
				// The test hub's certificate ends tomorrow, which is a warning.
				if f.State == Fail && first.Check == "" {
					first = f
				}
			}
			if first.Check != tt.check || !strings.Contains(first.Do, tt.do) {
				t.Errorf("found %+v, want %s with %q", first, tt.check, tt.do)
			}
			if tt.check != "" && tt.check != "login" && find(list, "login").State != Skip {
				t.Errorf("the login was tried: %+v", list)
			}
		})
	}
}

func TestClock(t *testing.T) {
	at := func(text string) time.Time {
		tm, err := time.Parse("2006-01-02", text)
		must(t, err)
		return tm
	}
	chain := []*x509.Certificate{{NotBefore: at("2026-05-01"), NotAfter: at("2027-05-01")}}
	for text, want := range map[string]string{"1970-01-01": "before this program", "2026-04-01": "begins", "2028-01-01": "after the end", "2026-06-01": ""} {
		f := Config{}.clock(chain, at(text))
		if (f.State == OK) != (want == "") || !strings.Contains(f.Detail, want) {
			t.Errorf("%s: %+v, want %q", text, f, want)
		}
	}
	if f := (Config{}).clock(nil, at("2027-06-01")); f.State != OK {
		t.Errorf("without a certificate: %+v", f)
	}
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	if f := (Config{Data: dir}).disk(); f.State == Fail || !strings.Contains(f.Detail, "MiB free") {
		t.Errorf("%+v", f)
	}
	if list, _ := os.ReadDir(dir); len(list) > 0 {
		t.Errorf("it left %v", list)
	}
	if f := (Config{Data: filepath.Join(dir, "none")}).disk(); f.State != Warn {
		t.Errorf("no folder: %+v", f)
	}
	// Nobody can write to these, the superuser included.
	if f := (Config{Data: "/proc/self"}).disk(); f.State != Fail || f.Do == "" {
		t.Errorf("no writing: %+v", f)
	}
}

func TestFlash(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		state State
		text  string
	}{
		{"nothing", nil, Skip, "tells nothing"},
		{"SD card", map[string]string{"block/mmcblk0/device/name": "SD"}, Skip, ""},
		{"new", map[string]string{"block/mmcblk0/device/life_time": "0x01 0x02\n", "block/mmcblk0/device/pre_eol_info": "0x01\n"}, OK, "at most 20 %"},
		{"worn", map[string]string{"block/mmcblk0/device/life_time": "0x09 0x02", "block/mmcblk0/device/pre_eol_info": "0x01"}, Warn, "90 %"},
		{"few spare blocks", map[string]string{"block/mmcblk0/device/life_time": "0x01 0x02", "block/mmcblk0/device/pre_eol_info": "0x02"}, Warn, ""},
		{"dead", map[string]string{"block/mmcblk0/device/life_time": "0x0b 0x02", "block/mmcblk0/device/pre_eol_info": "0x01"}, Fail, "exceeded"},
		{"NAND", map[string]string{"class/ubi/ubi0/bad_peb_count": "3", "class/ubi/ubi0/reserved_for_bad": "17", "class/ubi/ubi0/max_ec": "120"}, OK, "3 bad blocks"},
		{"NAND at its end", map[string]string{"class/ubi/ubi0/bad_peb_count": "19", "class/ubi/ubi0/reserved_for_bad": "1"}, Warn, "only 1 to spare"},
		{"rubbish", map[string]string{"block/mmcblk0/device/life_time": "many", "class/ubi/ubi0/bad_peb_count": "x"}, Skip, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sys := t.TempDir()
			for name, text := range tt.files {
				path := filepath.Join(sys, name)
				must(t, os.MkdirAll(filepath.Dir(path), 0o700))
				must(t, os.WriteFile(path, []byte(text), 0o600))
			}
			f := Config{Sys: sys}.flash()
			if f.State != tt.state || !strings.Contains(f.Detail, tt.text) || (f.State == Warn || f.State == Fail) != (f.Do != "") {
				t.Errorf("%+v, want %s with %q", f, tt.state, tt.text)
			}
		})
	}
}

func TestExamineSaysWhatTheAgentSays(t *testing.T) {
	c := DefaultConfig()
	c.Data = t.TempDir()
	c.Link.Server = "tcp://127.0.0.1:1"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, tt := range []struct {
		running *Running
		state   State
		detail  string
	}{
		{nil, Warn, "does not run"},
		{&Running{}, Fail, "not connected"},
		{&Running{LastError: "no route"}, Fail, "no route"},
		{&Running{Connected: true}, OK, "connected since"},
	} {
		c.Running = tt.running
		list := Examine(ctx, c)
		if f := find(list, "agent"); f.State != tt.state || !strings.Contains(f.Detail, tt.detail) {
			t.Errorf("%+v, want %s with %q", f, tt.state, tt.detail)
		}
		if Worst(list) != Fail { // nothing listens at port 1
			t.Errorf("the worst is %s", Worst(list))
		}
	}
}
