package update

import (
	"fmt"
	"testing"

	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/protocol/message"
)

// TestOffersThatWaitAreBounded: a hub that offers firmware for ever more modules while an update goes on does not fill the device; the newest for a module counts.
func TestOffersThatWaitAreBounded(t *testing.T) {
	u := &Updater{later: map[string]mail{}, plan: &plan{Deployment: "1"}}
	for i := range 1000 {
		for _, l := range []mail{
			{method: message.OTAOfferFirmware, offer: message.OTAOffer{Deployment: "2", Module: fmt.Sprint("m", i)}},
			{method: message.OTAUpdateFirmware, stock: message.OTAStockOffer{Module: fmt.Sprint("s", i)}},
		} {
			if err := u.keep(l); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := u.keep(mail{method: message.OTAOfferFirmware, offer: message.OTAOffer{Deployment: "3", Module: "m0"}}); err != nil {
		t.Fatal(err)
	}
	if len(u.later) != manifest.MaxComponents || u.later["m0"].offer.Deployment != "3" {
		t.Errorf("%d offers wait, that for m0 is of %s", len(u.later), u.later["m0"].offer.Deployment)
	}
}
