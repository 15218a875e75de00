package agent_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/edge-agent/doctor"
	"github.com/hawser-iot/hawser/edge-agent/journal"
	"github.com/hawser-iot/hawser/edge-agent/localapi"
)

// startJournalled starts the agent with a journal, and returns its configuration.
func startJournalled(t *testing.T, s *site) agent.Config {
	t.Helper()
	cfg, err := agent.Load(s.file)
	must(t, err)
	j := journal.New(io.Discard)
	a, err := agent.New(cfg, cfg.Logger(j))
	must(t, err)
	a.Version, a.Journal = "1.2.3", j
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	return cfg
}

func TestStatusOfTheRunningAgent(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 2, "")
	d0 := s.subs[0]
	cfg := startJournalled(t, s)
	d := s.device(t, d0, nil)
	must(t, d.Publish(ctx, "upload", []byte("one")))
	_, err := s.hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == "one" })
	must(t, err)
	var got agent.Status
	for got.Link.InFlight > 0 || len(got.Streams) == 0 || got.Streams[0].Carried == 0 || got.Streams[0].Waiting > 0 {
		must(t, ctx.Err())
		got, err = agent.AskStatus(ctx, cfg)
		must(t, err)
	}
	if !got.Link.Connected || got.Link.Since == nil || got.Link.Logins != 1 || got.Link.Sent == 0 || got.Link.Failure != "" {
		t.Errorf("link %+v", got.Link)
	}
	if b := got.Streams[0]; b.Name != "messages" || b.Waiting != 0 || b.Accepted == 0 || b.Carried != b.Accepted {
		t.Errorf("buffer %+v", b)
	}
	if got.Version != "1.2.3" || got.Variant != "gateway" || got.Device != s.gw.SN || got.Hub != s.hub.URL() || got.PID != os.Getpid() ||
		got.Subdevices != (agent.Subdevices{Configured: 2, Connected: 1}) || got.Memory.Resident < 1<<20 || got.Firmware != nil {
		t.Errorf("status %+v", got)
	}
	s.hub.Pause()
	for got.Link.Failure == "" {
		must(t, ctx.Err())
		got, err = agent.AskStatus(ctx, cfg)
		must(t, err)
	}
	if got.Link.Connected || got.Link.FailedAt == nil || time.Since(*got.Link.FailedAt) > time.Minute {
		t.Errorf("link %+v", got.Link)
	}
	must(t, s.hub.Resume())
}

func TestLogsOfTheRunningAgent(t *testing.T) {
	s := newSite(t, 0, "")
	cfg := startJournalled(t, s)
	ctx, cancel := context.WithCancel(deadline(t))
	var lines []string
	must(t, agent.Logs(ctx, cfg, 1000, true, func(l journal.Line) error {
		if lines = append(lines, l.Text); strings.Contains(l.Text, "connected to the hub") {
			cancel()
		}
		return nil
	}))
	if !strings.Contains(strings.Join(lines, "\n"), "msg=ready") {
		t.Errorf("lines %q", lines)
	}
}

func TestAnswersOfNobody(t *testing.T) {
	cfg := agent.DefaultConfig()
	cfg.Data = t.TempDir()
	_, err := agent.AskStatus(t.Context(), cfg)
	if !errors.Is(err, localapi.ErrNotRunning) {
		t.Errorf("status: %v", err)
	}
	if err := agent.Logs(t.Context(), cfg, 1, true, nil); !errors.Is(err, localapi.ErrNotRunning) {
		t.Errorf("logs: %v", err)
	}
}

// TestShow: what is shown can be read again, and is the same but for the secrets.
func TestShow(t *testing.T) {
	s := newSite(t, 2, "buffer: {ttl: 3h, max_bytes: 1MiB}\ntls: {pins: ["+strings.Repeat("ab", 32)+"]}\n"+
		"firmware: {allow_unsigned: true, boot: {kind: agent, path: /opt/x}, checks: {health: [[a, \"b: c\"]]}, modules: [{name: default, version: \"1\", paths: {A: /a, B: /b}}]}\n")
	cfg, err := agent.Load(s.file)
	must(t, err)
	var b bytes.Buffer
	must(t, cfg.Show(&b))
	if strings.Contains(b.String(), cfg.Secret.Reveal()) || strings.Contains(b.String(), cfg.Subdevices[0].Secret.Reveal()) {
		t.Errorf("a secret is shown:\n%s", b.String())
	}
	var again agent.Config
	dec := yaml.NewDecoder(&b)
	dec.KnownFields(true)
	must(t, dec.Decode(&again))
	want := cfg
	want.Secret, again.Secret = "", ""
	want.Subdevices = nil
	for _, d := range cfg.Subdevices {
		d.Secret = "**redacted**"
		want.Subdevices = append(want.Subdevices, d)
	}
	if fmt.Sprintf("%+v", *again.Firmware) != fmt.Sprintf("%+v", *want.Firmware) {
		t.Errorf("firmware shown and read again: %+v, want %+v", again.Firmware, want.Firmware)
	}
	again.Firmware, want.Firmware = nil, nil
	if fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", want) {
		t.Errorf("shown and read again:\n%+v\nwant\n%+v", again, want)
	}
}

func TestDiagnose(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 1, "")
	cfg := startJournalled(t, s)
	path := filepath.Join(t.TempDir(), "d.tar.gz")
	names, err := agent.Diagnose(ctx, cfg, "1.2.3", path)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	files := unpack(t, path)
	if len(files) != len(names) {
		t.Errorf("%d files, %d are named: %q", len(files), len(names), names)
	}
	for name, b := range files {
		for _, secret := range []string{cfg.Secret.Reveal(), cfg.Subdevices[0].Secret.Reveal()} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("a secret is in %s", name)
			}
		}
	}
	var status agent.Status
	if err := json.Unmarshal(files["status.json"], &status); err != nil || status.Version != "1.2.3" {
		t.Errorf("status.json: %v\n%s", err, files["status.json"])
	}
	var findings []doctor.Finding
	if err := json.Unmarshal(files["doctor.json"], &findings); err != nil || len(findings) < 5 {
		t.Errorf("doctor.json: %v\n%s", err, files["doctor.json"])
	}
	for name, want := range map[string]string{"log.txt": "msg=ready", "config.yaml": "**redacted**", "buffer.json": "messages", "system-proc-meminfo.txt": "MemTotal"} {
		if !bytes.Contains(files[name], []byte(want)) {
			t.Errorf("%s has no %q:\n%s", name, want, files[name])
		}
	}
	if _, err := agent.Diagnose(ctx, cfg, "1.2.3", path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a file that is there was written over: %v", err)
	}
}

func unpack(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	zip, err := gzip.NewReader(f)
	must(t, err)
	files := map[string][]byte{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(t, err)
		if h.Mode != 0o600 {
			t.Errorf("%s has mode %o", h.Name, h.Mode)
		}
		files[h.Name], err = io.ReadAll(r)
		must(t, err)
	}
}

// TestExamine: the login is not tried beside a connected agent, which would lose its connection.
func TestExamine(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 0, "")
	cfg, err := agent.Load(s.file)
	must(t, err)
	list, err := agent.Examine(ctx, cfg)
	must(t, err)
	if doctor.Worst(list) != doctor.Warn || state(list, "agent") != doctor.Warn || state(list, "login") != doctor.OK {
		t.Errorf("without an agent: %+v", list)
	}
	startJournalled(t, s)
	must(t, s.hub.WaitOnline(ctx, s.gw, true))
	for {
		got, err := agent.AskStatus(ctx, cfg)
		must(t, err)
		if got.Link.Connected {
			break
		}
	}
	list, err = agent.Examine(ctx, cfg)
	must(t, err)
	list = slices.DeleteFunc(list, func(f doctor.Finding) bool { return f.Check == "disk" && f.State == doctor.Warn }) // of the machine that tests
	if doctor.Worst(list) != doctor.OK {
		t.Errorf("with an agent: %+v", list)
	}
	if got, err := agent.AskStatus(ctx, cfg); err != nil || got.Link.Logins != 1 {
		t.Errorf("%d logins, %v", got.Link.Logins, err)
	}
}

func state(list []doctor.Finding, check string) doctor.State {
	for _, f := range list {
		if f.Check == check {
			return f.State
		}
	}
	return ""
}
