package agentupdate

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/edge-agent/slot"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/testbed/agents"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// target is a processor that the agent is built for.
func target(t *testing.T, name string) agents.Target {
	t.Helper()
	one, err := agents.Find(name)
	must(t, err)
	return one
}

// build makes the agent with a version, as make agents does.
func build(t *testing.T, p agents.Target, version string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "hawser-agent")
	must(t, agents.Build(t.Context(), harness.Root(t), p, "gateway", version, out))
	b, err := os.ReadFile(out)
	must(t, err)
	return b
}

// site is a hub with a release, and a gateway whose agent is in slot A.
type site struct {
	t       *testing.T
	target  agents.Target
	hub     *devicetest.Hub
	gw      ident.Device
	dir     string // with the slots
	config  string
	release *devicetest.Release
	signer  *devicetest.Authority
	new     []byte
	started func(pid int) // is told of each start

	mu  sync.Mutex
	log []string
}

// newSite makes a site whose releases are well when a check is content, such as [true].
func newSite(t *testing.T, p agents.Target, a *devicetest.Authority, old, new []byte, r *devicetest.Release, check string) *site {
	t.Helper()
	s := &site{t: t, target: p, hub: devicetest.New(t), dir: t.TempDir(), release: r, signer: a, new: new}
	s.gw = s.hub.AddDevice(devicetest.Device{Kind: devicetest.Gateway})
	must(t, os.Mkdir(filepath.Join(s.dir, "A"), 0o700))
	must(t, os.WriteFile(filepath.Join(s.dir, "A", "hawser-agent"), old, 0o700))
	root := filepath.Join(s.dir, "root.1")
	must(t, os.WriteFile(root, a.Document(), 0o600))
	s.config = filepath.Join(s.dir, "agent.yaml")
	// A bad one takes all of its time.
	trial, within := "5m", "1m"
	if check != "[true]" {
		trial, within = "1s", "1s"
	}
	text := fmt.Sprintf(`hub: %s
product: %s
device: %s
secret: %s
data: %s
listen: 127.0.0.1:0
firmware:
  root: %s
  trial: %s
  checks: {timeout: %s, health: [%s]}
  boot: {kind: agent, path: %s}
  modules:
    - {name: default, class: %s/%s, version: "1.0", paths: {A: %[10]s/A/hawser-agent, B: %[10]s/B/hawser-agent}}
`, s.hub.URL(), s.gw.Product, s.gw.SN, s.hub.Secret(s.gw).Reveal(), filepath.Join(s.dir, "data"), root, trial, within, check, s.dir, devicetest.TestVendor, devicetest.TestClass)
	must(t, os.WriteFile(s.config, []byte(text), 0o600))
	return s
}

// command is what starts the agent: the launcher, or what does the same for the programs of another processor.
func (s *site) command(ctx context.Context, launcher string) *exec.Cmd {
	run := []string{"run", "--config", s.config}
	if s.target.QEMU == "" {
		return exec.CommandContext(ctx, launcher, append([]string{"launch", "--dir", s.dir, "--"}, run...)...)
	}
	l, err := slot.NewLinks(slot.LinksConfig{Dir: s.dir, Slots: slot.Names{"A", "B"}})
	must(s.t, err)
	name, err := l.Start(ctx)
	must(s.t, err)
	cmd := exec.CommandContext(ctx, s.target.QEMU, append([]string{filepath.Join(s.dir, name, "hawser-agent")}, run...)...)
	cmd.Env = append(os.Environ(), "HAWSER_AGENT_SLOT="+name)
	return cmd
}

// once starts the agent and returns when it has ended. It is killed when it says what kill is, if that is not "".
func (s *site) once(ctx context.Context, launcher, kill string, prepare func(*exec.Cmd)) (killed bool) {
	s.t.Helper()
	cmd := s.command(ctx, launcher)
	if prepare != nil {
		prepare(cmd)
	}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return false
	}
	if s.started != nil {
		s.started(cmd.Process.Pid)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			s.mu.Lock()
			s.log = append(s.log, lines.Text())
			s.mu.Unlock()
			if kill != "" && !killed && strings.Contains(lines.Text(), kill) {
				killed = true
				_ = cmd.Process.Kill() // it is its own launcher
			}
		}
	})
	_ = cmd.Wait() // killed, or about to be started anew
	_ = w.Close()
	wg.Wait()
	return killed
}

// live starts the agent again and again until the hub's record is as wanted.
func (s *site) live(launcher, kill string, wait time.Duration, want func(devicetest.Update) bool, prepare func(*exec.Cmd)) devicetest.Update {
	s.t.Helper()
	number, err := s.hub.OfferFirmware(s.gw, devicetest.Offer{Release: s.release, Authority: s.signer})
	must(s.t, err)
	ctx, cancel := context.WithTimeout(s.t.Context(), wait)
	defer cancel()
	alive, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for alive.Err() == nil {
			if s.once(alive, launcher, kill, prepare) {
				kill = ""
			}
		}
		if kill != "" {
			s.t.Errorf("it never said %q", kill)
		}
	})
	u, err := s.hub.WaitUpdate(ctx, number, want)
	stop()
	wg.Wait()
	if err != nil {
		s.t.Fatalf("%v: states %q, last %+v\n%s", err, u.States, u.Last, strings.Join(s.log, "\n"))
	}
	return u
}

// current checks which slot is current, and what is in it.
func (s *site) current(want string, program []byte) {
	s.t.Helper()
	to, err := os.Readlink(filepath.Join(s.dir, "current"))
	must(s.t, err)
	b, err := os.ReadFile(filepath.Join(s.dir, "current", "hawser-agent"))
	must(s.t, err)
	if to != want || program != nil && !bytes.Equal(b, program) {
		s.t.Errorf("slot %s is current, want %s with %d bytes; it has %d", to, want, len(program), len(b))
	}
}

func attested(u devicetest.Update) bool { return u.Attested != nil && u.Attested.Confirmed }
