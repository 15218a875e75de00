package account

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func TestKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		k := New(db)
		owner, created, err := k.Bootstrap(ctx)
		if err != nil || !created || !regexp.MustCompile(`^hwk_[a-z2-7]{8}_[A-Za-z0-9_-]{43}$`).MatchString(owner) {
			t.Fatalf("Bootstrap = %q, %v, %v", owner, created, err)
		}
		if again, created, err := k.Bootstrap(ctx); err != nil || created || again != "" {
			t.Errorf("second Bootstrap = %q, %v, %v", again, created, err)
		}
		got, err := k.Verify(ctx, owner)
		if err != nil || got.Role != RoleOwner || !got.Role.Covers(RoleViewer) {
			t.Fatalf("Verify(owner) = %+v, %v", got, err)
		}
		text, key, err := k.Create(ctx, NewKey{Name: "ci", Role: RoleViewer})
		if err != nil {
			t.Fatalf("Create: %v", err)
		}
		if got, err := New(db).Verify(ctx, text); err != nil || got.ID != key.ID || got.Role.Covers(RoleAdmin) {
			t.Errorf("Verify on another node = %+v, %v", got, err)
		}
		list, err := k.List(ctx)
		if err != nil || len(list) != 2 || list[0].LastUsed.IsZero() || list[1].LastUsed.IsZero() {
			t.Errorf("List = %+v, %v", list, err)
		}
		var stored string
		if err := db.QueryRow(ctx, `SELECT COUNT(*) FROM api_key WHERE name LIKE ?`, "%"+text+"%").Scan(&stored); err != nil || stored != "0" {
			t.Errorf("the text is stored: %v, %v", stored, err)
		}
		if err := k.Delete(ctx, got.ID); !errors.Is(err, ErrLastOwner) {
			t.Errorf("Delete of the last owner key: %v, want ErrLastOwner", err)
		}
		if err := k.Delete(ctx, key.ID); err != nil {
			t.Errorf("Delete: %v", err)
		}
		if _, err := k.Verify(ctx, text); !errors.Is(err, ErrBadKey) {
			t.Errorf("deleted key: %v, want ErrBadKey", err)
		}
		if err := k.Delete(ctx, key.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("Delete again: %v, want ErrNotFound", err)
		}
	})
}

func TestBadKeys(t *testing.T) {
	k := New(storetest.SQLite(t))
	text, key, err := k.Create(t.Context(), NewKey{Name: "a", Role: RoleAdmin, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	last := text[len(text)-1]
	for _, bad := range []string{
		"", "hwk_", text[1:], text + "x", text[:len(text)-1], strings.ToUpper(text),
		text[:len(text)-1] + string(last^1), strings.Replace(text, key.ID, "aaaaaaaa", 1),
	} {
		if _, err := k.Verify(t.Context(), bad); !errors.Is(err, ErrBadKey) {
			t.Errorf("Verify(%q): %v, want ErrBadKey", bad, err)
		}
	}
	if _, err := k.Verify(t.Context(), text); err != nil {
		t.Errorf("the right key: %v", err)
	}
	k.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if _, err := k.Verify(t.Context(), text); !errors.Is(err, ErrBadKey) {
		t.Errorf("expired key: %v, want ErrBadKey", err)
	}
	for _, n := range []NewKey{{Role: RoleAdmin}, {Name: "a", Role: "king"}, {Name: "a", Role: RoleOwner, Expires: time.Unix(1, 0)}} {
		if _, _, err := k.Create(t.Context(), n); err == nil {
			t.Errorf("Create(%+v) succeeded", n)
		}
	}
}

func TestLastUsedIsCoarse(t *testing.T) {
	db := storetest.SQLite(t)
	k := New(db)
	now := time.UnixMilli(1_800_000_000_000).UTC()
	k.now = func() time.Time { return now }
	text, _, err := k.Create(t.Context(), NewKey{Name: "a", Role: RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	used := func() time.Time {
		t.Helper()
		if _, err := k.Verify(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		list, err := k.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list[0].LastUsed
	}
	first := used()
	now = now.Add(30 * time.Second)
	if got := used(); got != first {
		t.Errorf("written again after 30 s: %v", got)
	}
	now = now.Add(40 * time.Second)
	if got := used(); got != now {
		t.Errorf("after 70 s it is %v, want %v", got, now)
	}
}

func BenchmarkVerify(b *testing.B) {
	k := New(storetest.SQLite(b))
	text, _, err := k.Create(b.Context(), NewKey{Name: "a", Role: RoleAdmin})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Verify(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
}
