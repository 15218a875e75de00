package interop

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// job tells a worker what to do. It connects with a session that is kept (in 5.0 for five minutes), subscribes when there was
// none, publishes {"n":1} to {"n":Count}, and receives until its standard input ends.
type job struct {
	Host      string `json:"host"`
	Port      int    `json:"port"`
	TLS       bool   `json:"tls"`
	CA        string `json:"ca"`
	ClientID  string `json:"clientId"`
	Username  string `json:"username"`
	Password  string `json:"password"`
	Version   int    `json:"version"` // protocol level
	Subscribe string `json:"subscribe"`
	Topic     string `json:"topic"`
	QoS       int    `json:"qos"`
	Count     int    `json:"count"`
	Pause     int    `json:"pause"` // ms between publishes
}

// jobFor is the job of a device at addr.
func jobFor(h *harness.Hub, d harness.Credentials, addr string, overTLS bool, version int) job {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return job{Host: host, Port: n, TLS: overTLS, CA: filepath.Join(h.Data, "tls", "ca.pem"), ClientID: d.ClientID(), Username: d.UserName(),
		Password: d.DeviceSecret, Version: version, Subscribe: d.Topic("set"), Topic: d.Topic("upload")}
}

// worker is a running client.
type worker struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.Closer
	done chan struct{}
	err  error // valid after done

	mu         sync.Mutex // guards the fields below
	present    bool
	subscribed bool
	acked      map[int]bool
	got        map[string]int
}

// work starts a client.
func work(t *testing.T, c client, j job) *worker {
	t.Helper()
	arg, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	argv := append(c.command(t), string(arg))
	w := &worker{t: t, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{}), acked: map[int]bool{}, got: map[string]int{}}
	w.cmd.Stderr = os.Stderr
	in, err := w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.in = in
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go w.follow(out)
	t.Cleanup(func() { _ = w.cmd.Process.Kill(); <-w.done })
	return w
}

func (w *worker) follow(out io.Reader) {
	for sc := bufio.NewScanner(out); sc.Scan(); {
		var e struct {
			Present, Subscribed bool
			Acked               int
			Got                 *string
		}
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			continue
		}
		w.mu.Lock()
		w.present = w.present || e.Present
		w.subscribed = w.subscribed || e.Subscribed
		if e.Acked > 0 {
			w.acked[e.Acked] = true
		}
		if e.Got != nil {
			w.got[*e.Got]++
		}
		w.mu.Unlock()
	}
	w.err = w.cmd.Wait()
	close(w.done)
}

// until waits for what f says, which runs with the worker's fields at hand.
func (w *worker) until(d time.Duration, what string, f func() bool) {
	w.t.Helper()
	harness.Eventually(w.t, d, what, func() bool {
		select {
		case <-w.done:
			w.t.Fatalf("the client ended: %v; want: %s", w.err, what)
		default:
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		return f()
	})
}

// settle waits until no message has been acknowledged for d.
func (w *worker) settle(count int, d time.Duration) {
	last, since := -1, time.Now()
	for last < count && time.Since(since) < d {
		w.mu.Lock()
		n := len(w.acked)
		w.mu.Unlock()
		if n != last {
			last, since = n, time.Now()
		}
		<-time.After(20 * time.Millisecond)
	}
}

// acknowledged is the numbers of the messages that the client saw acknowledged.
func (w *worker) acknowledged() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.acked))
}

// leave lets the client disconnect and end.
func (w *worker) leave() {
	w.t.Helper()
	_ = w.in.Close()
	select {
	case <-w.done:
	case <-time.After(time.Minute):
		w.t.Fatal("the client did not end")
	}
	if w.err != nil {
		w.t.Fatalf("the client failed: %v", w.err)
	}
}
