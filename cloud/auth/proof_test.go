package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// house is a Service over a real store, with a device.
type house struct {
	*Service
	product *registry.Product
	device  *registry.Device
}

func newHouse(t testing.TB, db *store.DB) *house {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	reg, err := registry.New(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Service: New(DefaultConfig(), Deps{Registry: reg, Authorities: authority.New(authority.DefaultConfig(), db, storetest.Keyring, log),
		Nonces: NewNonces(db, storetest.Keyring), Log: log})}
	if h.product, err = reg.CreateProduct(t.Context(), registry.NewProduct{Name: "p"}); err != nil {
		t.Fatal(err)
	}
	h.device = h.create(t, "dev-0001")
	return h
}

func (h *house) create(t testing.TB, sn string) *registry.Device {
	t.Helper()
	d, err := h.Registry.CreateDevice(t.Context(), registry.NewDevice{Product: h.product.SN, SN: sn})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// signed is an HMAC login with that time or nonce.
func (h *house) signed(secret credential.Secret, stamp string) Attempt {
	id := h.device.Identity
	return Attempt{Login: credential.Login{Device: id, Mode: credential.ModeHMAC, Options: credential.Options{Timestamp: stamp}}, ClientID: id.ClientID(),
		Password: []byte(credential.SignLogin(secret, id.ClientID(), stamp)), Remote: "10.0.0.1:1"}
}

// reason is why a login was refused, "" when it was not.
func (h *house) reason(t testing.TB, a Attempt) Reason {
	t.Helper()
	_, err := h.Login(t.Context(), a)
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	if err != nil {
		t.Errorf("login: %v", err)
	}
	return ""
}

func TestHMACWithTime(t *testing.T) {
	h := newHouse(t, storetest.SQLite(t))
	now := time.Now()
	stamp := func(off time.Duration) string { return fmt.Sprint(now.Add(off).Unix()) }
	tests := []struct {
		name  string
		login Attempt
		want  Reason
	}{
		{"now", h.signed(h.device.Secret, stamp(0)), ""},
		{"3590 s behind", h.signed(h.device.Secret, stamp(-3590*time.Second)), ""},
		{"3590 s ahead", h.signed(h.device.Secret, stamp(3590*time.Second)), ""},
		{"3610 s behind", h.signed(h.device.Secret, stamp(-3610*time.Second)), BadTime},
		{"3610 s ahead", h.signed(h.device.Secret, stamp(3610*time.Second)), BadTime},
		{"no time", h.signed(h.device.Secret, ""), BadTime},
		{"no number", h.signed(h.device.Secret, "soon"), BadTime},
		{"beyond all numbers", h.signed(h.device.Secret, "99999999999999999999"), BadTime},
		{"largest number", h.signed(h.device.Secret, "9223372036854775807"), BadTime},
		{"wrong secret", h.signed("k3v6w1z9k3v6w1z9", stamp(0)), WrongSecret},
	}
	replayed := h.signed(h.device.Secret, stamp(0))
	replayed.Login.Options.Timestamp = stamp(time.Second)
	tests = append(tests, struct {
		name  string
		login Attempt
		want  Reason
	}{"signature of another time", replayed, WrongSecret})
	plain := h.signed(h.device.Secret, stamp(0))
	plain.Password = []byte(h.device.Secret.Reveal())
	tests = append(tests, struct {
		name  string
		login Attempt
		want  Reason
	}{"the secret itself", plain, WrongSecret})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := h.reason(t, tt.login); got != tt.want {
				t.Errorf("refused for %q, want %q", got, tt.want)
			}
		})
	}
}

// TestNonce: once, for the device that it was made for, on any node, for a minute.
func TestNonce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		other := NewNonces(db, storetest.Keyring) // another node
		nonce := other.Issue(h.device.Identity)
		if got := h.reason(t, h.signed(h.device.Secret, "n:"+nonce)); got != "" {
			t.Errorf("a fresh nonce: %s", got)
		}
		if got := h.reason(t, h.signed(h.device.Secret, "n:"+nonce)); got != BadNonce {
			t.Errorf("a used nonce: %q", got)
		}
		if err := other.Take(t.Context(), h.device.Identity, h.device.ID, nonce); !errors.Is(err, ErrNonce) {
			t.Errorf("a used nonce on another node: %v", err)
		}
		foreign := h.Nonces.Issue(ident.Device{Product: h.product.SN, SN: "dev-0002"})
		bad := map[string]string{"another device's": foreign, "made up": strings.Repeat("A", 43), "empty": "", "cut": nonce[:20], "longer": nonce + "AAAA"}
		for name, text := range bad {
			if got := h.reason(t, h.signed(h.device.Secret, "n:"+text)); got != BadNonce {
				t.Errorf("%s: %q", name, got)
			}
		}
		old := h.Nonces.Issue(h.device.Identity)
		h.Nonces.now = func() time.Time { return time.Now().Add(NonceLife + time.Second) }
		if got := h.reason(t, h.signed(h.device.Secret, "n:"+old)); got != BadNonce {
			t.Errorf("after a minute: %q", got)
		}
		if n, err := h.Nonces.Trim(t.Context(), h.Nonces.now()); err != nil || n != 1 {
			t.Errorf("Trim = %d, %v, want the one that was used", n, err)
		}
	})
}

// TestNonceOnce: of many logins with one nonce at the same moment, one gets in.
func TestNonceOnce(t *testing.T) {
	h := newHouse(t, storetest.SQLite(t))
	a := h.signed(h.device.Secret, "n:"+h.Nonces.Issue(h.device.Identity))
	var wg sync.WaitGroup
	in := make(chan struct{}, 20)
	for range 20 {
		wg.Go(func() {
			if _, err := h.Login(t.Context(), a); err == nil {
				in <- struct{}{}
			}
		})
	}
	wg.Wait()
	if len(in) != 1 {
		t.Errorf("%d logins with one nonce", len(in))
	}
}

// issue has the hub make a certificate.
func (h *house) issue(t testing.TB, d *registry.Device) *x509.Certificate {
	t.Helper()
	is, err := h.Authorities.Issue(t.Context(), authority.Request{Device: d.Identity, DeviceID: d.ID})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(is.Chain)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func by(d *registry.Device, peer ...*x509.Certificate) Attempt {
	return Attempt{Login: credential.Login{Device: d.Identity, Mode: credential.ModeX509}, ClientID: d.Identity.ClientID(), Peer: peer, Remote: "10.0.0.1:1"}
}

// selfMade is an authority that the hub does not have, with a certificate for name below it.
func selfMade(t *testing.T, name string) (ca, leaf *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	make := func(t509, parent *x509.Certificate) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, t509, parent, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Acme"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca = make(root, root)
	return ca, make(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca)
}

func TestCertificate(t *testing.T) {
	h := newHouse(t, storetest.SQLite(t))
	own := h.issue(t, h.device)
	acme, foreign := selfMade(t, h.device.Identity.ClientID())
	if got := h.reason(t, by(h.device, foreign)); got != BadCertificate {
		t.Errorf("before the authority is accepted: %q", got)
	}
	pemText := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: acme.Raw})
	accepted, err := h.Authorities.Accept(t.Context(), h.product.SN, pemText, nil)
	if err != nil {
		t.Fatal(err)
	}
	second := h.create(t, "dev-0002")
	noPassword := by(h.device, own)
	noPassword.Login.Mode = credential.ModeSecret
	withPassword := noPassword
	withPassword.Password = []byte("wrong")
	revoked := h.issue(t, h.device)
	if err := h.Authorities.Revoke(t.Context(), fmt.Sprintf("%X", revoked.SerialNumber), authority.KeyCompromise); err != nil {
		t.Fatal(err)
	}
	_, stranger := selfMade(t, h.device.Identity.ClientID())
	gone := h.create(t, "dev-0003")
	left := h.issue(t, gone)
	if err := h.Registry.DeleteDevice(t.Context(), gone.Identity); err != nil {
		t.Fatal(err)
	}
	unknown := by(gone, left)
	again := h.create(t, "dev-0004")
	old := h.issue(t, again)
	if err := h.Registry.DeleteDevice(t.Context(), again.Identity); err != nil {
		t.Fatal(err)
	}
	again = h.create(t, "dev-0004")
	tests := []struct {
		name  string
		login Attempt
		want  Reason
	}{
		{"own", by(h.device, own), ""},
		{"own again, from memory", by(h.device, own), ""},
		{"authmode 1 without password", noPassword, ""},
		{"authmode 1 with a wrong password", withPassword, WrongSecret},
		{"foreign", by(h.device, foreign), ""},
		{"none", by(h.device), NoCertificate},
		{"another device's", by(second, own), OtherSubject},
		{"revoked", by(h.device, revoked), RevokedCert},
		{"of nobody", by(h.device, stranger), BadCertificate},
		{"a server's", by(h.device, acme), OtherSubject},
		{"deleted device", unknown, UnknownDevice},
		{"device that got a deleted one's name", by(again, old), OtherSubject},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := h.reason(t, tt.login); got != tt.want {
				t.Errorf("refused for %q, want %q", got, tt.want)
			}
		})
	}
	if err := h.Authorities.RevokeForeign(t.Context(), h.product.SN, accepted.ID, "02", authority.Unspecified); err != nil {
		t.Fatal(err)
	}
	if got := h.reason(t, by(h.device, foreign)); got != RevokedCert {
		t.Errorf("a foreign one that was revoked here: %q", got)
	}
	if err := h.Authorities.Remove(t.Context(), h.product.SN, accepted.ID); err != nil {
		t.Fatal(err)
	}
	if got := h.reason(t, by(h.device, foreign)); got != BadCertificate {
		t.Errorf("after the authority was removed: %q", got)
	}
}

// TestFlood: while thousands try wrong credentials, for the same device too, the right one is let in at once.
func TestFlood(t *testing.T) {
	h := newHouse(t, storetest.SQLite(t))
	login := func(ctx context.Context, secret, remote string) error {
		_, err := h.Login(ctx, Attempt{Login: credential.Login{Device: h.device.Identity, Mode: credential.ModeSecret},
			ClientID: h.device.Identity.ClientID(), Password: []byte(secret), Remote: remote})
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	started := make(chan struct{}, 100_000)
	for i := range 2000 { // twice as many as may wait
		wg.Go(func() {
			for ctx.Err() == nil {
				if login(ctx, "wrong", fmt.Sprintf("10.1.%d.%d:1", i/250, i%250)) == nil {
					t.Error("a wrong secret was right")
				}
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 12_000 { // every pair is past its free tries
		<-started
	}
	worst := time.Duration(0)
	for i := range 200 {
		began := time.Now()
		remote := "10.0.0.1:1"
		if i%2 == 0 {
			remote = "10.1.0.7:9" // where wrong ones come from, too
		}
		if err := login(t.Context(), h.device.Secret.Reveal(), remote); err != nil {
			t.Fatalf("the right secret: %v", err)
		}
		worst = max(worst, time.Since(began))
	}
	cancel()
	wg.Wait()
	if worst > harness.Promised(30*time.Second) {
		t.Errorf("the right secret waited %s", worst)
	}
}

func benchmarkLogin(b *testing.B, h *house, a Attempt) {
	if got := h.reason(b, a); got != "" {
		b.Fatal(got)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Login(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLogin is what judging a login costs when registry and chains are in memory, without TLS and the session row.
func BenchmarkLogin(b *testing.B) {
	h := newHouse(b, storetest.SQLite(b))
	secret := Attempt{Login: credential.Login{Device: h.device.Identity, Mode: credential.ModeSecret}, ClientID: h.device.Identity.ClientID(),
		Password: []byte(h.device.Secret.Reveal()), Remote: "10.0.0.1:1"}
	b.Run("mode=1", func(b *testing.B) { benchmarkLogin(b, h, secret) })
	b.Run("mode=3", func(b *testing.B) { benchmarkLogin(b, h, h.signed(h.device.Secret, fmt.Sprint(time.Now().Unix()))) })
	cert := h.issue(b, h.device)
	b.Run("mode=x509", func(b *testing.B) { benchmarkLogin(b, h, by(h.device, cert)) })
}
