package account

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func TestKeys(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		if again, created, err := b.Bootstrap(ctx); err != nil || created || again != "" {
			t.Errorf("second Bootstrap = %q, %v, %v", again, created, err)
		}
		if p := b.owner.Home(); p.Project != DefaultProject || !p.May(All) || p.Hub != All || !p.Everywhere {
			t.Errorf("the owner at home is %+v", p)
		}
		text, key, err := b.CreateKey(ctx, b.owner, b.hub(), NewKey{Name: "ci", Role: RoleViewer})
		if err != nil || !regexp.MustCompile(`^hwk_[a-z2-7]{8}_[A-Za-z0-9_-]{43}$`).MatchString(text) {
			t.Fatalf("CreateKey = %q, %v", text, err)
		}
		got, err := b.other().Authenticate(ctx, text)
		if err != nil || got.ID != key.ID || got.In("default").May(DeviceWrite) || !got.In("default").May(DeviceRead) {
			t.Errorf("on another node: %+v, %v", got, err)
		}
		list, _, err := b.SearchKeys(ctx, b.owner.Home(), listing.Query{})
		if err != nil || len(list) != 2 || list[0].LastUsed.IsZero() || list[1].LastUsed.IsZero() || key.CreatedBy != b.owner.ID {
			t.Errorf("SearchKeys = %+v, %v", list, err)
		}
		if n := b.count(`SELECT COUNT(*) FROM api_key WHERE name LIKE ?`, "%"+text+"%"); n != 0 {
			t.Error("the text is stored")
		}
		b.want("delete the last owner key", b.DeleteKey(ctx, b.hub(), b.owner.ID), ErrLastOwner)
		b.must(b.DeleteKey(ctx, b.hub(), key.ID))
		_, err = b.Authenticate(ctx, text)
		b.want("deleted key", err, ErrBadKey)
		b.want("delete again", b.DeleteKey(ctx, b.hub(), key.ID), ErrNotFound)
	})
}

func TestBadKeys(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	text, key, err := b.CreateKey(t.Context(), b.owner, b.hub(), NewKey{Name: "a", Role: RoleAdmin, Expires: b.clock.Add(time.Hour)})
	b.must(err)
	last := text[len(text)-1]
	for _, bad := range []string{
		"", "hwk_", "hws_", text[1:], text + "x", text[:len(text)-1], strings.ToUpper(text), "hws_" + text[4:],
		text[:len(text)-1] + string(last^1), strings.Replace(text, key.ID, "aaaaaaaa", 1),
	} {
		_, err := b.Authenticate(t.Context(), bad)
		b.want(bad, err, ErrBadKey)
	}
	b.caller(text)
	b.clock = b.clock.Add(2 * time.Hour)
	_, err = b.Authenticate(t.Context(), text)
	b.want("expired key", err, ErrBadKey)
	for _, n := range []NewKey{{Role: RoleAdmin}, {Name: "a"}, {Name: "a", Role: "king"}, {Name: "a", Role: RoleOwner, Expires: time.Unix(1, 0)},
		{Name: "a", Role: RoleViewer, Permissions: DeviceRead}, {Name: "a", Role: RoleViewer, Project: HubProject, Products: []string{"p"}},
		{Name: "a", Role: RoleViewer, Project: "default", Products: []string{"p"}}} {
		if _, _, err := b.CreateKey(t.Context(), b.owner, b.hub(), n); err == nil {
			t.Errorf("CreateKey(%+v) succeeded", n)
		}
	}
}

func TestKeyScopes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		b.project("farm", Quota{})
		b.product("p1", "farm")
		b.product("p2", "farm")
		b.product("p9", DefaultProject)
		text, key, err := b.CreateKey(ctx, b.owner, b.owner.In("farm"), NewKey{Name: "app", Permissions: DeviceRead | DeviceControl, Products: []string{"p1"}})
		b.must(err)
		c := b.caller(text)
		p := c.In("farm")
		if key.Project != "farm" || c.In(DefaultProject) != nil || c.In(HubProject) != nil || c.Home() != p {
			t.Fatalf("key %+v is %+v", key, p)
		}
		if on := p.Of("p1"); !on.May(DeviceControl|DeviceRead) || on.May(DeviceWrite) {
			t.Errorf("on p1: %s", on.Permissions)
		}
		if p.Of("p2") != nil || p.Of("p9") != nil {
			t.Error("it reaches products that it was not given")
		}
		_, _, err = b.CreateKey(ctx, b.owner, b.owner.In("farm"), NewKey{Name: "app", Role: RoleViewer, Products: []string{"p9"}})
		var invalid *ErrInvalid
		if !errors.As(err, &invalid) || invalid.Field != "products" {
			t.Errorf("a product of another project: %v", err)
		}
		_, _, err = b.CreateKey(ctx, b.owner, b.owner.In("nowhere"), NewKey{Name: "app", Role: RoleViewer})
		b.want("no such project", err, ErrProjectNotFound)
	})
}

func TestLastUsedIsCoarse(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	text, _, err := b.CreateKey(t.Context(), b.owner, b.hub(), NewKey{Name: "a", Role: RoleAdmin})
	b.must(err)
	used := func() time.Time {
		t.Helper()
		id := b.caller(text).ID
		k, err := b.Key(t.Context(), b.owner.Home(), id)
		b.must(err)
		return k.LastUsed
	}
	first := used()
	b.clock = b.clock.Add(25 * time.Second)
	if got := used(); got != first {
		t.Errorf("written again after 25 s: %v", got)
	}
	b.clock = b.clock.Add(45 * time.Second)
	if got := used(); got != b.clock {
		t.Errorf("after 70 s it is %v, want %v", got, b.clock)
	}
}

// A node that never hears of a change must not believe what it knows for ever.
func TestRecheck(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	text, key, err := b.CreateKey(t.Context(), b.owner, b.hub(), NewKey{Name: "a", Role: RoleAdmin})
	b.must(err)
	deaf := b.other()
	if _, err := deaf.Authenticate(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	b.must(b.DeleteKey(t.Context(), b.hub(), key.ID))
	b.clock = b.clock.Add(b.cfg.Recheck)
	_, err = deaf.Authenticate(t.Context(), text)
	b.want("after Recheck", err, ErrBadKey)
}

// With the bus between them nodes know at once.
func TestChangesReachOtherNodes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		node := b.other()
		b.Watch(node.Apply)
		text, key, err := b.CreateKey(ctx, b.owner, b.hub(), NewKey{Name: "a", Role: RoleAdmin})
		b.must(err)
		u := b.user("ann", DefaultProject, RoleOperator)
		b.user("bob", DefaultProject, RoleOwner)
		token, _ := b.login("ann")
		second, s2 := b.login("ann")
		on := func(token string) (*Caller, error) { return node.Authenticate(ctx, token) }
		for _, token := range []string{text, token, second} {
			if _, err := on(token); err != nil {
				t.Fatal(err)
			}
		}
		c, err := on(token)
		b.must(err)
		stream, end := node.Follow(ctx, c)
		defer end()

		b.must(b.DeleteKey(ctx, b.hub(), key.ID))
		_, err = on(text)
		b.want("deleted key", err, ErrBadKey)
		b.must(b.EndSession(ctx, u.ID, s2.Session))
		_, err = on(second)
		b.want("ended session", err, ErrBadKey)
		if stream.Err() != nil {
			t.Error("another session's stream has ended")
		}
		_, err = b.SetMember(ctx, b.owner.In(DefaultProject), "ann", RoleViewer, nil)
		b.must(err)
		if c, err := on(token); err != nil || c.In(DefaultProject).May(DeviceWrite) {
			t.Errorf("after the demotion: %v", err)
		}
		if stream.Err() == nil {
			t.Error("a stream outlives the right to it")
		}
		yes := true
		_, err = b.UpdateUser(ctx, b.hub(), u.ID, UserUpdate{Disabled: &yes})
		b.must(err)
		_, err = on(token)
		b.want("disabled user", err, ErrBadKey)
	})
}
