package authority

import (
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// TestRotate goes through the life of a hub's authorities, on two nodes of one store: a new one issues, the old one is trusted for what
// it has issued until it is retired, and the revocation lists of both are to be had.
func TestRotate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, other := open(db), open(db)
		ctx := t.Context()
		first, err := a.Issue(ctx, Request{Device: device, DeviceID: 7})
		must(t, err)
		again, err := a.Issue(ctx, Request{Device: device, DeviceID: 7})
		must(t, err)
		old, err := other.Own(ctx)
		must(t, err)
		if _, err := a.Retire(ctx, old.ID, true); !errors.Is(err, ErrIssues) {
			t.Errorf("the one that issues is retired: %v", err)
		}
		fresh, err := a.Rotate(ctx)
		must(t, err)
		if fresh.ID == old.ID || !fresh.Issues || !fresh.Own {
			t.Fatalf("after a rotation %+v issues", fresh)
		}
		second, err := other.Issue(ctx, Request{Device: device, DeviceID: 7})
		must(t, err)
		if second.Authority != fresh.ID || first.Authority != old.ID {
			t.Errorf("issued by %s and then, on another node, by %s", first.Authority, second.Authority)
		}
		for name, is := range map[string]*Issued{"old": first, "new": second} {
			p, err := other.Verify(ctx, parseChain(t, is.Chain), device.Product)
			if err != nil || p.Authority != is.Authority || other.Holds(ctx, p, device.Product) != nil {
				t.Errorf("a certificate of the %s authority: %+v, %v", name, p, err)
			}
		}
		must(t, other.Revoke(ctx, again.Serial, KeyCompromise)) // of the old one, found by its serial alone

		list, err := other.Owned(ctx)
		if err != nil || len(list) != 2 || list[0].ID != fresh.ID || list[0].Holding != 1 || list[1].Issues || list[1].Holding != 1 {
			t.Fatalf("owned: %+v, %v", list, err)
		}
		if _, err := a.Retire(ctx, old.ID, false); !errors.Is(err, ErrHolding) {
			t.Errorf("retired, though a certificate holds: %v", err)
		}
		if _, err := a.Retire(ctx, "nobody", false); !errors.Is(err, ErrNotFound) {
			t.Errorf("nobody retired: %v", err)
		}
		proof, err := other.Verify(ctx, parseChain(t, first.Chain), device.Product)
		must(t, err)
		var heard []Revocation
		a.Watch(func(r Revocation) { heard = append(heard, r) })
		since := time.Now().Add(-time.Millisecond)
		got, err := a.Retire(ctx, old.ID, true)
		if err != nil || got.Retired.IsZero() || got.Holding != 0 {
			t.Fatalf("retired: %+v, %v", got, err)
		}
		want := Revocation{Authority: old.ID}
		missed, err := other.Missed(ctx, since)
		if !slices.Equal(heard, []Revocation{want}) || err != nil || !slices.Contains(missed, want) || len(missed) > 2 {
			t.Errorf("heard %v, missed %v, %v", heard, missed, err)
		}
		if _, err := other.Verify(ctx, parseChain(t, first.Chain), device.Product); !errors.Is(err, ErrUnknown) {
			t.Errorf("a certificate of a retired authority: %v", err)
		}
		if err := other.Holds(ctx, proof, device.Product); !errors.Is(err, ErrRevoked) {
			t.Errorf("a session on it: %v", err)
		}
		if _, err := other.Verify(ctx, parseChain(t, second.Chain), device.Product); err != nil {
			t.Errorf("a certificate of the new one: %v", err)
		}
		checkRevoked(t, other, old, again.Serial, first.Serial)
		checkRevoked(t, other, fresh)
	})
}

// checkRevoked holds that the list of an authority has just these serials.
func checkRevoked(t *testing.T, a *Authorities, of *Authority, want ...string) {
	t.Helper()
	der, err := a.CRL(t.Context(), of)
	must(t, err)
	crl, err := x509.ParseRevocationList(der)
	must(t, err)
	var got []string
	for _, e := range crl.RevokedCertificateEntries {
		got = append(got, serialText(e.SerialNumber))
	}
	slices.Sort(got)
	slices.Sort(want)
	if err := crl.CheckSignatureFrom(of.Cert); err != nil || !slices.Equal(got, want) {
		t.Errorf("list of %s: %v, want %v (%v)", of.ID, got, want, err)
	}
}

// TestRotateAtOnce: of several who rotate the same authority one does, and there is never more than one that issues.
func TestRotateAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		results := make(chan error, 4)
		for range cap(results) {
			go func() {
				_, err := open(db).Rotate(t.Context())
				results <- err
			}()
		}
		made := 0
		for range cap(results) {
			switch err := <-results; {
			case err == nil:
				made++
			case !errors.Is(err, ErrRotated):
				t.Error(err)
			}
		}
		list, err := open(db).Owned(t.Context())
		if err != nil || made < 1 || len(list) != made || !list[0].Issues || len(list) > 1 && list[1].Issues {
			t.Errorf("%d made, there are %+v, %v", made, list, err)
		}
		for range maxOwn - len(list) {
			_, err := open(db).Rotate(t.Context())
			must(t, err)
		}
		var invalid *ErrInvalid
		if _, err := open(db).Rotate(t.Context()); !errors.As(err, &invalid) {
			t.Errorf("more than %d: %v", maxOwn, err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
