package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
)

// filledBuffer returns a configuration whose buffer holds two messages.
func filledBuffer(t *testing.T, text string) string {
	dir := t.TempDir()
	path := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(path, []byte(text+"data: "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := agent.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := buffer.Open(buffer.Config{Dir: cfg.BufferDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // Run commits what it finds, and ends
	for range 2 {
		b.Stream(buffer.DefaultStream).Append(buffer.Record{Topic: "/p/d/upload", Payload: []byte("hello"), Time: time.Now()}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := errors.Join(b.Run(ctx), b.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	bad := filepath.Join(dir, "bad.yaml")
	text := "hub: tcp://192.0.2.1:1883\nproduct: abcdefghij012345\ndevice: gateway-1\nsecret: 0123456789abcdef\n"
	local := filepath.Join(dir, "local.yaml") // where nothing listens
	withFirmware := filepath.Join(dir, "firmware.yaml")
	section := "data: " + dir + "/data\nfirmware: {allow_unsigned: true, boot: {kind: agent, path: " + dir + "}, modules: [{name: default, version: \"1\", paths: {A: /a, B: /b}}]}\n"
	for path, s := range map[string]string{good: text + "data: " + dir + "/none\n", bad: text + "typo: 1\n", local: strings.Replace(text, "192.0.2.1:1883", "127.0.0.1:1", 1) + "data: " + dir + "\n", withFirmware: text + section} {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	withBuffer := filledBuffer(t, text)
	for _, tt := range []struct {
		name  string
		args  []string
		out   string // part of stdout
		err   string // part of the error, "" for none
		usage bool
	}{
		{"nothing", nil, "", "name a command", true},
		{"unknown", []string{"fly"}, "", "fly", true},
		{"help", []string{"help"}, "doctor", "", false},
		{"version", []string{"version"}, "hawser-agent dev", "", false},
		{"good", []string{"check-config", "--config", good}, "ok: gateway abcdefghij012345/gateway-1", "", false},
		{"bad", []string{"check-config", "--config", bad}, "", "typo", true},
		{"no file", []string{"run"}, "", "--config is missing", true},
		{"absent file", []string{"run", "--config", dir + "/no"}, "", "no such file", true},
		{"extra", []string{"run", "--config", good, "x"}, "", "unexpected argument", true},
		{"ota", []string{"ota"}, "", "name a command of ota", true},
		{"ota help", []string{"ota", "help"}, "rollback", "", false},
		{"ota unknown", []string{"ota", "fly"}, "", "fly", true},
		{"ota without a section", []string{"ota", "status", "--config", good}, "", "no section firmware", false},
		{"ota status", []string{"ota", "status", "--config", withFirmware}, "update:     none", "", false},
		{"ota status in JSON", []string{"ota", "status", "-o", "json", "--config", withFirmware}, `"installed": []`, "", false},
		{"ota history", []string{"ota", "history", "--config", withFirmware, "-o", "json"}, "[]", "", false},
		{"ota format", []string{"ota", "status", "-o", "xml", "--config", withFirmware}, "", "want text or json", true},
		{"ota consent", []string{"ota", "consent", "--config", withFirmware}, "", "no update waits", false},
		{"ota rollback", []string{"ota", "rollback", "--config", withFirmware}, "", "does not run", false},
		{"buffer", []string{"buffer"}, "", "name a command of buffer", true},
		{"buffer help", []string{"buffer", "help"}, "verify", "", false},
		{"buffer unknown", []string{"buffer", "fly"}, "", "fly", true},
		{"buffer stat", []string{"buffer", "stat", "--config", withBuffer}, "2 waiting", "", false},
		{"buffer stat of the stream", []string{"buffer", "stat", "--config", withBuffer}, "priority 0, group, drop-oldest", "", false},
		{"buffer stat in JSON", []string{"buffer", "stat", "--config", withBuffer, "-o", "json"}, `"records": 2`, "", false},
		{"buffer dump", []string{"buffer", "dump", "--config", withBuffer}, "/p/d/upload  5 bytes", "", false},
		{"buffer dump in JSON", []string{"buffer", "dump", "--config", withBuffer, "-o", "json"}, `"payload":"aGVsbG8="`, "", false},
		{"buffer verify", []string{"buffer", "verify", "--config", withBuffer}, "ok", "", false},
		{"buffer without one", []string{"buffer", "stat", "--config", good}, "", "no buffer", false},
		{"routes", []string{"routes", "--config", good}, "", "does not run", false},
		{"routes reload", []string{"routes", "reload", "--config", good}, "", "does not run", false},
		{"shadow", []string{"shadow", "--config", good}, "", "does not run", false},
		{"shadow set", []string{"shadow", "set", "--config", good, "--reported", `{"a":1}`}, "", "does not run", false},
		{"shadow without set", []string{"shadow", "--config", good, "--reported", `{"a":1}`}, "", "shadow set", true},
		{"shadow of nobody", []string{"shadow", "--config", good, "--device", "x"}, "", "PRODUCT/DEVICE", true},
		{"driver", []string{"driver"}, "", "want list or check", true},
		{"driver unknown", []string{"driver", "fly"}, "", "fly", true},
		{"driver list", []string{"driver", "list", "--config", good}, "", "does not run", false},
		{"driver check of nothing", []string{"driver", "check"}, "", "name the driver's command", true},
		{"driver check", []string{"driver", "check", "--wait", "1m", "--settings", `{"interval":0.05}`, "--", "/usr/bin/python3", "../../docs/driver-example.py"}, "ok    it publishes", "", false},
		{"driver check of what is none", []string{"driver", "check", "--", "/bin/true"}, "FAIL  its first line", "does not keep to the protocol", false},
		{"config", []string{"config"}, "", "name a command of config", true},
		{"config help", []string{"config", "help"}, "show", "", false},
		{"config apply of nothing", []string{"config", "apply", "--config", good}, "", "--new", true},
		{"config apply of what is wrong", []string{"config", "apply", "--config", good, "--new", bad}, "", "typo", false},
		{"config unknown", []string{"config", "fly"}, "", "fly", true},
		{"config check", []string{"config", "check", "--config", good}, "ok: gateway abcdefghij012345/gateway-1", "", false},
		{"config show", []string{"config", "show", "--config", good}, "device: \"gateway-1\"", "", false},
		{"status of nobody", []string{"status", "--config", good}, "", "does not run", false},
		{"status format", []string{"status", "--config", good, "-o", "xml"}, "", "want text or json", true},
		{"logs of nobody", []string{"logs", "--config", good}, "", "does not run", false},
		{"too many lines", []string{"logs", "--config", good, "-n", "5000"}, "", "want 0 to 1000", true},
		{"doctor without a configuration", []string{"doctor"}, "", "--config is missing", true},
		{"diagnose", []string{"diagnose", "--config", local, "--out", dir + "/d.tar.gz"}, "status.json", "", false},
		{"diagnose again", []string{"diagnose", "--config", local, "--out", dir + "/d.tar.gz"}, "", "exists", false},
		{"doctor", []string{"doctor", "--config", local}, "fail  tcp", "see above", false},
		{"doctor in JSON", []string{"doctor", "--config", local, "-o", "json"}, `"check": "tcp"`, "see above", false},
		{"publish help", []string{"publish", "-h"}, "", "help", false},
		{"publish nothing", []string{"publish", "--config", good}, "", "--topic", true},
		{"publish nowhere", []string{"publish", "--config", good, "--topic", "upload", "--payload", "x"}, "", "does not run", false},
		{"launch", []string{"launch"}, "", "--dir", true},
		{"launch nothing", []string{"launch", "--dir", dir, "--", "run"}, "", "no such file", false},
		{"flag", []string{"run", "--cofnig", good}, "", "cofnig", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			err := command(context.Background(), tt.args, &out, &errOut)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want one with %q", err, tt.err)
			}
			if got := errors.As(err, new(usageError)); got != tt.usage {
				t.Errorf("wrong use = %v, want %v", got, tt.usage)
			}
			if !strings.Contains(out.String(), tt.out) {
				t.Errorf("printed %q, want %q in it", out.String(), tt.out)
			}
			if strings.Contains(out.String()+errOut.String(), "0123456789abcdef") {
				t.Error("a secret was printed")
			}
		})
	}
}
