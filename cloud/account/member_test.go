package account

import (
	"errors"
	"testing"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func TestMembers(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		b.project("farm", Quota{})
		b.product("p1", "farm")
		b.product("p2", "farm")
		b.product("p9", DefaultProject)
		u := b.user("ann", "", "")
		_, c := b.login("ann")
		if c.Home() != nil || len(c.Projects()) != 0 {
			t.Errorf("a user without membership has %v", c.Projects())
		}
		farm := b.owner.In("farm")
		m, err := b.AddMember(ctx, farm, "ann", "", map[string]Role{"p1": RoleEngineer, "p2": RoleViewer})
		if err != nil || m.User != u.ID || m.Login != "ann" || m.Products["p1"] != RoleEngineer {
			t.Fatalf("AddMember = %+v, %v", m, err)
		}
		_, c = b.login("ann")
		p := c.In("farm")
		if !p.Of("p1").May(DeviceControl) || p.Of("p2").May(DeviceControl) || p.Of("p9") != nil || c.In(DefaultProject) != nil {
			t.Errorf("grants %+v", p)
		}
		_, err = b.AddMember(ctx, farm, "ann", RoleViewer, nil)
		b.want("a member twice", err, ErrExists)
		var invalid *ErrInvalid
		for _, tt := range []struct {
			role     Role
			products map[string]Role
		}{{"", nil}, {"king", nil}, {RoleViewer, map[string]Role{"p1": RoleViewer}}, {"", map[string]Role{"p9": RoleViewer}}, {"", map[string]Role{"p1": "king"}}} {
			if _, err := b.SetMember(ctx, farm, "ann", tt.role, tt.products); !errors.As(err, &invalid) {
				t.Errorf("%+v: %v", tt, err)
			}
		}
		_, err = b.SetMember(ctx, farm, u.ID, RoleAdmin, nil)
		b.must(err)
		if p := b.caller(mustToken(b, "ann")).In("farm"); p.Products != nil || !p.May(KeyWrite) {
			t.Errorf("after the promotion %+v", p)
		}
		b.must(b.RemoveMember(ctx, farm, "ann"))
		b.want("remove again", b.RemoveMember(ctx, farm, "ann"), ErrMemberNotFound)
		_, err = b.AddMember(ctx, farm, "nobody", RoleViewer, nil)
		b.want("nobody", err, ErrUserNotFound)
		b.must(b.DeleteUser(ctx, b.hub(), "ann"))
		if n := b.count(`SELECT COUNT(*) FROM account_session`); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

func mustToken(b *bench, name string) string {
	b.t.Helper()
	token, _ := b.login(name)
	return token
}

// Nobody gives what they do not have, nor touches somebody who has more.
func TestEscalation(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		b.project("farm", Quota{})
		b.product("p1", "farm")
		owner, admin := b.user("owner", "farm", RoleOwner), b.user("admin", "farm", RoleAdmin)
		boss := b.user("boss", HubProject, RoleAdmin)
		b.user("ann", "farm", RoleViewer)
		mallory := b.user("mallory", "", "")
		_, c := b.login("admin")
		p := c.In("farm")

		_, err := b.AddMember(ctx, p, "mallory", RoleOwner, nil)
		b.want("an admin makes an owner", err, ErrExceeds)
		_, err = b.AddMember(ctx, p, "mallory", "", map[string]Role{"p1": RoleOwner})
		b.want("… on one product", err, ErrExceeds)
		_, err = b.SetMember(ctx, p, admin.ID, RoleOwner, nil)
		b.want("an admin makes themselves an owner", err, ErrExceeds)
		_, err = b.SetMember(ctx, p, owner.ID, RoleViewer, nil)
		b.want("an admin demotes an owner", err, ErrExceeds)
		b.want("an admin removes an owner", b.RemoveMember(ctx, p, owner.ID), ErrExceeds)
		hub := c.In(HubProject)
		if hub != nil {
			t.Errorf("an admin of a project is %+v of the hub", hub)
		}
		_, _, err = b.CreateKey(ctx, c, p, NewKey{Name: "k", Role: RoleOwner})
		b.want("an admin's key of an owner", err, ErrExceeds)
		for _, project := range []string{HubProject, DefaultProject} {
			_, _, err = b.CreateKey(ctx, c, p, NewKey{Name: "k", Project: project, Role: RoleViewer})
			b.want("a key of "+project, err, ErrExceeds)
		}
		_, err = b.AddMember(ctx, p, "mallory", RoleAdmin, nil)
		b.must(err)

		// An admin of the hub may change users, and not those who have more.
		_, c = b.login("boss")
		p = c.In(HubProject)
		stolen := "stolen password"
		_, err = b.UpdateUser(ctx, p, owner.ID, UserUpdate{Password: &stolen})
		b.want("the password of an owner", err, ErrExceeds)
		b.want("the second factor of an owner", b.ResetTOTP(ctx, p, owner.ID), ErrExceeds)
		b.want("the sessions of an owner", b.EndSessionsOf(ctx, p, owner.ID, ""), ErrExceeds)
		b.want("an owner", b.DeleteUser(ctx, p, owner.ID), ErrExceeds)
		_, err = b.AddMember(ctx, p, mallory.ID, RoleOwner, nil)
		b.want("an owner of the hub", err, ErrExceeds)
		b.want("the owner's key", b.DeleteKey(ctx, p, b.owner.ID), ErrExceeds)
		b.want("the owner's key, everywhere", b.DeleteKey(ctx, c.Home(), b.owner.ID), ErrExceeds)
		_, err = b.UpdateUser(ctx, p, mallory.ID, UserUpdate{Password: &stolen})
		b.must(err)
		_, err = b.UpdateProject(ctx, p, "farm", ProjectUpdate{Quota: &Quota{}})
		b.want("a quota", err, ErrExceeds)
		if boss.ID == "" {
			t.Error("no boss")
		}
	})
}

// A key cannot make one that has more than itself, or outlives it.
func TestKeysOfKeys(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	ctx := t.Context()
	b.project("farm", Quota{})
	b.product("p1", "farm")
	end := b.clock.AddDate(0, 0, 1)
	text, _, err := b.CreateKey(ctx, b.owner, b.owner.In("farm"), NewKey{Name: "k", Permissions: KeyWrite | KeyRead | DeviceRead, Expires: end})
	b.must(err)
	c := b.caller(text)
	p := c.In("farm")
	for name, n := range map[string]NewKey{"role": {Role: RoleViewer, Expires: end}, "permission": {Permissions: DeviceRead | DeviceWrite, Expires: end},
		"for ever": {Permissions: DeviceRead}, "longer": {Permissions: DeviceRead, Expires: end.AddDate(0, 0, 1)}, "hub": {Permissions: DeviceRead, Project: HubProject, Expires: end}} {
		n.Name = name
		_, _, err := b.CreateKey(ctx, c, p, n)
		b.want(name, err, ErrExceeds)
	}
	_, _, err = b.CreateKey(ctx, c, p, NewKey{Name: "less", Permissions: DeviceRead, Expires: end})
	b.must(err)
	limited, _, err := b.CreateKey(ctx, b.owner, b.owner.In("farm"), NewKey{Name: "limited", Permissions: KeyWrite | DeviceRead, Products: []string{"p1"}})
	b.must(err)
	c = b.caller(limited)
	_, _, err = b.CreateKey(ctx, c, c.In("farm"), NewKey{Name: "all products", Permissions: DeviceRead})
	b.want("a key that is limited to products", err, ErrExceeds)
	admin, key, err := b.CreateKey(ctx, b.owner, b.owner.In("farm"), NewKey{Name: "admin", Role: RoleAdmin})
	b.must(err)
	_, big, err := b.CreateKey(ctx, b.owner, b.owner.In("farm"), NewKey{Name: "owner", Role: RoleOwner})
	b.must(err)
	c = b.caller(admin)
	b.want("an owner's key", b.DeleteKey(ctx, c.In("farm"), big.ID), ErrExceeds)
	b.want("the hub's key", b.DeleteKey(ctx, c.In("farm"), b.owner.ID), ErrNotFound)
	if list, _, err := b.SearchKeys(ctx, c.In("farm"), listing.Query{}); err != nil || len(list) != 5 {
		t.Errorf("a project's admin sees %d keys, %v", len(list), err)
	}
	b.must(b.DeleteKey(ctx, c.In("farm"), key.ID)) // itself
}

func TestLastOwner(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		b.project("farm", Quota{})
		farm := b.owner.In("farm")
		ann := b.user("ann", "farm", RoleOwner)
		yes := true
		check := func(want error) {
			t.Helper()
			_, err := b.SetMember(ctx, farm, ann.ID, RoleAdmin, nil)
			b.want("demote", err, want)
			b.want("remove", b.RemoveMember(ctx, farm, ann.ID), want)
			_, err = b.UpdateUser(ctx, b.hub(), ann.ID, UserUpdate{Disabled: &yes})
			b.want("disable", err, want)
			b.want("delete", b.DeleteUser(ctx, b.hub(), ann.ID), want)
		}
		check(ErrLastOwnerUser)
		bob := b.user("bob", "farm", RoleOwner)
		_, err := b.UpdateUser(ctx, b.hub(), bob.ID, UserUpdate{Disabled: &yes})
		b.must(err)
		check(ErrLastOwnerUser) // bob cannot log in
		no := false
		_, err = b.UpdateUser(ctx, b.hub(), bob.ID, UserUpdate{Disabled: &no})
		b.must(err)
		b.must(b.DeleteUser(ctx, b.hub(), ann.ID))
		b.must(b.DeleteProject(ctx, "farm")) // and its owner with it
	})
}

func TestProjects(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		for _, id := range []string{"", "x", "hub", "Farm", "a b", "-a"} {
			if _, err := b.CreateProject(ctx, NewProject{ID: id}); err == nil {
				t.Errorf("project %q was made", id)
			}
		}
		b.project("farm", Quota{})
		_, err := b.CreateProject(ctx, NewProject{ID: "farm"})
		b.want("the same id", err, ErrExists)
		b.user("ann", "farm", RoleViewer)
		_, c := b.login("ann")
		list, err := b.Projects(ctx, c.Identity)
		if err != nil || len(list) != 1 || list[0].ID != "farm" {
			t.Errorf("Projects of a member = %+v, %v", list, err)
		}
		if list, err := b.Projects(ctx, b.owner.Identity); err != nil || len(list) != 2 {
			t.Errorf("Projects of the owner = %+v, %v", list, err)
		}
		name := "The farm"
		if p, err := b.UpdateProject(ctx, b.hub(), "farm", ProjectUpdate{Name: &name, Quota: &Quota{Users: 3}}); err != nil || p.Name != name || p.Quota.Users != 3 {
			t.Errorf("UpdateProject = %+v, %v", p, err)
		}
		b.product("p1", "farm")
		b.want("delete with a product", b.DeleteProject(ctx, "farm"), ErrNotEmpty)
		b.want("delete nothing", b.DeleteProject(ctx, "nowhere"), ErrProjectNotFound)
		if err := b.DeleteProject(ctx, DefaultProject); err == nil {
			t.Error("the default project is gone")
		}
	})
}

func TestQuotas(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		b.project("farm", Quota{Users: 1, Keys: 1, Products: 2, Devices: 3})
		farm := b.owner.In("farm")
		b.user("ann", "farm", RoleViewer)
		b.user("bob", "", "")
		_, err := b.AddMember(ctx, farm, "bob", RoleViewer, nil)
		var quota *QuotaError
		if !errors.As(err, &quota) || quota.Kind != QuotaUsers || quota.Limit != 1 || quota.Have != 1 {
			t.Errorf("a second member: %v", err)
		}
		_, err = b.SetMember(ctx, farm, "ann", RoleEngineer, nil)
		b.must(err)
		_, _, err = b.CreateKey(ctx, b.owner, farm, NewKey{Name: "a", Role: RoleViewer})
		b.must(err)
		_, _, err = b.CreateKey(ctx, b.owner, farm, NewKey{Name: "b", Role: RoleViewer})
		b.want("a second key", err, ErrQuota)
		b.product("p1", "farm")
		reserve := func(project string, kind QuotaKind, n int64) error {
			return b.db.Update(ctx, func(tx *store.Tx) error { return b.Reserve(ctx, tx, project, kind, n) })
		}
		b.must(reserve("farm", QuotaProducts, 1))
		b.want("two more products", reserve("farm", QuotaProducts, 2), ErrQuota)
		b.must(reserve("farm", QuotaDevices, 3))
		b.want("four devices", reserve("farm", QuotaDevices, 4), ErrQuota)
		b.must(reserve(DefaultProject, QuotaDevices, 1_000_000))
		b.want("no such project", reserve("nowhere", QuotaDevices, 1), ErrProjectNotFound)
	})
}
