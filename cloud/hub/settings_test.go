package hub

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func noEnv(string) (string, bool) { return "", false }

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hub.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPrecedence(t *testing.T) {
	file := write(t, "mqtt_addr: :1\nhttp_addr: :2\nhttps_addr: off\ntls_hosts: [a.example, b.example]\nnode: 7\nstore_dsn:\n")
	env := map[string]string{"HAWSER_HTTP_ADDR": ":3", "HAWSER_DATA": "from-env"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	c, from, err := Load(file, lookup, map[string]string{"data": "from-flag"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, got, want string }{
		{"file", c.MQTTAddr, ":1"},
		{"environment over file", c.HTTPAddr, ":3"},
		{"flag over environment", c.Data, "from-flag"},
		{"default", c.MQTTSAddr, ":8883"},
		{"off in the file", c.HTTPSAddr, "off"},
		{"list", strings.Join(c.TLSHosts, " "), "a.example b.example"},
		{"origin of a flag", from["data"], "--data"},
		{"origin of a variable", from["http-addr"], "HAWSER_HTTP_ADDR"},
		{"origin of a key", from["node"], file + ": node"},
		{"origin of a default", from["mqtts-addr"], "default"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name  string
		file  string
		flags map[string]string
		want  string
	}{
		{"unknown key", "mqt_addr: :1\n", nil, `there is no setting "mqt_addr"`},
		{"section", "mqtt:\n  addr: :1\n", nil, "line 2: mqtt: must be a value"},
		{"key twice", "data: a\ndata: b\n", nil, "already defined"},
		{"not YAML", "{{", nil, "--config"},
		{"no number in the file", "node: one\n", nil, `node "one": invalid syntax`},
		{"address", "", map[string]string{"mqtt-addr": "1883"}, `--mqtt-addr "1883": must be host:port`},
		{"no data folder", "", map[string]string{"data": ""}, "--data: must name a folder"},
		{"base URL", "", map[string]string{"device-base-url": "iot.example"}, "--device-base-url"},
		{"store", "", map[string]string{"store-dsn": "mysql://u:hush@h/d"}, "--store-dsn: must begin with postgres://"},
		{"bus", "", map[string]string{"nats-url": "http://h"}, "--nats-url"},
		{"blobs", "", map[string]string{"blob-url": "ftp://h"}, "--blob-url"},
		{"durability", "", map[string]string{"durability": "hope"}, "--durability"},
		{"duration", "", map[string]string{"commit-every": "5"}, `--commit-every "5": time: missing unit`},
		{"node", "", map[string]string{"node": "1024"}, "--node 1024: must be 0 to 1023"},
		{"keep-alive", "", map[string]string{"keep-alive-max": "10"}, "--keep-alive-max 10: is less than --keep-alive-min 30"},
		{"profiles for everybody", "", map[string]string{"pprof-addr": ":6060"}, `--pprof-addr ":6060": must be a loopback address`},
		{"level", "", map[string]string{"log-level": "loud"}, "--log-level"},
		{"format", "", map[string]string{"log-format": "xml"}, "--log-format"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := ""
			if tt.file != "" {
				file = write(t, tt.file)
			}
			_, _, err := Load(file, noEnv, tt.flags)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("%v shows a password", err)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	c, from, err := Load("", noEnv, map[string]string{
		"store-dsn": "postgres://u:hush@db/hawser?sslmode=disable&sslpassword=hush",
		"nats-url":  "nats://u:hush@h:4222,nats://u:hush@g:4222",
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Write(&b, from); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "hush") {
		t.Errorf("a password is shown:\n%s", b.String())
	}
	if want := "store_dsn: postgres://u:redacted@db/hawser?sslmode=disable&sslpassword=redacted # --store-dsn"; !strings.Contains(b.String(), want) {
		t.Errorf("got\n%s\nwant a line %s", b.String(), want)
	}
	again, _, err := Load(write(t, b.String()), noEnv, nil)
	if err != nil {
		t.Fatalf("what Write writes cannot be loaded: %v", err)
	}
	if again.PublishByteRate != c.PublishByteRate || again.StopTimeout != c.StopTimeout || again.HTTPAddr != c.HTTPAddr {
		t.Errorf("got %+v, want %+v", again, c)
	}
}

func TestEverySettingIsDistinct(t *testing.T) {
	var c Config
	seen := map[any]string{}
	for _, s := range c.Settings() {
		if other, ok := seen[s.field]; ok && !s.Old {
			t.Errorf("%s and %s set the same field", s.Flag, other)
		}
		seen[s.field] = s.Flag
		if s.Usage == "" {
			t.Errorf("%s has no usage", s.Flag)
		}
	}
}

func TestRedacted(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "",
		"postgres://u@h/d":                    "postgres://u@h/d",
		"postgres://u:hush@h/d":               "postgres://u:redacted@h/d",
		"postgres://u:hu@sh@h/d":              "postgres://u:redacted@h/d",
		"postgres://u:hu,s/h@h/d":             "postgres://u:redacted@h/d",
		"postgres://h/d?user=u&password=hush": "postgres://h/d?user=u&password=redacted",
		"postgres://h/d?sslpassword=hush&a=b": "postgres://h/d?sslpassword=redacted&a=b",
		"nats://u:hush@h:1,nats://u:hush@g:2": "nats://u:redacted@h:1,nats://u:redacted@g:2",
		"nats://hush@h:1":                     "nats://redacted@h:1",
		"nats://h:1,tls://g:2":                "nats://h:1,tls://g:2",
	} {
		if got := (Setting{Secret: true, field: &in}).Redacted(); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func FuzzRedacted(f *testing.F) {
	f.Add("hush")
	f.Add("p@ss:w/rd,://")
	f.Fuzz(func(t *testing.T, secret string) {
		const mark = "XYZZY"
		dsn := "postgres://u:" + mark + secret + mark + "@host/d"
		if got := (Setting{Secret: true, field: &dsn}).Redacted(); strings.Contains(got, mark) {
			t.Errorf("%q shows the password of %q", got, dsn)
		}
	})
}
