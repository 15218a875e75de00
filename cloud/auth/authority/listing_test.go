package authority

import (
	"encoding/pem"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing/listingtest"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// The hub's own are found by status, and come in the order that is asked for; others' are not among them.
func TestSearch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := open(db), t.Context()
		now := time.Now()
		a.now = func() time.Time { return now }
		var ids []string // from old to new
		for range 4 {
			one, err := a.Rotate(ctx)
			must(t, err)
			ids = append(ids, one.ID)
			now = now.Add(time.Minute)
		}
		_, theirs, err := newOwn(now)
		must(t, err)
		_, err = a.Accept(ctx, "p", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: theirs.Raw}), nil)
		must(t, err)
		_, err = a.Retire(ctx, ids[1], false)
		must(t, err)
		must(t, db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE authority SET expires_at = 1 WHERE id = ?`, ids[0])
			return err
		}))
		listingtest.Run(t, db, &listedOwn, ownCond)
		for _, tt := range []struct {
			filter, sort string
			want         []int
		}{
			{"", "", []int{3, 2, 0, 1}},
			{"", "created", []int{0, 1, 2, 3}},
			{"", "-retired", []int{1}},
			{"status:expired", "", []int{0}},
			{"status:retired OR status:issuing", "", []int{3, 1}},
			{"-retired:never", "", []int{1}},
			{ids[2][:10], "", []int{2}},
		} {
			q := listing.Query{Filter: tt.filter, Sort: tt.sort, Count: true}
			if tt.sort == "-retired" { // the others are equal in it
				q.Limit = 1
			}
			list, page, err := a.Search(ctx, q)
			must(t, err)
			var got []int
			for _, one := range list {
				got = append(got, slices.Index(ids, one.ID))
			}
			if !slices.Equal(got, tt.want) || q.Limit == 0 && page.Total != int64(len(tt.want)) {
				t.Errorf("%q by %q: got %v of %d, want %v", tt.filter, tt.sort, got, page.Total, tt.want)
			}
		}
	})
}

// The first list makes the first authority, which holds what it has issued.
func TestSearchMakesOwn(t *testing.T) {
	a := open(storetest.SQLite(t))
	list, page, err := a.Search(t.Context(), listing.Query{Count: true})
	if err != nil || len(list) != 1 || !list[0].Issues || page.By["issuing"] != 1 {
		t.Fatalf("the first list: %+v, %+v, %v", list, page, err)
	}
	_, err = a.Issue(t.Context(), Request{Device: ident.Device{Product: "p", SN: "d"}, DeviceID: 7})
	must(t, err)
	if list, _, err = a.Search(t.Context(), listing.Query{}); err != nil || list[0].Holding != 1 {
		t.Errorf("with a certificate: %+v, %v", list, err)
	}
}
