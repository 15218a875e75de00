package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	bad := filepath.Join(dir, "bad.yaml")
	text := "hub: tcp://192.0.2.1:1883\nproduct: abcdefghij012345\ndevice: gateway-1\nsecret: 0123456789abcdef\n"
	for path, s := range map[string]string{good: text, bad: text + "typo: 1\n"} {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name  string
		args  []string
		out   string // part of stdout
		err   string // part of the error, "" for none
		usage bool
	}{
		{"nothing", nil, "", "name a command", true},
		{"unknown", []string{"fly"}, "", "fly", true},
		{"help", []string{"help"}, "check-config", "", false},
		{"version", []string{"version"}, "hawser-agent dev", "", false},
		{"good", []string{"check-config", "--config", good}, "ok: gateway abcdefghij012345/gateway-1", "", false},
		{"bad", []string{"check-config", "--config", bad}, "", "typo", true},
		{"no file", []string{"run"}, "", "--config is missing", true},
		{"absent file", []string{"run", "--config", dir + "/no"}, "", "no such file", true},
		{"extra", []string{"run", "--config", good, "x"}, "", "unexpected argument", true},
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
