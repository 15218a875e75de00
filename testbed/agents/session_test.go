package agents

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.RemoveBinaries()
	os.Exit(code)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func long() bool { return os.Getenv("HAWSER_TEST_LONG") != "" }

// targets are those of the test: one of each word size and byte order that gateways mostly have, and all in the long form.
func targets(t *testing.T, short ...string) (list []Target) {
	t.Helper()
	if long() {
		return Targets
	}
	for _, name := range short {
		one, err := Find(name)
		must(t, err)
		list = append(list, one)
	}
	return list
}

// TestAgents builds the agent for other processors in both variants, judges its size, and runs a session of each: it logs in over TLS, takes
// a message from another process, has it acknowledged by the hub, and ends.
func TestAgents(t *testing.T) {
	sizes, err := ReadSizes(filepath.Join(harness.Root(t), SizesFile))
	must(t, err)
	hub := harness.StartHub(t, harness.HubOptions{})
	product := hub.Product(map[string]any{"name": "field", "kind": "gateway"})
	for _, target := range targets(t, smallest, "linux-arm-7", "linux-386") {
		for _, variant := range Variants {
			t.Run(variant+"-"+target.Name(), func(t *testing.T) {
				t.Parallel()
				program := filepath.Join(t.TempDir(), "hawser-agent")
				must(t, Build(t.Context(), harness.Root(t), target, variant, "1.2.3", program))
				info, err := os.Stat(program)
				must(t, err)
				t.Logf("%d bytes", info.Size())
				if err := sizes.Judge(target, variant, info.Size()); err != nil {
					t.Error(err)
				}
				isStatic(t, program)
				s := session{t, target, program, configure(t, hub, product)}
				if out := s.run("version"); !strings.HasPrefix(out, "hawser-agent 1.2.3 "+variant+" ") || !strings.HasSuffix(out, "linux/"+target.Arch+"\n") {
					t.Errorf("version says %q", out)
				}
				s.carry(hub)
			})
		}
	}
}

// session is an agent of one target.
type session struct {
	t       *testing.T
	target  Target
	program string
	config  string
}

// configure makes a device and the agent's configuration for it.
func configure(t *testing.T, hub *harness.Hub, product string) (path string) {
	t.Helper()
	d := hub.Devices(product, 1)[0]
	dir := t.TempDir()
	path = filepath.Join(dir, "agent.yaml")
	text := fmt.Sprintf("hub: tls://%s\ntls: {pins: [%s]}\nproduct: %s\ndevice: %s\nsecret: %s\ndata: %s/d\nlisten: 127.0.0.1:0\n",
		hub.MQTTS, pinOf(t, hub), d.ProductSN, d.DeviceSN, d.DeviceSecret, dir)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func pinOf(t *testing.T, hub *harness.Hub) string {
	t.Helper()
	c, err := tls.Dial("tcp", hub.MQTTS, &tls.Config{InsecureSkipVerify: true}) // to see its key
	must(t, err)
	defer c.Close()
	return fmt.Sprintf("%x", sha256.Sum256(c.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo))
}

// command is the agent's program under what runs it here.
func (s session) command(ctx context.Context, args ...string) *exec.Cmd {
	argv := append([]string{s.program}, args...)
	if s.target.QEMU != "" {
		argv = append([]string{s.target.QEMU}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// patience is for a program of another processor on a busy machine.
const patience = 3 * time.Minute

func (s session) run(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var errOut bytes.Buffer
	cmd := s.command(ctx, args...)
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%q: %v\n%s", args, err, errOut.String())
	}
	return string(out)
}

// lines is a log that grows.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// carry starts the agent, hands it a property, and ends it when the hub has the shadow and the agent its acknowledgement.
func (s session) carry(hub *harness.Hub) {
	s.t.Helper()
	product, device := s.names()
	var log lines
	ctx, kill := context.WithCancel(s.t.Context())
	defer kill()
	cmd := s.command(ctx, "run", "--config", s.config)
	cmd.Stderr = &log
	must(s.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.eventually(&log, "ready", func() bool { return strings.Contains(log.String(), "msg=ready") })
	body := `{"Method":"update","State":{"Reported":{"temperature":21.5}},"Version":0}`
	s.run("publish", "--config", s.config, "--topic", "/$system/"+product+"/"+device+"/shadow/upstream", "--payload", body)
	s.eventually(&log, "the hub has the shadow", func() bool {
		var all json.RawMessage
		err := hub.Call("GET", "/v1/products/"+product+"/devices/"+device+"/shadow", nil, &all)
		return err == nil && strings.Contains(string(all), "21.5")
	})
	s.eventually(&log, "acknowledged", func() bool { return strings.Contains(s.run("buffer", "stat", "--config", s.config), ": 0 waiting") })
	must(s.t, cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-ended:
		if err != nil || !strings.Contains(log.String(), "msg=stopped buffered=0") {
			s.t.Errorf("it ended with %v\n%s", err, log.String())
		}
	case <-time.After(patience):
		s.t.Errorf("it does not end\n%s", log.String())
	}
}

func (s session) eventually(log *lines, what string, cond func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !cond(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %v: %s\n%s", patience, what, log.String())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// names are the product and the device of the configuration.
func (s session) names() (product, device string) {
	b, err := os.ReadFile(s.config)
	must(s.t, err)
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "product":
			product = value
		case "device":
			device = value
		}
	}
	return product, device
}

// TestEmulators are there for all processors, so that none is left out.
func TestEmulators(t *testing.T) {
	for _, target := range Targets {
		if target.QEMU == "" {
			continue
		}
		if _, err := exec.LookPath(target.QEMU); errors.Is(err, exec.ErrNotFound) {
			t.Errorf("%v: make install-test-deps installs it", err)
		}
	}
}
