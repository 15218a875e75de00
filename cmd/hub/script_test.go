package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hawser-hub": func() { os.Exit(run()) }})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

func TestSIGTERMStopsInOrder(t *testing.T) {
	t.Cleanup(harness.RemoveBinaries)
	hub := harness.StartHub(t, harness.HubOptions{})
	if err := hub.Stop(); err != nil || !strings.Contains(hub.Log(), "msg=stopped") {
		t.Errorf("after SIGTERM: %v\n%s", err, hub.Log())
	}
}

// workersOf are the script workers of a hub.
func workersOf(t *testing.T, hub int) (pids []string) {
	t.Helper()
	out, err := exec.Command("ps", "--ppid", strconv.Itoa(hub), "-o", "pid=,args=").Output()
	if err != nil {
		return nil // it has none
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "script-worker") {
			pids = append(pids, strings.Fields(line)[0])
		}
	}
	return pids
}

// TestScriptWorkersEndWithTheHub: however a hub ends, its script workers do, also one in the middle of a call.
func TestScriptWorkersEndWithTheHub(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks into /proc")
	}
	t.Cleanup(harness.RemoveBinaries)
	hub := harness.StartHub(t, harness.HubOptions{})
	for name, end := range map[string]func(){"killed": hub.Kill, "stopped": func() { _ = hub.Stop() }} {
		if got := workersOf(t, hub.PID()); len(got) != 0 {
			t.Errorf("workers before the first script: %v", got)
		}
		product := post(t, hub, "/v1/products", `{"name":"p"}`, "productSN")
		if got := post(t, hub, "/v1/products/"+product+"/script:try", `{"source":"function rawDataToJSON(t, r) { return {n: r.length} }","payload":"abc"}`, "object"); got != "map[n:3]" {
			t.Errorf("tried: %s", got)
		}
		pids := workersOf(t, hub.PID())
		if len(pids) < 1 {
			t.Fatal("no workers")
		}
		for _, pid := range pids {
			b, _ := os.ReadFile("/proc/" + pid + "/environ")
			fds, _ := os.ReadDir("/proc/" + pid + "/fd")
			status, _ := os.ReadFile("/proc/" + pid + "/status")
			if len(b) != 0 || len(fds) > 10 || !strings.Contains(string(status), "NoNewPrivs:\t1") {
				t.Errorf("a worker has the environment %q, %d files and %s", b, len(fds), status)
			}
			_, rss, _ := strings.Cut(string(status), "VmRSS:")
			t.Logf("a worker takes %s KiB", strings.Fields(rss)[0])
		}
		end()
		gone := func() bool {
			for _, pid := range pids {
				if b, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && strings.Contains(string(b), "script-worker") {
					return false
				}
			}
			return true
		}
		for deadline := time.Now().Add(time.Minute); !gone(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: workers %v live on", name, pids)
			}
		}
		hub.Start()
	}
}

// post makes a request and returns a member of the answer.
func post(t *testing.T, hub *harness.Hub, path, body, member string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+hub.HTTP+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+hub.Key)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s: %d %v %v", path, resp.StatusCode, answer, err)
	}
	return fmt.Sprint(answer[member])
}
