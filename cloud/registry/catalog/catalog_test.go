package catalog

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing/listingtest"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func open(t *testing.T, db *store.DB) (*Catalog, *registry.Registry) {
	t.Helper()
	r, err := registry.New(t.Context(), db, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return New(db, r), r
}

func TestProducts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c, r := open(t, db)
		ctx := t.Context()
		sns := map[string]string{}
		for i, n := range []registry.NewProduct{{Name: "Pump"}, {Name: "gate", Kind: registry.KindGateway, Description: "Hall 1"}, {Name: "pump 2"}, {Name: "valve", Kind: registry.KindSubdevice},
			{Name: "theirs", Project: "farm"}} {
			p, err := r.CreateProduct(ctx, n)
			if err != nil {
				t.Fatal(err)
			}
			sns[n.Name] = p.SN
			err = db.Update(ctx, func(tx *store.Tx) error { // a day between them
				_, err := tx.Exec(ctx, `UPDATE product SET created_at = ? WHERE sn = ?`, int64(i+1)*24*3600*1000, p.SN)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.UpdateProduct(ctx, sns["valve"], registry.ProductUpdate{Published: new(true)}); err != nil {
			t.Fatal(err)
		}
		listingtest.Run(t, db, &products, `project = ?`, registry.DefaultProject)
		for _, tt := range []struct {
			project, filter, sort string
			among, want           []string
		}{
			{"default", "", "", nil, []string{"Pump", "gate", "pump 2", "valve"}},
			{"default", "", "-created", nil, []string{"valve", "pump 2", "gate", "Pump"}},
			{"default", "", "name", nil, []string{"gate", "Pump", "pump 2", "valve"}},
			{"default", "", "-kind", []string{sns["gate"], sns["valve"], sns["theirs"]}, []string{"valve", "gate"}},
			{"default", "", "", []string{}, nil},
			{"default", "pump", "", nil, []string{"Pump", "pump 2"}},
			{"default", "kind:gateway OR published:yes", "", nil, []string{"gate", "valve"}},
			{"default", "description:hall*", "", nil, []string{"gate"}},
			{"default", "sn:" + sns["pump 2"], "", nil, []string{"pump 2"}},
			{"", "project:farm", "", nil, []string{"theirs"}},
		} {
			list, page, err := c.Products(ctx, tt.project, tt.among, listing.Query{Filter: tt.filter, Sort: tt.sort, Count: true})
			var got []string
			for _, p := range list {
				got = append(got, p.Name)
			}
			if err != nil || !slices.Equal(got, tt.want) || page.Total != int64(len(tt.want)) {
				t.Errorf("%q by %q: got %v, %+v, %v, want %v", tt.filter, tt.sort, got, page, err, tt.want)
			}
		}
	})
}

func TestGroups(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c, r := open(t, db)
		ctx := t.Context()
		for _, n := range []registry.NewGroup{{Name: "west"}, {Name: "stale", Filter: "lastSeen<-30d", Description: "to look at"}, {Name: "East"}, {Project: "farm", Name: "east"}} {
			if n.Project == "" {
				n.Project = registry.DefaultProject
			}
			if _, err := r.CreateGroup(ctx, n); err != nil {
				t.Fatal(err)
			}
		}
		listingtest.Run(t, db, &groups, `project = ?`, registry.DefaultProject)
		for _, tt := range []struct {
			filter, sort string
			want         []string
		}{
			{"", "", []string{"East", "stale", "west"}},
			{"", "-name", []string{"west", "stale", "East"}},
			{"", "created", []string{"west", "stale", "East"}},
			{"kind:filter", "", []string{"stale"}},
			{"-kind:filter", "-created", []string{"East", "west"}},
			{"description:to*", "", []string{"stale"}},
			{"ea", "", []string{"East"}},
		} {
			for _, limit := range []int{1, 10} {
				var got []string
				for q := (listing.Query{Filter: tt.filter, Sort: tt.sort, Limit: limit}); ; {
					list, page, err := c.Groups(ctx, registry.DefaultProject, q)
					if err != nil {
						t.Fatal(err)
					}
					for _, g := range list {
						got = append(got, g.Name)
					}
					if q.Cursor = page.Next; page.Next == "" || len(got) > 10 {
						break
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("%q by %q, %d a page: got %v, want %v", tt.filter, tt.sort, limit, got, tt.want)
				}
			}
		}
	})
}
