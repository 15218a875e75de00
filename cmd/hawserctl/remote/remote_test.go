package remote

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/hawser-iot/hawser/testbed/harness"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAddress(t *testing.T) {
	for host, want := range map[string]string{
		"root@192.168.1.1": "root 192.168.1.1:22", "root@router:2222": "root router:2222", "pi@[fe80::1]:22": "pi [fe80::1]:22", "pi@fe80::1": "pi [fe80::1]:22",
		"root@": "", "@host": "", "root@a b": "", "root@host:": "",
	} {
		name, addr, err := address(host)
		if got := name + " " + addr; (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%s: %q, %v, want %q", host, got, err, want)
		}
	}
}

func TestQuote(t *testing.T) {
	if got := Quote(`it's "x" $y`); got != `'it'\''s "x" $y'` {
		t.Error(got)
	}
}

// TestShell works an OpenSSH server: commands, input, failures, and whose key is taken.
func TestShell(t *testing.T) {
	s := harness.StartSSHD(t)
	ctx := t.Context()
	cfg := Config{Host: s.User + "@" + s.Addr, Identity: s.Identity, KnownHosts: s.KnownHosts, Timeout: 20 * time.Second}
	shell, err := Dial(ctx, cfg)
	must(t, err)
	defer shell.Close()
	if !strings.HasPrefix(shell.Server(), "SSH-2.0-OpenSSH") {
		t.Errorf("it is %q", shell.Server())
	}
	out, err := shell.Run(ctx, "tr a-z A-Z; echo done", strings.NewReader("hello "))
	if err != nil || string(out) != "HELLO done\n" {
		t.Errorf("%q, %v", out, err)
	}
	_, err = shell.Run(ctx, "echo because >&2; exit 3", nil)
	var failed *CommandError
	var exit *ssh.ExitError
	if !errors.As(err, &failed) || !errors.As(err, &exit) || exit.ExitStatus() != 3 || !strings.Contains(err.Error(), "because") {
		t.Errorf("error %v", err)
	}
	out, err = shell.Run(ctx, "head -c 1000000 /dev/zero", nil)
	if err != nil || len(out) != maxOutput {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := shell.Run(short, "sleep 60", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command that takes too long: %v", err)
	}
}

func TestHostKeys(t *testing.T) {
	s := harness.StartSSHD(t)
	ctx := t.Context()
	known := filepath.Join(t.TempDir(), ".ssh", "known_hosts")
	cfg := Config{Host: s.User + "@" + s.Addr, Identity: s.Identity, KnownHosts: known, Timeout: 20 * time.Second}
	dial := func() error {
		shell, err := Dial(ctx, cfg)
		if err == nil {
			err = shell.Close()
		}
		return err
	}
	if err := dial(); !errors.Is(err, ErrHostKey) || !strings.Contains(err.Error(), "is not known") {
		t.Errorf("an unknown host: %v", err)
	}
	cfg.AcceptNew = true
	must(t, dial())
	cfg.AcceptNew = false
	must(t, dial())
	// Another key under this host's name is never taken.
	other := harness.StartSSHD(t)
	b, err := os.ReadFile(other.KnownHosts)
	must(t, err)
	_, key, _ := strings.Cut(string(b), " ")
	_, port, _ := strings.Cut(s.Addr, ":")
	must(t, os.WriteFile(known, []byte("[127.0.0.1]:"+port+" "+key), 0o600))
	cfg.AcceptNew = true
	if err := dial(); !errors.Is(err, ErrHostKey) || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("another key: %v", err)
	}
	must(t, os.WriteFile(known, []byte("rubbish\n"), 0o600))
	if err := dial(); err == nil {
		t.Error("a file that cannot be read is passed over")
	}
}

func TestLoginIsRefused(t *testing.T) {
	s, other := harness.StartSSHD(t), harness.StartSSHD(t)
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Setenv("HOME", t.TempDir())
	cfg := Config{Host: s.User + "@" + s.Addr, Identity: other.Identity, KnownHosts: s.KnownHosts, Timeout: 20 * time.Second}
	if _, err := Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("a wrong key: %v", err)
	}
	cfg.Identity = ""
	if _, err := Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("no key: %v", err)
	}
	cfg.Identity = s.KnownHosts
	if _, err := Dial(t.Context(), cfg); err == nil {
		t.Error("a file that is no key was taken")
	}
}
