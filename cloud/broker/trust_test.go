package broker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/auth/ca"
	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// overTLS opens MQTT over TLS on a stack and returns what dials it with a client certificate.
func overTLS(t *testing.T, s *brokertest.Stack) func(t *testing.T, cert *tls.Certificate) net.Conn {
	t.Helper()
	own, err := ca.Load(t.TempDir(), nil, keyring.New())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", own.Config())
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(end)
		_ = s.Broker.Serve(ctx, ln, "tls")
	}()
	t.Cleanup(func() { cancel(); <-end })
	roots := x509.NewCertPool()
	text, err := os.ReadFile(own.Path)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatalf("CA: %v", err)
	}
	return func(t *testing.T, cert *tls.Certificate) net.Conn {
		t.Helper()
		c := &tls.Config{RootCAs: roots, ServerName: "localhost"}
		if cert != nil {
			c.Certificates = []tls.Certificate{*cert}
		}
		conn, err := tls.Dial("tcp", ln.Addr().String(), c)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

func issue(t *testing.T, s *brokertest.Stack, d *registry.Device) (*authority.Issued, *tls.Certificate) {
	t.Helper()
	is, err := s.Authorities.Issue(t.Context(), authority.Request{Device: d.Identity, DeviceID: d.ID})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(is.Chain, []byte(is.Key.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	return is, &pair
}

// TestLoginByCertificate: with authmode x509, with none but a certificate, and without user name; its revocation ends the session
// within a second, and nobody else's.
func TestLoginByCertificate(t *testing.T) {
	s := stack(t, brokertest.Config{})
	s.Authorities.Watch(func(r authority.Revocation) { s.Broker.Revoke(r.Authority, r.Serial, r.Product) })
	dial := overTLS(t, s)
	d := s.New(t)
	other := s.Device(t, s.Product(t, registry.NewProduct{}), "dev-0002")
	old, oldPair := issue(t, s, d)
	renewed, newPair := issue(t, s, d)
	_, otherPair := issue(t, s, other)
	name := d.Identity.Product + "|" + d.Identity.SN
	for _, user := range []string{name + "|x509", name + "|1"} {
		if got := s.Dial(t, brokertest.Login{Device: d.Identity, UserName: user, Conn: dial(t, oldPair)}).Code; got != packet.Accepted {
			t.Errorf("%s: CONNACK %s", user, got)
		}
		for what, pair := range map[string]*tls.Certificate{"no certificate": nil, "another's": otherPair} {
			if got := s.Dial(t, brokertest.Login{Device: d.Identity, UserName: user, Conn: dial(t, pair)}).Code; got != packet.BadCredentials {
				t.Errorf("%s with %s: CONNACK %s", user, what, got)
			}
		}
	}
	if got := s.Dial(t, brokertest.Login{Device: d.Identity, Password: d.Secret.Reveal(), Conn: dial(t, nil)}).Code; got != packet.Accepted {
		t.Errorf("secret over TLS: CONNACK %s", got)
	}
	c := s.MustDial(t, brokertest.Login{Device: d.Identity, UserName: name + "|x509", Conn: dial(t, oldPair)})
	away := s.MustDial(t, brokertest.Login{Device: other.Identity, UserName: other.Identity.Product + "|" + other.Identity.SN + "|x509", Conn: dial(t, otherPair)})
	began := time.Now()
	if err := s.Authorities.Revoke(t.Context(), old.Serial, authority.KeyCompromise); err != nil {
		t.Fatal(err)
	}
	c.Ended()
	if took := time.Since(began); took > harness.Promised(time.Second) {
		t.Errorf("the session of a revoked certificate ended after %s", took)
	}
	away.Quiet()
	if got := s.Dial(t, brokertest.Login{Device: d.Identity, UserName: name + "|x509", Conn: dial(t, oldPair)}).Code; got != packet.NotAuthorized {
		t.Errorf("revoked: CONNACK %s", got)
	}
	c = s.MustDial(t, brokertest.Login{Device: d.Identity, UserName: name + "|x509", Conn: dial(t, newPair)})
	c.Quiet()
	if err := s.Authorities.Revoke(t.Context(), renewed.Serial, authority.Superseded); err != nil {
		t.Fatal(err)
	}
	c.Ended()
}

// TestLoginWithNonce is authmode 3 through the door.
func TestLoginWithNonce(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d := s.New(t)
	nonce := "n:" + s.Nonces.Issue(d.Identity)
	l := credential.Login{Device: d.Identity, Mode: credential.ModeHMAC, Options: credential.Options{Timestamp: nonce}}
	login := brokertest.Login{Device: d.Identity, UserName: l.UserName(), Password: credential.SignLogin(d.Secret, d.Identity.ClientID(), nonce)}
	s.MustDial(t, login).Quiet()
	if got := s.Dial(t, login).Code; got != packet.NotAuthorized {
		t.Errorf("a second time: CONNACK %s", got)
	}
	l.Options.Timestamp = fmt.Sprint(time.Now().Unix())
	s.MustDial(t, brokertest.Login{Device: d.Identity, UserName: l.UserName(), Password: credential.SignLogin(d.Secret, d.Identity.ClientID(), l.Options.Timestamp)})
}

// TestPermissionsOfOpenSessions: what an open session may do follows the registry at once.
func TestPermissionsOfOpenSessions(t *testing.T) {
	s := stack(t, brokertest.Config{})
	p := s.Product(t, registry.NewProduct{})
	d, away := s.Device(t, p, "dev-0001"), s.Device(t, p, "dev-0002")
	c, other := s.MustDial(t, brokertest.Of(d)), s.MustDial(t, brokertest.Of(away))
	seen := func(path string) int { return len(s.Rules.Of(topic.Name(d.Identity, path))) }
	allowed := func(path string, want bool) {
		t.Helper()
		before := seen(path)
		c.Send(topic.Name(d.Identity, path), `{"a":1}`)
		for c.Next().Type != packet.PUBACK {
		}
		if got := seen(path) > before; got != want {
			t.Errorf("publish to %s: allowed %v, want %v", path, got, want)
		}
	}
	sub := func(path string) byte { return c.Subscribe(topic.Name(d.Identity, path))[0] }
	allowed("upload", true)
	allowed("fresh", false)
	if got := sub("orders"); got != packet.SubackFailure {
		t.Errorf("SUBACK %#x before the topic is there", got)
	}
	_, err := s.Registry.SetTopics(t.Context(), p.SN, []topic.Template{{Path: "fresh", Perm: topic.Pub}, {Path: "orders", Perm: topic.Sub}})
	if err != nil {
		t.Fatal(err)
	}
	allowed("fresh", true)
	allowed("upload", false)
	if got := sub("orders"); got == packet.SubackFailure {
		t.Error("SUBACK failure after the topic was made")
	}
	began := time.Now()
	if _, err := s.Registry.SetEnabled(t.Context(), d.Identity, false); err != nil {
		t.Fatal(err)
	}
	c.Ended()
	if took := time.Since(began); took > harness.Promised(time.Second) {
		t.Errorf("the disabled device was cut off after %s", took)
	}
	other.Quiet()
	if got := s.Dial(t, brokertest.Of(d)).Code; got != packet.NotAuthorized {
		t.Errorf("disabled: CONNACK %s", got)
	}
}
