// Package remote works a device over SSH: it runs commands of a POSIX shell there, and unpacks archives. The device's host key is held to known_hosts; a key
// that has changed is never taken.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Config says where to and as whom.
type Config struct {
	// Host is [USER@]HOST[:PORT].
	Host string
	// Identity is a private key file; without, the keys of the SSH agent and ~/.ssh/id_* are offered.
	Identity string
	// Password is asked for a password, when no key is accepted; nil has none.
	Password func() (string, error)
	// KnownHosts is the file of host keys, ~/.ssh/known_hosts when it is empty. AcceptNew adds the key of a host that is not in it.
	KnownHosts string
	AcceptNew  bool
	// Sudo runs everything as root by `sudo -n`.
	Sudo    bool
	Timeout time.Duration // of connecting
}

// Shell is a connection to a device.
type Shell struct {
	cfg    Config
	client *ssh.Client
	conn   io.Closer // to the SSH agent
}

// maxOutput bounds what is kept of a command's output.
const maxOutput = 256 << 10

// Dial connects and logs in.
func Dial(ctx context.Context, cfg Config) (*Shell, error) {
	name, addr, err := address(cfg.Host)
	if err != nil {
		return nil, err
	}
	auth, conn, err := cfg.auth(name)
	if err != nil {
		return nil, err
	}
	s := &Shell{cfg: cfg, conn: conn}
	keys, err := newHostKeys(cfg.KnownHosts, cfg.AcceptNew)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	sc := &ssh.ClientConfig{User: name, Auth: auth, HostKeyCallback: keys.check, HostKeyAlgorithms: keys.algorithms(addr), Timeout: cfg.Timeout}
	d := net.Dialer{Timeout: cfg.Timeout}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	_ = nc.SetDeadline(time.Now().Add(cfg.Timeout)) // a socket takes it
	c, chans, reqs, err := ssh.NewClientConn(nc, addr, sc)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log in at %s as %s: %w", addr, name, err), nc.Close(), conn.Close())
	}
	_ = nc.SetDeadline(time.Time{})
	s.client = ssh.NewClient(c, chans, reqs)
	return s, nil
}

// Close ends the connection.
func (s *Shell) Close() error { return errors.Join(s.client.Close(), s.conn.Close()) }

// Server is what the other side says it is.
func (s *Shell) Server() string { return string(s.client.ServerVersion()) }

// address takes [USER@]HOST[:PORT] apart.
func address(host string) (name, addr string, err error) {
	name, rest, ok := strings.Cut(host, "@")
	if !ok {
		rest = host
		me, err := user.Current()
		if err != nil {
			return "", "", err
		}
		name = me.Username
	}
	if h, p, err := net.SplitHostPort(rest); err == nil && h != "" && p != "" {
		return name, net.JoinHostPort(h, p), nil
	}
	rest = strings.Trim(rest, "[]")
	if rest == "" || name == "" || strings.ContainsAny(rest, " /") || strings.Count(rest, ":") == 1 {
		return "", "", fmt.Errorf("%q: want [USER@]HOST[:PORT]", host)
	}
	return name, net.JoinHostPort(rest, "22"), nil
}

// nothing is a connection to no SSH agent.
type nothing struct{}

func (nothing) Close() error { return nil }

// auth are the ways to log in: the key that is named, or those of the SSH agent and of the user; then the password.
func (c Config) auth(name string) (list []ssh.AuthMethod, conn io.Closer, err error) {
	conn = nothing{}
	var signers []ssh.Signer
	if c.Identity != "" {
		s, err := readKey(c.Identity)
		if err != nil {
			return nil, nil, err
		}
		signers = append(signers, s)
	} else {
		if nc, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK")); err == nil {
			conn = nc
			if has, err := agent.NewClient(nc).Signers(); err == nil {
				signers = append(signers, has...)
			}
		}
		home, _ := os.UserHomeDir() // without one there are no keys in it
		for _, n := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			if s, err := readKey(filepath.Join(home, ".ssh", n)); err == nil {
				signers = append(signers, s)
			}
		}
	}
	if len(signers) > 0 {
		list = append(list, ssh.PublicKeys(signers...))
	}
	if c.Password != nil {
		list = append(list, ssh.PasswordCallback(c.Password), ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range questions {
				if answers[i], err = c.Password(); err != nil {
					return nil, err
				}
			}
			return answers, nil
		}))
	}
	if len(list) == 0 {
		return nil, nil, fmt.Errorf("there is no key to log in with as %s: name one, start an SSH agent, or use a password", name)
	}
	return list, conn, nil
}

func readKey(path string) (ssh.Signer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, err := ssh.ParsePrivateKey(b)
	if missing := new(ssh.PassphraseMissingError); errors.As(err, &missing) {
		return nil, fmt.Errorf("%s has a passphrase: add it to an SSH agent (ssh-add)", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// CommandError is a command that did not end well.
type CommandError struct {
	Command, Output string // the end of both of its outputs
	Err             error
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("%s: %v: %s", e.Command, e.Err, strings.TrimSpace(e.Output))
}

func (e *CommandError) Unwrap() error { return e.Err }

// Run runs a command of the shell with in as its input, and returns what it wrote. When ctx ends before it, the connection is closed.
func (s *Shell) Run(ctx context.Context, command string, in io.Reader) ([]byte, error) {
	session, err := s.client.NewSession()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	defer func() { _ = session.Close() }() // it has ended
	stop := context.AfterFunc(ctx, func() { _ = s.client.Close() })
	defer stop()
	var out, errOut bounded
	session.Stdin, session.Stdout, session.Stderr = in, &out, &errOut
	line := command
	if s.cfg.Sudo {
		line = "sudo -n sh -c " + Quote(command)
	}
	if err := session.Run(line); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &CommandError{command, out.kept.String() + errOut.kept.String(), err}
	}
	return out.kept.Bytes(), nil
}

// Quote makes one word of a text for the shell.
func Quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// bounded keeps the first bytes.
type bounded struct{ kept bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := maxOutput - b.kept.Len(); room > 0 {
		_, _ = b.kept.Write(p[:min(len(p), room)]) // it grows, or panics
	}
	return len(p), nil
}
