package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness/port"
)

// Mosquitto is a running mosquitto broker: the peer of the benchmarks and the
// check of the conformance suite.
type Mosquitto struct {
	Addr, TLSAddr string // TLSAddr is empty without a certificate
	WebSocket     string // URL, empty unless asked for
	cmd           *exec.Cmd
}

// MosquittoOptions says how the broker is started.
type MosquittoOptions struct {
	CertFile, KeyFile string // opens a TLS listener
	PasswordFile      string // else anonymous
	Anonymous         bool   // nobody needs a password, but one that is given must be right
	ACLFile           string // who may do what; else everybody everything
	WebSocket         bool   // opens a WebSocket listener
	Pin               string // CPU list for taskset
}

// StartMosquitto starts Debian's mosquitto on free loopback ports; it ends
// with e. Queues are unbounded, so that it loses nothing that it accepted.
func StartMosquitto(e Env, opt MosquittoOptions) *Mosquitto {
	e.Helper()
	bin, err := exec.LookPath("mosquitto")
	if err != nil {
		bin = "/usr/sbin/mosquitto"
	}
	m := &Mosquitto{Addr: FreeAddr(e)}
	conf := "per_listener_settings false\nmax_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n"
	conf += fmt.Sprintf("allow_anonymous %v\n", opt.Anonymous || opt.PasswordFile == "")
	if opt.PasswordFile != "" {
		conf += "password_file " + opt.PasswordFile + "\n"
	}
	if opt.ACLFile != "" {
		conf += "acl_file " + opt.ACLFile + "\n"
	}
	conf += listener(m.Addr)
	if opt.CertFile != "" {
		m.TLSAddr = FreeAddr(e)
		conf += listener(m.TLSAddr) + fmt.Sprintf("certfile %s\nkeyfile %s\n", opt.CertFile, opt.KeyFile)
	}
	if opt.WebSocket {
		addr := FreeAddr(e)
		m.WebSocket = "ws://" + addr
		conf += listener(addr) + "protocol websockets\n"
	}
	file := filepath.Join(e.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		e.Fatalf("mosquitto's configuration: %v", err)
	}
	args := []string{bin, "-c", file}
	if opt.Pin != "" {
		args = append([]string{"taskset", "-c", opt.Pin}, args...)
	}
	m.cmd = exec.Command(args[0], args[1:]...)
	if err := startChild(m.cmd); err != nil {
		e.Fatalf("%v", err)
	}
	e.Cleanup(func() {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
	})
	Eventually(e, time.Minute, "mosquitto listens on "+m.Addr, func() bool { return listens(m.Addr) })
	if m.TLSAddr != "" {
		Eventually(e, time.Minute, "mosquitto listens on "+m.TLSAddr, func() bool { return listens(m.TLSAddr) })
	}
	if url, ok := strings.CutPrefix(m.WebSocket, "ws://"); ok {
		Eventually(e, time.Minute, "mosquitto listens on "+m.WebSocket, func() bool { return listens(url) })
	}
	return m
}

// PID is the broker's process id.
func (m *Mosquitto) PID() int { return m.cmd.Process.Pid }

func listener(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("listener %s %s\n", port, host)
}

func listens(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// FreeAddr returns a loopback address for a server that has to be told its port; see package port.
func FreeAddr(e Env) string {
	e.Helper()
	addr, err := port.Free()
	if err != nil {
		e.Fatalf("%v", err)
	}
	return addr
}
