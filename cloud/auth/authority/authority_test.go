package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/ident"
)

var device = ident.Device{Product: "70ly1tvowt696r15", SN: "dev-01"}

func open(db *store.DB) *Authorities {
	return New(DefaultConfig(), db, storetest.Keyring, slog.New(slog.DiscardHandler))
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func parseChain(t *testing.T, text []byte) (list []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// TestIssueRenewRevoke goes through the life of a device's certificates, on two nodes of one store.
func TestIssueRenewRevoke(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, other := open(db), open(db)
		ctx := t.Context()
		own, err := a.Own(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := other.Own(ctx); err != nil || same.ID != own.ID {
			t.Fatalf("the other node has another authority: %v, %v", same, err)
		}
		made, err := a.Issue(ctx, Request{Device: device, DeviceID: 7, Life: 48 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsePrivate(made.Key.Reveal()); err != nil {
			t.Errorf("the key that was handed out: %v", err)
		}
		key := newKey(t)
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "somebody.else"}}, key)
		if err != nil {
			t.Fatal(err)
		}
		renewed, err := other.Issue(ctx, Request{Device: device, DeviceID: 7, CSR: encode("CERTIFICATE REQUEST", der)})
		if err != nil || renewed.Key != "" {
			t.Fatalf("by request: %v, key %q", err, renewed.Key)
		}
		first, second := parseChain(t, made.Chain), parseChain(t, renewed.Chain)
		if got := second[0].Subject.CommonName; got != device.ClientID() {
			t.Errorf("the subject of the request was taken over: %q", got)
		}
		if second[0].SignatureAlgorithm != x509.ECDSAWithSHA256 || len(second) != 2 || second[1].Subject.CommonName != "Hawser device CA" {
			t.Errorf("chain %v by %v", second, second[0].SignatureAlgorithm)
		}
		for name, chain := range map[string][]*x509.Certificate{"old": first, "new": second} {
			if p, err := a.Verify(ctx, chain, device.Product); err != nil || p.DeviceID != 7 {
				t.Errorf("the %s certificate: %+v, %v", name, p, err)
			}
		}
		var heard []Revocation
		a.Watch(func(r Revocation) { heard = append(heard, r) })
		since := time.Now()
		if err := a.Revoke(ctx, made.Serial, Superseded); err != nil {
			t.Fatal(err)
		}
		if err := a.Revoke(ctx, made.Serial, KeyCompromise); err != nil {
			t.Errorf("a second time: %v", err)
		}
		if _, err := other.Verify(ctx, first, device.Product); !errors.Is(err, ErrRevoked) {
			t.Errorf("revoked, on the other node: %v", err)
		}
		if _, err := other.Verify(ctx, second, device.Product); err != nil {
			t.Errorf("the renewed one: %v", err)
		}
		if missed, err := other.Missed(ctx, since.Add(-time.Second)); err != nil || len(missed) != 1 || missed[0].Serial != made.Serial || heard[0] != missed[0] {
			t.Errorf("missed %v, heard %v, %v", missed, heard, err)
		}
		if err := a.Revoke(ctx, "1234", Unspecified); !errors.Is(err, ErrNoCertificate) {
			t.Errorf("one that was never issued: %v", err)
		}
		checkCRL(t, a, other, own, made.Serial)
		checkList(t, a, made, renewed)
		if err := a.RevokeDevice(ctx, 7, Ceased); err != nil {
			t.Fatal(err)
		}
		if c, err := a.Certificate(ctx, renewed.Serial); err != nil || c.Revoked.IsZero() || c.Reason != Ceased {
			t.Errorf("of a device that is no more: %+v, %v", c, err)
		}
	})
}

func parsePrivate(text string) (any, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}

func checkCRL(t *testing.T, a, other *Authorities, own *Authority, serial string) {
	t.Helper()
	der, err := a.CRL(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil || crl.CheckSignatureFrom(own.Cert) != nil || len(crl.RevokedCertificateEntries) != 1 {
		t.Fatalf("revocation list: %v, %v", crl, err)
	}
	if got := crl.RevokedCertificateEntries[0]; serialText(got.SerialNumber) != serial || got.ReasonCode != int(Superseded) {
		t.Errorf("entry %+v, want %s superseded", got, serial)
	}
	other.now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	later, err := other.CRL(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	if next, err := x509.ParseRevocationList(later); err != nil || next.Number.Cmp(crl.Number) <= 0 {
		t.Errorf("a day later: %v, %v", next, err)
	}
}

func checkList(t *testing.T, a *Authorities, made, renewed *Issued) {
	t.Helper()
	first, next, err := a.Certificates(t.Context(), Filter{DeviceID: 7, Limit: 1})
	if err != nil || len(first) != 1 || first[0].Serial != made.Serial || first[0].Revoked.IsZero() || first[0].Reason != Superseded {
		t.Fatalf("first page %+v, %v", first, err)
	}
	rest, end, err := a.Certificates(t.Context(), Filter{Product: device.Product, Limit: 1, After: next})
	if err != nil || len(rest) != 1 || rest[0].Serial != renewed.Serial || end != "" || rest[0].Device != device {
		t.Errorf("second page %+v, %q, %v", rest, end, err)
	}
	soon, _, err := a.Certificates(t.Context(), Filter{Before: time.Now().Add(72 * time.Hour)})
	if err != nil || len(soon) != 1 || soon[0].Serial != made.Serial {
		t.Errorf("those that expire within three days: %+v, %v", soon, err)
	}
	if _, _, err := a.Certificates(t.Context(), Filter{After: "nonsense"}); err == nil {
		t.Error("a made up cursor was taken")
	}
}

// TestAccept: authorities of others, with and without proof that who registers one has its key.
func TestAccept(t *testing.T) {
	a := open(storetest.SQLite(t))
	key := newKey(t)
	sign := func(cn string, ca bool) *x509.Certificate {
		c := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now().Add(-time.Hour),
			NotAfter: time.Now().Add(time.Hour), IsCA: ca, BasicConstraintsValid: ca, KeyUsage: x509.KeyUsageCertSign}
		parent := c
		if !ca {
			parent = &x509.Certificate{Subject: pkix.Name{CommonName: "Acme"}}
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return parseChain(t, encode("CERTIFICATE", der))[0]
	}
	text := func(c *x509.Certificate) []byte { return encode("CERTIFICATE", c.Raw) }
	acme := sign("Acme", true)
	bad := map[string][2][]byte{
		"no PEM":               {[]byte("hello"), nil},
		"no CA":                {text(sign("Acme device", false)), nil},
		"proof of another":     {text(acme), text(sign("0123", false))},
		"proof of another one": {text(acme), text(sign(a.Code("another"), false))},
	}
	for name, in := range bad {
		var invalid *ErrInvalid
		if _, err := a.Accept(t.Context(), "p", in[0], in[1]); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := a.Accept(t.Context(), "p", text(acme), text(sign(a.Code("p"), false)))
	if err != nil || !got.Proven {
		t.Fatalf("with proof: %+v, %v", got, err)
	}
	if _, err := a.Accept(t.Context(), "p", text(acme), nil); !errors.Is(err, ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if _, err := a.Accept(t.Context(), "q", text(acme), nil); err != nil {
		t.Errorf("for another product: %v", err)
	}
	list, err := a.Accepted(t.Context(), "p")
	if err != nil || len(list) != 1 || list[0].ID != ID(acme) || !list[0].Proven || list[0].Own {
		t.Errorf("list %+v, %v", list, err)
	}
	if err := a.Remove(t.Context(), "p", got.ID); err != nil {
		t.Fatal(err)
	}
	if err := a.Remove(t.Context(), "p", got.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if list, err := a.Accepted(t.Context(), "q"); err != nil || len(list) != 1 {
		t.Errorf("another product still accepts it: %v, %v", list, err)
	}
}

// TestKeyIsSealed: the authority's key lies nowhere in clear.
func TestKeyIsSealed(t *testing.T) {
	dir := t.TempDir()
	a := open(storetest.Open(t, store.Config{Dir: dir}))
	own, err := a.Own(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := a.key(t.Context(), own.ID)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	storetest.NoSecrets(t, dir, string(raw))
}
