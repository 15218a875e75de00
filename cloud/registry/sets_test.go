package registry

import (
	"testing"

	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// TestCountSets counts filters whose conditions are sets that are all too long to look each device up, and some with a condition
// that is none.
func TestCountSets(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFleet(t, db, 200)
		f.inParts(t)
		for text, sets := range map[string]int{
			"tag.region:eu state:online":                    2,
			"tag.region:eu tag.a.b:100%":                    2,
			"tag.region:eu group:east -state:disabled":      3,
			"group:east state:offline":                      2,
			"tag.region:eu product:" + f.products[1].SN:     2,
			"tag.region:us state:online created>2026-01-01": 2,
			"tag.region:us tag.region:eu state:online":      3,
			"tag.region:us -group:east state:online":        0,
			"tag.region:eu* state:online":                   0,
			"tag.region:eu state:online lastSeen<-3d":       0,
			"tag.region:eu state:online -tag.a.b:100%":      0,
			"tag.region:eu -product:" + f.products[0].SN:    0,
			"state:online product:" + f.products[0].SN:      1,
			"tag.region:eu state:online tag.a.b:none":       3,
			"tag.region:eu state:online created<2001-01-01": 2,
		} {
			fl := Filter{Project: DefaultProject, Query: text}
			x, err := filter.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			want := len(f.want(x, "", SortCreated))
			if n, err := f.CountDevices(t.Context(), fl, false); err != nil || n.Total != want {
				t.Errorf("%s: counted %d, %v, want %d", text, n.Total, err, want)
			}
			cs, err := f.clauses(t.Context(), fl)
			if err != nil {
				t.Fatal(err)
			}
			s := f.search(fl)
			if list, err := s.sets(t.Context(), cs[0], s.ways(cs[0])); err != nil || len(list) != sets {
				t.Errorf("%s: %d sets, %v, want %d", text, len(list), err, sets)
			}
		}
	})
}

// inParts has the fleet's counts made in parts and over sets, however short their ways are.
func (f *fleet) inParts(t *testing.T) {
	t.Helper()
	f.countProbe, f.partsMin, f.cutMin = 2, 2, 2
	if err := f.recut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := f.cuts.Load(); c == nil || len(c.ids) != countParts-1 {
		t.Fatalf("cuts %+v, want %d", c, countParts-1)
	}
}
