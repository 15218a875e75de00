package ota

import (
	"testing"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing/listingtest"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func TestListings(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		m := f.trusted()
		f.release(m, 2, plainImage("2.0"))
		r := f.release(m, 3, plainImage("3.0"))
		if _, err := f.AddRelease(t.Context(), f.product, m.Envelope(t, 4, plainImage("4.0")), ""); err != nil { // waits for its image
			t.Fatal(err)
		}
		f.device("thermo-1")
		for _, name := range []string{"one", "two"} {
			n := NewCampaign{Product: f.product, Firmware: r.ID, Name: name, Targets: Targets{All: true}}
			if _, err := f.CreateCampaign(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		listingtest.Run(t, db, &listedCampaigns, `k.product = ?`, f.product)
		listingtest.Run(t, db, &listedFirmwares, `product = ? AND state = 1`, f.product)
		listingtest.Run(t, db, &listedReleases, `f.product = ? AND f.signed = 1 AND f.state < 2`, f.product)

		campaigns, page, err := f.SearchCampaigns(t.Context(), f.product, listing.Query{Filter: "status:preparing OR status:running", Sort: "name", Count: true})
		if err != nil || len(campaigns) != 2 || campaigns[0].Name != "one" || page.Total != 2 {
			t.Errorf("campaigns: %v, %+v, %v", campaigns, page, err)
		}
		firmwares, _, err := f.SearchFirmwares(t.Context(), f.product, "", listing.Query{Filter: "signed:yes", Sort: "version"})
		if err != nil || len(firmwares) != 2 || firmwares[0].Version != "2.0" {
			t.Errorf("firmwares: %v, %v", firmwares, err)
		}
		releases, _, err := f.SearchReleases(t.Context(), f.product, listing.Query{Filter: "ready:no sequence>3"})
		if err != nil || len(releases) != 1 || releases[0].Ready {
			t.Errorf("releases: %v, %v", releases, err)
		}
	})
}
