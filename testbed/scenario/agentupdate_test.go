package scenario

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/ota/artifact/artifacttest"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestAgentUpdate: a hub brings a release to an agent that updates its own program; its owner goes back, and the hub brings it again; and then one that does
// not start.
func TestAgentUpdate(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{})
	f := newFactory(t, hub)
	f.product = hub.Product(map[string]any{"name": "gateway", "kind": "gateway"})
	document, err := f.trust().Encode()
	if err != nil {
		t.Fatal(err)
	}
	launcher := harness.Binary(t, "agent")
	old, err := os.ReadFile(launcher)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config, sn := agentConfig(t, f, hub, dir, document, old)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { superviseAgent(ctx, t, launcher, dir, config) })
	defer wg.Wait()
	defer stop()

	// A program with something behind it is another one, and runs.
	good := append(append([]byte{}, old...), "a new version"...)
	first := f.push(1, artifacttest.Image{Module: "default", Version: "2.0", Data: good, Chunks: true})
	soon, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	f.becameWithin(soon, f.start(first.ReleaseID), "succeeded")
	reported(soon, t, f, sn, "2.0")
	goBack(soon, t, launcher, config)
	reported(soon, t, f, sn, "1.0")
	f.becameWithin(soon, f.start(first.ReleaseID), "succeeded")
	second := f.push(2, artifacttest.Image{Module: "default", Version: "3.0", Data: []byte("#!/bin/sh\nexit 1\n"), Chunks: true})
	d := f.becameWithin(soon, f.start(second.ReleaseID), "rolled_back")
	if d.Class != "BOOT_FAILED" {
		t.Errorf("the device that went back is %+v", d)
	}
	if now, err := os.ReadFile(filepath.Join(dir, "current", "hawser-agent")); err != nil || string(now) != string(good) {
		t.Errorf("current is something else: %d bytes, %v", len(now), err)
	}
}

// goBack asks the running agent to go back to what it was shipped with.
func goBack(ctx context.Context, t *testing.T, program, config string) {
	t.Helper()
	for {
		out, err := exec.CommandContext(ctx, program, "ota", "rollback", "--config", config).CombinedOutput()
		if err == nil {
			return
		}
		if !strings.Contains(string(out), "an update is under way") { // the hub has its attestation, and the agent not yet the answer
			t.Fatalf("rollback: %v\n%s", err, out)
		}
	}
}

// reported waits until the hub knows that a device runs a version.
func reported(ctx context.Context, t *testing.T, f *factory, sn, version string) {
	t.Helper()
	for {
		resp, err := f.client.ListVersions(ctx, f.product, sn)
		list := answer[apitype.ModuleVersionList](t, resp, err)
		if len(list.Items) == 1 && list.Items[0].Version == version {
			return
		}
		time.Sleep(20 * time.Millisecond) // a poll with ctx as its deadline
	}
}

// agentConfig puts the program into slot A of dir and returns the configuration of its agent, and its device.
func agentConfig(t *testing.T, f *factory, hub *harness.Hub, dir string, document, program []byte) (config, sn string) {
	t.Helper()
	cred := hub.Devices(f.product, 1)[0]
	root := filepath.Join(dir, "root.1")
	config = filepath.Join(dir, "agent.yaml")
	text := fmt.Sprintf(`hub: tls://%s
tls: {pins: [%s]}
product: %s
device: %s
secret: %s
data: %s/data
listen: 127.0.0.1:0
firmware:
  root: %s
  boot: {kind: agent, path: %[6]s}
  modules: [{name: default, class: %[8]s/%[9]s, version: "1.0", paths: {A: %[6]s/A/hawser-agent, B: %[6]s/B/hawser-agent}}]
`, hub.MQTTS, pinOf(t, hub), cred.ProductSN, cred.DeviceSN, cred.DeviceSecret, dir, root, artifacttest.Vendor, artifacttest.Class)
	err := os.Mkdir(filepath.Join(dir, "A"), 0o700)
	for path, b := range map[string][]byte{config: []byte(text), root: document, filepath.Join(dir, "A", "hawser-agent"): program} {
		if err == nil {
			err = os.WriteFile(path, b, 0o700)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return config, cred.DeviceSN
}

// pinOf is the pin of the hub's key.
func pinOf(t *testing.T, hub *harness.Hub) string {
	t.Helper()
	c, err := tls.Dial("tcp", hub.MQTTS, &tls.Config{InsecureSkipVerify: true}) // to see its key
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pin := sha256.Sum256(c.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	return hex.EncodeToString(pin[:])
}

// superviseAgent starts the agent again whenever it ends, until ctx ends.
func superviseAgent(ctx context.Context, t *testing.T, launcher, dir, config string) {
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, launcher, "launch", "--dir", dir, "--", "run", "--config", config)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		out, err := cmd.CombinedOutput()
		if ctx.Err() == nil || t.Failed() {
			t.Logf("the agent ended: %v\n%s", err, out)
		}
	}
}
