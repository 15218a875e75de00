package harness

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// SSHD is an OpenSSH server that runs as the test's user and lets that user in with a key.
type SSHD struct {
	Addr       string // host:port
	User       string
	Identity   string // file of the private key that it accepts
	KnownHosts string // file with the server's key
	*Process
}

// StartSSHD starts a server on a free loopback port. It is stopped at the end of e.
func StartSSHD(e Env) *SSHD {
	e.Helper()
	dir := e.TempDir()
	me, err := user.Current()
	if err != nil {
		e.Fatalf("who runs this: %v", err)
	}
	s := &SSHD{Addr: FreeAddr(e), User: me.Username, Identity: filepath.Join(dir, "id"), KnownHosts: filepath.Join(dir, "known_hosts")}
	login, host := newSSHKey(e, s.Identity), newSSHKey(e, filepath.Join(dir, "host"))
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		e.Fatalf("%v", err)
	}
	for name, text := range map[string]string{
		"authorized_keys": login,
		"known_hosts":     fmt.Sprintf("[127.0.0.1]:%s %s", port, host),
		"sshd_config": fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %[2]s/host\nPidFile %[2]s/pid\nAuthorizedKeysFile %[2]s/authorized_keys\n"+
			"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n", port, dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			e.Fatalf("%v", err)
		}
	}
	path, err := exec.LookPath("sshd")
	if err != nil {
		path = "/usr/sbin/sshd"
	}
	if os.Getuid() == 0 {
		_ = os.MkdirAll("/run/sshd", 0o755) // its own, when it runs as root
	}
	s.Process = StartProcess(e, Command{Path: path, Args: []string{"-D", "-e", "-f", filepath.Join(dir, "sshd_config")}, Ready: ReadyAt(s.Addr)})
	return s
}

// newSSHKey writes a private key, and returns the public one as a line.
func newSSHKey(e Env, path string) string {
	e.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		e.Fatalf("%v", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		e.Fatalf("%v", err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		e.Fatalf("%v", err)
	}
	k, err := ssh.NewPublicKey(public)
	if err != nil {
		e.Fatalf("%v", err)
	}
	return string(ssh.MarshalAuthorizedKey(k))
}
