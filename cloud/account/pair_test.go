package account

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/credential"
)

// signedBy is a request that was signed with a private key.
func signedBy(private string) func(credential.Secret) bool {
	return func(s credential.Secret) bool { return s.Reveal() == private }
}

func TestPairs(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		b.project("farm", Quota{})
		private, key, err := b.CreateKey(ctx, b.owner, b.owner.In("farm"), NewKey{Name: "erp", Role: RoleOperator, Pair: true})
		b.must(err)
		if !key.Pair || key.PublicKey() != "hwp_"+key.ID || len(private) != 43 {
			t.Fatalf("CreateKey = %q, %+v", private, key)
		}
		got, err := b.other().AuthenticatePair(ctx, key.PublicKey(), home, signedBy(private))
		if err != nil || got.ID != key.ID || !got.Home().May(ProductWrite) || got.Home().Project != "farm" {
			t.Errorf("on another node: %+v, %v", got, err)
		}
		_, err = b.AuthenticatePair(ctx, key.PublicKey(), home, signedBy("another"))
		b.want("wrong signature", err, ErrSignature)
		_, err = b.Authenticate(ctx, "hwk_"+key.ID+"_"+private)
		b.want("shown as a key", err, ErrBadKey)
		_, err = b.AuthenticatePair(ctx, publicPrefix+b.owner.ID, home, func(credential.Secret) bool { return true })
		b.want("a key that is no pair", err, ErrNoPair)

		var sealed []byte
		b.must(b.db.QueryRow(ctx, `SELECT secret FROM api_key_pair WHERE id = ?`, key.ID).Scan(&sealed))
		if bytes.Contains(sealed, []byte(private)) {
			t.Error("the private key is stored in clear")
		}
		list, _, err := b.SearchKeys(ctx, b.owner.In("farm"), listing.Query{})
		if err != nil || len(list) != 1 || !list[0].Pair || list[0].LastUsed.IsZero() {
			t.Errorf("SearchKeys = %+v, %v", list, err)
		}
		b.must(b.DeleteKey(ctx, b.owner.In("farm"), key.ID))
		_, err = b.AuthenticatePair(ctx, key.PublicKey(), home, signedBy(private))
		b.want("deleted", err, ErrNoPair)
		if n := b.count(`SELECT COUNT(*) FROM api_key_pair`); n != 0 {
			t.Errorf("%d private keys are left", n)
		}
	})
}

func TestPairsEndAndDoNotOwn(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	_, key, err := b.CreateKey(t.Context(), b.owner, b.hub(), NewKey{Name: "erp", Role: RoleOwner, Pair: true})
	b.must(err)
	b.want("a pair cannot let anybody in again", b.DeleteKey(t.Context(), b.hub(), b.owner.ID), ErrLastOwner)
	b.must(b.DeleteKey(t.Context(), b.hub(), key.ID))
	private, key, err := b.CreateKey(t.Context(), b.owner, b.hub(), NewKey{Name: "erp", Role: RoleViewer, Pair: true, Expires: b.clock.Add(time.Hour)})
	b.must(err)
	_, err = b.AuthenticatePair(t.Context(), key.PublicKey(), home, signedBy(private))
	b.must(err)
	b.clock = b.clock.Add(time.Hour)
	_, err = b.AuthenticatePair(t.Context(), key.PublicKey(), home, signedBy(private))
	b.want("expired", err, ErrNoPair)
}

func TestWrongSignaturesPay(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	private, key, err := b.CreateKey(t.Context(), b.owner, b.hub(), NewKey{Name: "erp", Role: RoleViewer, Pair: true})
	b.must(err)
	var paid []time.Duration
	b.signed.wait = func(_ context.Context, d time.Duration) { paid = append(paid, d) }
	try := func(public, private, address string) error {
		_, err := b.AuthenticatePair(t.Context(), public, Origin{Address: address}, signedBy(private))
		return err
	}
	for range 8 {
		b.want("wrong", try(key.PublicKey(), "x", "192.0.2.1:1"), ErrSignature)
	}
	if want := 3; len(paid) != want || paid[0] != 100*time.Millisecond || paid[2] != 400*time.Millisecond {
		t.Errorf("eight wrong ones paid %v, want 100ms, 200ms, 400ms", paid)
	}
	paid = nil
	b.want("from elsewhere", try(key.PublicKey(), "x", "192.0.2.2:1"), ErrSignature)
	b.must(try(key.PublicKey(), private, "192.0.2.1:1"))
	if len(paid) != 0 {
		t.Errorf("they paid %v for others", paid)
	}
	for range 7 {
		b.want("unknown", try("hwp_aaaaaaaa", "x", "192.0.2.3:1"), ErrNoPair)
	}
	if len(paid) != 2 {
		t.Errorf("unknown keys paid %v, want twice", paid)
	}
}
