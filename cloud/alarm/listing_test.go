package alarm

import (
	"testing"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing/listingtest"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func TestListings(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		for _, severity := range []string{"critical", "minor"} {
			d := Definition{Severity: severity, Condition: Condition{Kind: OnPresence, Product: "pump"}, Description: `"severity":"major"`}
			if _, err := r.CreateRule(t.Context(), "farm", severity, severity == "minor", d); err != nil {
				t.Fatal(err)
			}
		}
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			for i, subject := range []string{"pump/P-2", "pump/p-1", ""} {
				cleared := int64(max(0, i-1)) * 9000
				if _, err := tx.Exec(t.Context(), `INSERT INTO alarm (id, rule, rule_name, project, product, subject, severity, text, value, opened_at, acknowledged_at, cleared_at, changed_at)
					VALUES (?, 1, 'r', 'farm', 'pump', ?, ?, 'hot', '31', 1000, ?, ?, 2000)`, i+1, subject, i, i*3000, cleared); err != nil {
					return err
				}
			}
			_, err := tx.Exec(t.Context(), `INSERT INTO alarm_channel (id, project, name, kind, config, created_at, updated_at, failures) VALUES (1, 'farm', 'ops', 'webhook', '', 1, 1, 2)`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		listingtest.Run(t, db, &listed, `project = ?`, "farm")
		listingtest.Run(t, db, &listedRules, `project = ?`, "farm")
		listingtest.Run(t, db, &listedChannels, `project = ?`, "farm")

		alarms, page, err := r.Search(t.Context(), Filter{Project: "farm"}, listing.Query{Filter: "device:p*", Sort: "device", Count: true})
		if err != nil || len(alarms) != 2 || alarms[0].Device != "p-1" || page.By["open"] != 1 || page.By["acknowledged"] != 1 {
			t.Errorf("alarms: %+v, %+v, %v", alarms, page, err)
		}
		rules, _, err := r.SearchRules(t.Context(), "farm", listing.Query{Filter: "severity:minor state:enabled kind:presence"})
		if err != nil || len(rules) != 1 || rules[0].Name != "minor" {
			t.Errorf("rules: %+v, %v", rules, err)
		}
		if rules, _, err = r.SearchRules(t.Context(), "farm", listing.Query{Filter: "severity:major"}); err != nil || len(rules) != 0 {
			t.Errorf("what a description says was taken for the severity: %+v, %v", rules, err)
		}
	})
}
