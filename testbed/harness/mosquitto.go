package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Mosquitto is a running mosquitto broker: the peer of the benchmarks and the
// check of the conformance suite.
type Mosquitto struct {
	Addr, TLSAddr string // TLSAddr is empty without a certificate
	cmd           *exec.Cmd
}

// MosquittoOptions says how the broker is started.
type MosquittoOptions struct {
	CertFile, KeyFile string // opens a TLS listener
	PasswordFile      string // else anonymous
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
	if opt.PasswordFile == "" {
		conf += "allow_anonymous true\n"
	} else {
		conf += "allow_anonymous false\npassword_file " + opt.PasswordFile + "\n"
	}
	conf += listener(m.Addr)
	if opt.CertFile != "" {
		m.TLSAddr = FreeAddr(e)
		conf += listener(m.TLSAddr) + fmt.Sprintf("certfile %s\nkeyfile %s\n", opt.CertFile, opt.KeyFile)
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
	Eventually(e, 10*time.Second, "mosquitto listens on "+m.Addr, func() bool { return listens(m.Addr) })
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

// FreeAddr returns a loopback address whose port was free a moment ago.
func FreeAddr(e Env) string {
	e.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.Fatalf("free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}
