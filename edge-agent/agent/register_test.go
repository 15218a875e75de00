package agent_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/edge-agent/agent"
)

// TestRegisterAtTheFirstStart: the secret is on the disk before it is used, and the next start has it.
func TestRegisterAtTheFirstStart(t *testing.T) {
	ctx := deadline(t)
	hub := devicetest.New(t)
	id := hub.AddDevice(devicetest.Device{Kind: devicetest.Gateway, ProductSecret: "product-secret-1"})
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	secret := filepath.Join(dir, "secret")
	config := write("agent.yaml", "hub: "+hub.URL()+"\nproduct: "+id.Product+"\ndevice_file: "+write("sn", id.SN+"\n")+"\nsecret_file: "+secret+
		"\nregister: {product_secret_file: "+write("product.secret", "product-secret-1\n")+"}\ndata: "+dir+"/d\nlisten: 127.0.0.1:0\n")
	log := slog.New(slog.DiscardHandler)
	cfg, err := agent.Load(config)
	must(t, err)
	must(t, cfg.Obtain(ctx, log))
	info, err := os.Stat(secret)
	must(t, err)
	b, err := os.ReadFile(secret)
	must(t, err)
	if info.Mode().Perm() != 0o600 || strings.TrimSpace(string(b)) != hub.Secret(id).Reveal() {
		t.Errorf("mode %v, %q", info.Mode(), b)
	}
	if cfg.Secret != hub.Secret(id) || cfg.Device != id.SN {
		t.Errorf("the configuration is %+v", cfg)
	}
	again, err := agent.Load(config)
	must(t, err)
	if again.Secret != cfg.Secret {
		t.Error("the next start does not have the secret")
	}
	a, err := agent.New(again, log)
	must(t, err)
	run, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(run) }()
	must(t, hub.WaitOnline(ctx, id, true))
	cancel()
	must(t, <-ended)
}

func TestRegisterWithoutSuccess(t *testing.T) {
	hub := devicetest.New(t)
	id := hub.AddDevice(devicetest.Device{Kind: devicetest.Gateway})
	dir := t.TempDir()
	cfg, err := agent.Parse([]byte("hub: " + hub.URL() + "\nproduct: " + id.Product + "\ndevice: " + id.SN + "\nsecret_file: " + dir + "/secret\nregister: {product_secret: wrong}\n"))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	log := slog.New(slog.NewTextHandler(writer(func(line string) {
		if strings.Contains(line, "not registered yet") {
			cancel()
		}
	}), nil))
	if err := cfg.Obtain(ctx, log); err != nil || cfg.Secret != "" {
		t.Errorf("secret of %d bytes, %v", len(cfg.Secret), err)
	}
	if _, err := os.Stat(dir + "/secret"); !os.IsNotExist(err) {
		t.Errorf("a secret was kept: %v", err)
	}
	for text, want := range map[string]string{
		"register: {}\nsecret_file: " + dir + "/none":                           "product's secret is missing",
		"register: {product_secret: x}":                                         "secret_file: missing",
		"register: {product_secret: x, product_secret_file: y}\nsecret_file: z": "only one",
		"secret_file: " + dir + "/none":                                         "no such file",
		"secret: x\ndevice_file: /dev/null":                                     "only one",
	} {
		_, err := agent.Parse([]byte("hub: " + hub.URL() + "\nproduct: " + id.Product + "\ndevice: " + id.SN + "\n" + text + "\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// writer is a function of each line.
type writer func(string)

func (w writer) Write(p []byte) (int, error) {
	w(string(p))
	return len(p), nil
}
