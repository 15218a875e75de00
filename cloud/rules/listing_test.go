package rules

import (
	"encoding/json"
	"testing"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing/listingtest"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func TestListing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		var hot *Rule
		for _, n := range []NewRule{{Name: "cold"}, {Name: "Hot", Enabled: true}, {Name: "theirs", Project: "farm"}} {
			n.SQL, n.Actions = `SELECT * FROM '/+/+/upload'`, []Action{{Kind: "target", Config: json.RawMessage(`{"Name":"a"}`)}}
			rule, err := r.rules.Create(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			if n.Name == "Hot" {
				hot = rule
			}
		}
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE rule_action SET connector = 5 WHERE rule = ?`, hot.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		listingtest.Run(t, db, &listed, `r.project = ?`, "default")
		for filter, want := range map[string]int{"": 2, "state:enabled": 1, "h": 1, "action:target": 2, "connector:5": 1, "-connector:5": 1} {
			list, page, err := r.rules.Search(t.Context(), "default", listing.Query{Filter: filter, Count: true})
			if err != nil || len(list) != want || page.Total != int64(want) {
				t.Errorf("%q: got %d rules, %+v, %v, want %d", filter, len(list), page, err, want)
			}
		}
		if list, _, err := r.rules.Search(t.Context(), "", listing.Query{Sort: "-name"}); err != nil || len(list) != 3 || list[1].Name != "Hot" {
			t.Errorf("all by name: %v, %v", list, err)
		}
		uses, err := r.rules.ConnectorUses(t.Context(), 5)
		if err != nil || len(uses) != 1 || uses[0].RuleName != "Hot" || !uses[0].Enabled || uses[0].Role.String() != "action" {
			t.Errorf("uses %+v, %v", uses, err)
		}
		if n, err := r.rules.ConnectorRules(t.Context(), []int64{4, 5}); err != nil || len(n) != 1 || n[5] != 1 {
			t.Errorf("counted %v, %v", n, err)
		}
	})
}
