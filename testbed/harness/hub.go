package harness

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// HubOptions says how a hub is started. The zero value is a hub on its embedded
// defaults, on free loopback ports, in a fresh data folder.
type HubOptions struct {
	Bin  string   // path of the binary; built when empty
	Data string   // data folder; a fresh one when empty
	Args []string // further arguments of `hawser-hub serve`
	Env  []string // further KEY=value
	Pin  string   // CPU list for taskset; "" leaves the scheduler alone
}

// Hub is a running hawser-hub process.
type Hub struct {
	MQTT, MQTTS, HTTP, HTTPS string // addresses, host:port
	Data                     string // data folder
	Key                      string // owner's API key

	env  Env
	opt  HubOptions
	cmd  *exec.Cmd
	done chan struct{} // closed when the process ended

	mu  sync.Mutex // guards log, err
	log []string
	err error
}

// StartHub starts a hub and waits until it says ready. It is stopped at the
// end of e. Start takes the same ports and data again after Kill or Stop.
func StartHub(e Env, opt HubOptions) *Hub {
	e.Helper()
	if opt.Bin == "" {
		opt.Bin = Binary(e, "hub")
	}
	if opt.Data == "" {
		opt.Data = filepath.Join(e.TempDir(), "hub")
	}
	// Not ports of the kernel's choice: those are what outgoing connections have, also a client's that connects again while the hub is down.
	h := &Hub{env: e, opt: opt, Data: opt.Data, MQTT: FreeAddr(e), MQTTS: FreeAddr(e), HTTP: FreeAddr(e), HTTPS: FreeAddr(e)}
	e.Cleanup(func() {
		if err := h.Stop(); err != nil {
			e.Logf("hub stopped with: %v", err)
		}
	})
	h.Start()
	return h
}

// Start runs the process with the addresses that h has and waits for ready.
func (h *Hub) Start() {
	h.env.Helper()
	keyFile := filepath.Join(filepath.Dir(h.Data), filepath.Base(h.Data)+".owner.key")
	args := append([]string{"serve", "--data", h.Data, "--mqtt-addr", h.MQTT, "--mqtts-addr", h.MQTTS,
		"--http-addr", h.HTTP, "--https-addr", h.HTTPS, "--bootstrap-key-file", keyFile}, h.opt.Args...)
	name := h.opt.Bin
	if h.opt.Pin != "" {
		args = append([]string{"-c", h.opt.Pin, name}, args...)
		name = "taskset"
	}
	h.cmd = exec.Command(name, args...)
	h.cmd.Env = append(os.Environ(), h.opt.Env...)
	out, err := h.cmd.StderrPipe()
	if err != nil {
		h.env.Fatalf("hub's stderr: %v", err)
	}
	if err := startChild(h.cmd); err != nil {
		h.env.Fatalf("%v", err)
	}
	h.done = make(chan struct{})
	ready := make(chan map[string]string, 1)
	go h.follow(h.cmd, out, ready, h.done)
	select {
	case kv := <-ready:
		for addr, now := range map[*string]string{&h.MQTT: kv["mqtt"], &h.MQTTS: kv["mqtts"], &h.HTTP: kv["http"], &h.HTTPS: kv["https"]} {
			settle(addr, now)
		}
	case <-h.done:
		h.env.Fatalf("hub ended before it was ready: %v\n%s", h.err, h.Log())
	case <-time.After(2 * time.Minute):
		h.env.Fatalf("hub not ready within two minutes\n%s", h.Log())
	}
	if key, err := os.ReadFile(keyFile); err == nil {
		settle(&h.Key, strings.TrimSpace(string(key)))
	}
}

// settle writes what has changed only: a hub that was killed comes back with the same, and others go on reading it meanwhile.
func settle(s *string, now string) {
	if *s != now {
		*s = now
	}
}

// follow keeps the hub's log, reports the ready line's fields, and reaps it.
func (h *Hub) follow(cmd *exec.Cmd, out io.Reader, ready chan<- map[string]string, done chan<- struct{}) {
	for r := bufio.NewReader(out); ; { // lines of any length: who does not read stops the hub
		line, end := r.ReadString('\n')
		if line = strings.TrimSuffix(line, "\n"); end != nil && line == "" {
			break
		}
		h.mu.Lock()
		h.log = append(h.log, line)
		h.mu.Unlock()
		if strings.Contains(line, "msg=ready") {
			select {
			case ready <- fields(line):
			default:
			}
		}
	}
	err := cmd.Wait()
	http.DefaultClient.CloseIdleConnections() // so that nobody's next request goes to a hub that has ended
	h.mu.Lock()
	h.err = err
	h.mu.Unlock()
	close(done)
}

// fields reads a text log line's key=value pairs; values without blanks.
func fields(line string) map[string]string {
	kv := map[string]string{}
	for _, f := range strings.Fields(line) {
		if k, v, ok := strings.Cut(f, "="); ok {
			kv[k] = v
		}
	}
	return kv
}

// Log returns what the hub wrote to its standard error so far.
func (h *Hub) Log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.log, "\n")
}

// PID is the process id of the running hub.
func (h *Hub) PID() int { return h.cmd.Process.Pid }

// Kill ends the hub with SIGKILL, as a power cut would, and waits for it.
func (h *Hub) Kill() {
	_ = h.cmd.Process.Kill()
	<-h.done
}

// Stop asks the hub to end and waits; it returns the process's error, which is
// nil after a clean stop. A hub that hangs for a minute is killed and reported.
func (h *Hub) Stop() error {
	select {
	case <-h.done:
		return h.err
	default:
	}
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.done:
		return h.err
	case <-time.After(time.Minute):
		h.Kill()
		return errors.New("hub did not end within a minute of SIGTERM")
	}
}
