package ca

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
)

// dial makes a connection to a server with that configuration and reads its greeting, which brings the tickets.
func dial(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = nc.Write([]byte("hello"))
		_ = nc.Close()
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, client)
	defer func() { _ = c.Close() }()
	_, err = io.ReadFull(c, make([]byte, 5))
	return c.ConnectionState(), err
}

func trusting(t *testing.T, a *Authority) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	text, err := os.ReadFile(a.Path)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatalf("CA file: %v", err)
	}
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// TestOnlyStrongSuites: TLS 1.2 with ECDHE and AEAD, TLS 1.3, nothing else.
func TestOnlyStrongSuites(t *testing.T) {
	a := load(t, t.TempDir())
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		client := trusting(t, a)
		client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{s.ID}
		want := s.ID == tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 || s.ID == tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 ||
			s.ID == tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
		if s.SupportedVersions[0] == tls.VersionTLS13 {
			continue
		}
		if _, err := dial(t, a.Config(), client); (err == nil) != want {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := trusting(t, a)
		client.MinVersion, client.MaxVersion = version, version
		if _, err := dial(t, a.Config(), client); (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// TestTicketsOfAnotherNode: what one node gave resumes on another with the same keyring, until two turns later.
func TestTicketsOfAnotherNode(t *testing.T) {
	dir := t.TempDir()
	ring, now := keyring.New(), time.Now()
	node := func(ring *keyring.Keyring, at time.Time) *tls.Config {
		a := load(t, dir)
		c := a.Config() // in use before the keys are set
		a.Tickets(TicketKeys(ring.Derive, at))
		return c
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		tests := []struct {
			name   string
			second *tls.Config
			want   bool
		}{
			{"same turn", node(ring, now), true},
			{"next turn", node(ring, now.Add(ticketTurn)), true},
			{"clock ahead", node(ring, now.Add(-ticketTurn)), true},
			{"two turns later", node(ring, now.Add(2*ticketTurn)), false},
			{"another keyring", node(keyring.New(), now), false},
		}
		for _, tt := range tests {
			client := trusting(t, load(t, dir))
			client.MaxVersion, client.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
			if _, err := dial(t, node(ring, now), client); err != nil {
				t.Fatal(err)
			}
			state, err := dial(t, tt.second, client)
			if err != nil || state.DidResume != tt.want {
				t.Errorf("%s, %s: resumed %v, %v", tls.VersionName(version), tt.name, state.DidResume, err)
			}
		}
	}
}

// TestChangedFile: a changed certificate is taken for new connections, a broken one is told once and changes nothing.
func TestChangedFile(t *testing.T) {
	dir := t.TempDir()
	a := load(t, dir)
	config := a.Config()
	first := a.Certificate()
	served := func() *x509.Certificate {
		t.Helper()
		state, err := dial(t, config, trusting(t, a))
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0]
	}
	if changed, err := a.Check(); changed || err != nil {
		t.Errorf("nothing changed: %v, %v", changed, err)
	}
	file := filepath.Join(dir, HubFile)
	if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(); !errors.Is(err, ErrFile) {
		t.Errorf("broken: %v", err)
	}
	if _, err := a.Check(); err != nil {
		t.Errorf("broken, a second time: %v", err)
	}
	if !served().Equal(first) {
		t.Error("a broken file changed the certificate")
	}
	root, err := loadRoot(dir, ring)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.issue(dir, []string{"new.example.com"}); err != nil {
		t.Fatal(err)
	}
	if changed, err := a.Check(); !changed || err != nil {
		t.Errorf("changed: %v, %v", changed, err)
	}
	if got := served(); got.Equal(first) || got.VerifyHostname("new.example.com") != nil {
		t.Errorf("served %v", got.DNSNames)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(); err == nil {
		t.Error("a file that has gone is no error")
	}
	if served().Equal(first) {
		t.Error("a file that has gone brought the old certificate back")
	}
}
