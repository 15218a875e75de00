package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/testbed/agents"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// agentSize measures the agent's program as make agents builds it. The floor is what a shell script needs to publish over TLS: mosquitto's client with
// its libraries, without the C library and the shell; both for this processor.
func agentSize(e *env) {
	ours, floor := series{}, series{mib(e.clientBytes())}
	for _, name := range []string{"linux-mipsle-softfloat", "linux-arm-7", "linux-386", "linux-amd64"} {
		if e.smoke && name != "linux-amd64" {
			continue
		}
		t, err := agents.Find(name)
		must(e, err)
		for _, variant := range agents.Variants {
			out := filepath.Join(e.TempDir(), agents.FileName(t, variant))
			must(e, agents.Build(context.Background(), harness.Root(e), t, variant, "bench", out))
			info, err := os.Stat(out)
			must(e, err)
			fmt.Printf("%-44s %6.2f MiB\n", agents.FileName(t, variant), mib(info.Size()))
			if name == "linux-amd64" && variant == "core" {
				ours = series{mib(info.Size())}
			}
		}
	}
	fmt.Printf("%-44s %6.2f MiB, of this processor\n", "mosquitto_pub and its libraries", floor[0])
	fmt.Println("published: thin-edge.io 34 MiB on a gateway, Greengrass nucleus lite 12.3 to 15.8 MB of memory, Mender's C++ client 4 MB")
	result("agent_size", ours, floor, "MiB_core_amd64")
}

// clientBytes are mosquitto_pub and the libraries that it loads, but for the C library.
func (e *env) clientBytes() (total int64) {
	path, err := exec.LookPath("mosquitto_pub")
	must(e, err)
	out, err := exec.Command("ldd", path).Output()
	must(e, err)
	files := []string{path}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "=>" && !strings.HasPrefix(f[0], "libc.so") {
			files = append(files, f[2])
		}
	}
	for _, f := range files {
		info, err := os.Stat(f)
		must(e, err)
		total += info.Size()
	}
	return total
}

// The bars of the agent's memory, and the memory group that it is measured in.
const (
	agentLimit  = 16 << 20
	agentRate   = 10 // messages a second
	agentPauses = time.Second / agentRate
)

// memoryOf is a process's memory: resident, of that its own (anonymous), and the most that was ever resident.
type memoryOf struct{ resident, anonymous, peak int64 }

// agentMemory measures the core agent for 386, natively, in a memory group of 16 MiB where this system lets us make one, with ten messages a second of
// 200 bytes through its buffer to a hub over TLS. The floor is mosquitto_pub with the same lines.
func agentMemory(e *env) {
	t, err := agents.Find("linux-386")
	must(e, err)
	program := filepath.Join(e.TempDir(), "hawser-agent")
	must(e, agents.Build(context.Background(), harness.Root(e), t, "core", "bench", program))
	hub := harness.StartHub(e, harness.HubOptions{Bin: e.hubBin})
	product := hub.Product(map[string]any{"name": "bench", "kind": "gateway"})
	last := 15 * time.Second
	switch {
	case e.smoke:
		last = time.Second
	case e.full:
		last = 2 * time.Minute
	}
	var ours, anonymous, peaks, floor series
	for range e.rounds {
		d := hub.Devices(product, 2)
		m := e.runAgent(program, hub, d[0], last)
		ours, anonymous, peaks = append(ours, mib(m.resident)), append(anonymous, mib(m.anonymous)), append(peaks, mib(m.peak))
		floor = append(floor, mib(e.runClient(hub, d[1], last).resident))
	}
	fmt.Printf("core agent, 386, %d messages a second   resident %s MiB, anonymous %s, peak %s\n", agentRate, ours, anonymous, peaks)
	fmt.Printf("mosquitto_pub, the same lines           resident %s MiB\n", floor)
	result("agent_rss", ours, floor, "MiB_resident")
}

// runAgent starts the agent and hands it messages for a while.
func (e *env) runAgent(program string, hub *harness.Hub, d harness.Credentials, last time.Duration) memoryOf {
	dir := e.TempDir()
	config := filepath.Join(dir, "agent.yaml")
	text := fmt.Sprintf("hub: tls://%s\ntls: {pins: [%s]}\nproduct: %s\ndevice: %s\nsecret: %s\ndata: %s/d\n", hub.MQTTS, e.pin(hub), d.ProductSN, d.DeviceSN, d.DeviceSecret, dir)
	must(e, os.WriteFile(config, []byte(text), 0o600))
	cfg, err := agent.Load(config)
	must(e, err)
	cmd := exec.Command("sh", "-c", `[ -z "$0" ] || echo $$ > "$0"; exec "$@"`, e.memoryGroup(), program, "run", "--config", config)
	var log bytes.Buffer
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(e, cmd.Start())
	ctx := context.Background()
	harness.Eventually(e, time.Minute, "the agent is connected", func() bool {
		s, err := agent.AskStatus(ctx, cfg)
		return err == nil && s.Link.Connected
	})
	tick := time.NewTicker(agentPauses)
	defer tick.Stop()
	for end := time.Now().Add(last); time.Now().Before(end); <-tick.C {
		must(e, agent.Publish(ctx, cfg, "upload", bytes.Repeat([]byte("x"), 200)))
	}
	m := e.memoryOf(cmd.Process.Pid)
	must(e, cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err != nil {
		e.Fatalf("the agent: %v\n%s", err, log.String())
	}
	return m
}

// runClient has mosquitto_pub publish lines of its input.
func (e *env) runClient(hub *harness.Hub, d harness.Credentials, last time.Duration) memoryOf {
	host, port, _ := strings.Cut(hub.MQTTS, ":")
	cmd := exec.Command("mosquitto_pub", "-h", host, "-p", port, "--cafile", hub.Data+"/tls/ca.pem", "--insecure", "-i", d.ClientID(), "-u", d.UserName(), "-P", d.DeviceSecret,
		"-q", "1", "-t", d.Topic("upload"), "-l")
	in, err := cmd.StdinPipe()
	must(e, err)
	must(e, cmd.Start())
	tick := time.NewTicker(agentPauses)
	defer tick.Stop()
	for end := time.Now().Add(last); time.Now().Before(end); <-tick.C {
		_, err := in.Write(append(bytes.Repeat([]byte("x"), 200), '\n'))
		must(e, err)
	}
	m := e.memoryOf(cmd.Process.Pid)
	must(e, in.Close())
	must(e, cmd.Wait())
	return m
}

func (e *env) memoryOf(pid int) (m memoryOf) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(e, err)
	for line := range strings.Lines(string(b)) {
		var kib int64
		name, rest, _ := strings.Cut(line, ":")
		if _, err := fmt.Sscan(rest, &kib); err != nil {
			continue
		}
		switch name {
		case "VmRSS":
			m.resident = kib << 10
		case "RssAnon":
			m.anonymous = kib << 10
		case "VmHWM":
			m.peak = kib << 10
		}
	}
	return m
}

func (e *env) pin(hub *harness.Hub) string {
	c, err := tls.Dial("tcp", hub.MQTTS, &tls.Config{InsecureSkipVerify: true}) // to see its key
	must(e, err)
	defer func() { _ = c.Close() }() // it was only looked at
	return fmt.Sprintf("%x", sha256.Sum256(c.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo))
}

// memoryGroup makes a group with the limit, of cgroup v2 or v1, and returns the file that takes processes; "" where this system lets nobody.
func (e *env) memoryGroup() string {
	for _, v := range []struct{ root, limit string }{{"/sys/fs/cgroup", "memory.max"}, {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}} {
		dir := filepath.Join(v.root, fmt.Sprintf("hawser-bench-%d", os.Getpid()))
		if _, err := os.Stat(filepath.Join(v.root, "cgroup.procs")); err != nil {
			continue
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			continue
		}
		if os.WriteFile(filepath.Join(dir, v.limit), fmt.Append(nil, agentLimit), 0) != nil {
			_ = os.Remove(dir) // it is of no use
			continue
		}
		e.Cleanup(func() { _ = os.Remove(dir) })
		return filepath.Join(dir, "cgroup.procs")
	}
	fmt.Println("this system lets nobody limit memory: it is measured without a limit")
	return ""
}
