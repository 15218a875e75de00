package account

import (
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing/listingtest"
	"github.com/hawser-iot/hawser/cloud/store"
)

func TestListings(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		b.project("farm", Quota{})
		b.product("p1", "farm")
		farm := b.owner.In("farm")
		ann, bob, cat := b.user("ann", "farm", RoleOwner), b.user("bob", "farm", RoleViewer), b.user("cat", DefaultProject, RoleViewer)
		_, err := b.AddMember(ctx, farm, cat.ID, "", map[string]Role{"p1": RoleEngineer})
		b.must(err)
		for _, n := range []NewKey{{Name: "Meter", Role: RoleViewer, Expires: b.clock.AddDate(100, 0, 0)}, {Name: "erp", Permissions: DeviceRead, Pair: true}, {Name: "old", Role: RoleAdmin}} {
			_, _, err := b.CreateKey(ctx, b.owner, farm, n)
			b.must(err)
			b.clock = b.clock.Add(time.Second)
		}
		b.must(b.db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE api_key SET expires_at = 1 WHERE name = 'old'`)
			return err
		}))
		for range 3 {
			b.login("ann")
			b.clock = b.clock.Add(time.Second)
		}
		listingtest.Run(t, b.db, &listedKeys, `project = ?`, "farm")
		listingtest.Run(t, b.db, &listedMembers, `m.project = ?`, "farm")
		listingtest.Run(t, b.db, &listedSessions, `account = ?`, ann.ID)

		for _, tt := range []struct {
			filter, sort string
			want         []string
		}{
			{"", "", []string{"Meter", "erp", "old"}},
			{"", "-name", []string{"old", "Meter", "erp"}},
			{"", "role", []string{"old", "Meter", "erp"}},
			{"state:expired", "", []string{"old"}},
			{"pair:yes OR role:viewer", "name", []string{"erp", "Meter"}},
			{"role:none", "", []string{"erp"}},
			{"meter", "", []string{"Meter"}}, // ids are random, and words are of their beginnings too
			{"used:never expires!=never", "-expires", []string{"Meter", "old"}},
			{"project:hub", "", nil},
		} {
			list, page, err := b.SearchKeys(ctx, farm, listing.Query{Filter: tt.filter, Sort: tt.sort, Count: true})
			var got []string
			for _, k := range list {
				got = append(got, k.Name)
			}
			if err != nil || !slices.Equal(got, tt.want) || page.Total != int64(len(tt.want)) {
				t.Errorf("keys %q by %q: %v, %+v, %v, want %v", tt.filter, tt.sort, got, page, err, tt.want)
			}
		}
		if list, _, err := b.SearchKeys(ctx, b.owner.Home(), listing.Query{Filter: "project:hub"}); err != nil || len(list) != 1 || list[0].ID != b.owner.ID {
			t.Errorf("the keys of the hub, of all: %+v, %v", list, err)
		}

		disabled := true
		_, err = b.UpdateUser(ctx, b.hub(), bob.ID, UserUpdate{Disabled: &disabled})
		b.must(err)
		for _, tt := range []struct {
			filter, sort string
			want         []string
		}{
			{"", "", []string{"ann", "bob", "cat"}},
			{"", "-login", []string{"cat", "bob", "ann"}},
			{"", "-role", []string{"cat", "bob", "ann"}},
			{"product:p1", "", []string{"cat"}},
			{"state:disabled", "", []string{"bob"}},
			{"role:owner OR b", "", []string{"ann", "bob"}},
		} {
			list, _, err := b.SearchMembers(ctx, "farm", listing.Query{Filter: tt.filter, Sort: tt.sort})
			var got []string
			for _, m := range list {
				got = append(got, m.Login)
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("members %q by %q: %v, %v, want %v", tt.filter, tt.sort, got, err, tt.want)
			}
		}
		if list, _, err := b.SearchMembers(ctx, "farm", listing.Query{Filter: "product:p1"}); err != nil || list[0].Products["p1"] != RoleEngineer {
			t.Errorf("a member of one product: %+v, %v", list, err)
		}

		sessions, page, err := b.SearchSessions(ctx, ann.ID, listing.Query{Sort: "-created", Limit: 2, Count: true})
		if err != nil || len(sessions) != 2 || !sessions[0].Created.After(sessions[1].Created) || page.Total != 3 || page.By[MethodPassword] != 3 {
			t.Errorf("sessions: %+v, %+v, %v", sessions, page, err)
		}
		rest, _, err := b.SearchSessions(ctx, ann.ID, listing.Query{Sort: "-created", Limit: 2, Cursor: page.Next})
		if err != nil || len(rest) != 1 || !rest[0].Created.Before(sessions[1].Created) {
			t.Errorf("the last session: %+v, %v", rest, err)
		}
		if list, _, err := b.SearchSessions(ctx, ann.ID, listing.Query{Filter: "method:oidc"}); err != nil || len(list) != 0 {
			t.Errorf("sessions of OpenID Connect: %+v, %v", list, err)
		}
	})
}
