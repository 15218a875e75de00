package provision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/agents"
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

// site is a hub, a folder of agents as make agents makes it, and a host to install on.
type site struct {
	t       *testing.T
	hub     *harness.Hub
	product string
	agents  string
	ssh     *harness.SSHD
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, hub: harness.StartHub(t, harness.HubOptions{}), agents: t.TempDir(), ssh: harness.StartSSHD(t)}
	s.product = s.hub.Product(map[string]any{"name": "field", "kind": "gateway", "dynamicRegister": true})
	target, err := agents.Find("linux-" + runtime.GOARCH)
	must(t, err)
	name := agents.FileName(target, "core")
	must(t, agents.Build(t.Context(), harness.Root(t), target, "core", "1.2.3", filepath.Join(s.agents, name)))
	sums := exec.Command("sh", "-c", "sha256sum hawser-agent-* > SHA256SUMS")
	sums.Dir = s.agents
	must(t, sums.Run())
	return s
}

// ctl runs hawserctl, and returns its standard output, what it told meanwhile, and its exit code.
func (s *site) ctl(args ...string) (out, told string, code int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), harness.Binary(s.t, "hawserctl"), append(args, "-o", "json")...)
	cmd.Env = append(os.Environ(), "HAWSER_HUB=http://"+s.hub.HTTP, "HAWSER_API_KEY="+s.hub.Key, "HAWSERCTL_CONFIG="+s.t.TempDir()+"/c")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// how are the flags with which the host is reached, and its folder.
func (s *site) how(prefix string) []string {
	return []string{"--agents", s.agents, "--variant", "core", "--prefix", prefix, "--device-ca", s.hub.Data + "/tls/ca.pem",
		"--identity", s.ssh.Identity, "--known-hosts", s.ssh.KnownHosts}
}

func (s *site) host() string { return s.ssh.User + "@" + s.ssh.Addr }

// folder is one to install into; what was started in it ends with the test.
func (s *site) folder() string {
	prefix := filepath.Join(s.t.TempDir(), "root")
	s.t.Cleanup(func() {
		if out, err := exec.Command(prefix+"/etc/init.d/hawser-agent", "stop").CombinedOutput(); err != nil && !os.IsNotExist(err) {
			s.t.Errorf("stop: %v\n%s", err, out)
		}
	})
	return prefix
}

// TestProvision shares a hub and a host.
func TestProvision(t *testing.T) {
	s := newSite(t)
	for name, test := range map[string]func(*testing.T, *site){
		"install": testInstall, "factory": testFactory, "bundle": testBundle, "batch": testBatch, "what keeps it offline": testOffline,
	} {
		t.Run(name, func(t *testing.T) {
			here := *s
			here.t = t
			test(t, &here)
		})
	}
}

// result is what provision install prints.
type result struct {
	DeviceSN, State, Target, Init string
	Made                          bool
	Files                         []struct{ Name, Mode string }
}

func (s *site) install(prefix string, args ...string) (r result, told string) {
	s.t.Helper()
	out, told, code := s.ctl(append(append([]string{"provision", "install", s.product}, args...), append(s.how(prefix), "--ssh", s.host())...)...)
	if code != 0 {
		s.t.Fatalf("exit code %d\n%s%s", code, out, told)
	}
	must(s.t, json.Unmarshal([]byte(out), &r))
	return r, told
}

func testInstall(t *testing.T, s *site) {
	prefix := s.folder()
	dry, _ := s.install(prefix, "gw-1", "--dry-run")
	if _, err := os.Stat(prefix); !os.IsNotExist(err) || !dry.Made || len(dry.Files) != 6 {
		t.Errorf("a dry run left %v and said %+v", err, dry)
	}
	r, told := s.install(prefix, "gw-1", "--name", "In the cellar")
	if r.DeviceSN != "gw-1" || r.State != "online" || !r.Made || r.Target != "linux-"+runtime.GOARCH || r.Init != "sysv" {
		t.Errorf("it says %+v", r)
	}
	for _, step := range []string{"logged in", "linux-", "unpacked", "started", "gw-1 is online"} {
		if !strings.Contains(told, "✓") || !strings.Contains(told, step) {
			t.Errorf("no word of %q:\n%s", step, told)
		}
	}
	for name, mode := range map[string]os.FileMode{"etc/hawser-agent": 0o700, "etc/hawser-agent/secret": 0o600, "etc/hawser-agent/agent.yaml": 0o600, "usr/bin/hawser-agent": 0o755} {
		info, err := os.Stat(filepath.Join(prefix, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	agent := filepath.Join(prefix, "usr/bin/hawser-agent")
	out, err := exec.Command(agent, "status", "--config", prefix+"/etc/hawser-agent/agent.yaml").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "link:       connected") {
		t.Errorf("status: %v\n%s", err, out)
	}
	first := pidOf(t, prefix)
	r, _ = s.install(prefix, "gw-1") // over what runs
	if r.State != "online" || r.Made {
		t.Errorf("again: %+v", r)
	}
	if pidOf(t, prefix) == first {
		t.Error("the old one still runs")
	}
}

// pidOf is the process of the agent's service.
func pidOf(t *testing.T, prefix string) string {
	t.Helper()
	b, err := os.ReadFile(prefix + "/var/run/hawser-agent.pid")
	must(t, err)
	return strings.TrimSpace(string(b))
}

// testFactory: the device registers itself, and keeps its secret.
func testFactory(t *testing.T, s *site) {
	prefix := s.folder()
	r, _ := s.install(prefix, "gw-factory", "--factory")
	if r.State != "online" || r.Made {
		t.Errorf("it says %+v", r)
	}
	for _, f := range r.Files {
		if strings.HasSuffix(f.Name, "/secret") {
			t.Error("the bundle has a secret of the device's own")
		}
	}
	info, err := os.Stat(prefix + "/etc/hawser-agent/secret")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret: %v, %v", info, err)
	}
}

// testBundle is unpacked and started by hand, as an image's builder would.
func testBundle(t *testing.T, s *site) {
	prefix := s.folder()
	dir := t.TempDir()
	var files [2][]byte
	for i := range files {
		path := filepath.Join(dir, fmt.Sprint(i, ".tar.gz"))
		out, told, code := s.ctl("provision", "bundle", s.product, "gw-b", "--target", "linux-"+runtime.GOARCH, "--agents", s.agents, "--variant", "core",
			"--prefix", prefix, "--device-ca", s.hub.Data+"/tls/ca.pem", "--out", path)
		if code != 0 {
			t.Fatalf("exit code %d\n%s%s", code, out, told)
		}
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v", info.Mode())
		}
		files[i], err = os.ReadFile(path)
		must(t, err)
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("the same device gave two bundles")
	}
	must(t, os.MkdirAll(prefix, 0o700))
	for _, argv := range [][]string{{"tar", "-xzpf", dir + "/0.tar.gz", "-C", prefix}, {prefix + "/etc/init.d/hawser-agent", "start"}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", argv, err, out)
		}
	}
	s.online("gw-b")
}

func (s *site) online(sn string) {
	s.t.Helper()
	harness.Eventually(s.t, time.Minute, sn+" is online", func() bool {
		var d struct{ State string }
		return s.hub.Call("GET", "/v1/products/"+s.product+"/devices/"+sn, nil, &d) == nil && d.State == "online"
	})
}

// testBatch: what fails is reported and tried again, what went well is not.
func testBatch(t *testing.T, s *site) {
	prefix := s.folder()
	dir := t.TempDir()
	fleet, report := filepath.Join(dir, "fleet.csv"), filepath.Join(dir, "report.csv")
	dead := harness.FreeAddr(t)
	write := func(host string) {
		must(t, os.WriteFile(fleet, fmt.Appendf(nil, "host,deviceSN,name\n%s,,One\n%s,gw-2,\n", s.host(), host), 0o600))
	}
	write(s.ssh.User + "@" + dead)
	batch := func(want int) map[string]any {
		t.Helper()
		out, told, code := s.ctl(append([]string{"provision", "batch", s.product, fleet, "--report", report}, s.how(prefix)...)...)
		if code != want {
			t.Fatalf("exit code %d, want %d\n%s%s", code, want, out, told)
		}
		var r map[string]any
		must(t, json.Unmarshal([]byte(out), &r))
		return r
	}
	if r := batch(8); r["ok"] != 1.0 || r["failed"] != 1.0 || r["before"] != 0.0 {
		t.Errorf("first: %v", r)
	}
	b, err := os.ReadFile(report)
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 3 || !strings.Contains(string(b), "refused") || !strings.Contains(string(b), ",ok,") {
		t.Errorf("report:\n%s", b)
	}
	pid := pidOf(t, prefix)
	if r := batch(8); r["ok"] != 0.0 || r["failed"] != 1.0 || r["before"] != 1.0 {
		t.Errorf("again: %v", r)
	}
	if pidOf(t, prefix) != pid {
		t.Error("what went well was installed again")
	}
	sheet := filepath.Join(dir, "labels.svg")
	if out, told, code := s.ctl("provision", "label", s.product, "--from", report, "--out", sheet); code != 0 || !strings.Contains(out, `"labels": 1`) {
		t.Errorf("labels: exit code %d\n%s%s", code, out, told)
	}
}

// testOffline: what keeps a device offline is told by the device's own doctor.
func testOffline(t *testing.T, s *site) {
	prefix := s.folder()
	args := append([]string{"provision", "install", s.product, "gw-9", "--ssh", s.host(), "--timeout", "3s", "--mqtt", "tls://" + harness.FreeAddr(t)}, s.how(prefix)...)
	_, told, code := s.ctl(args...)
	if code != 1 || !strings.Contains(told, "did not come online") || !strings.Contains(told, "fail  tcp") {
		t.Errorf("exit code %d\n%s", code, told)
	}
}
