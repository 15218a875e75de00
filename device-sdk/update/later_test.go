package update

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
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

// TestOffersAreBounded: of a hub that sends more text than a record holds nothing is kept, and what is kept can be read again.
func TestOffersAreBounded(t *testing.T) {
	long := strings.Repeat("x", 30<<10)
	u := &Updater{log: slog.New(slog.DiscardHandler)}
	for _, l := range []mail{
		{method: message.OTAOfferFirmware, offer: message.OTAOffer{Deployment: long}},
		{method: message.OTAOfferFirmware, offer: message.OTAOffer{Deployment: "1", Module: long}},
		{method: message.OTAOfferFirmware, offer: message.OTAOffer{Deployment: "1", Version: long}},
		{method: message.OTAOfferFirmware, offer: message.OTAOffer{Deployment: "1", ManifestURL: long}},
		{method: message.OTAOfferFirmware, offer: message.OTAOffer{Deployment: "1", Digest: []byte(long)}},
		{method: message.OTAUpdateFirmware, stock: message.OTAStockOffer{Version: "2", URL: long}},
		{method: message.OTAUpdateFirmware, stock: message.OTAStockOffer{Version: "2", MD5: long}},
	} {
		if begun, err := u.consider(l); begun || err != nil {
			t.Errorf("%s: begun %v, %v", l.method, begun, err)
		}
	}
	text, url := strings.Repeat("x", maxText), strings.Repeat("x", maxURL)
	p := &plan{Phase: settled, Deployment: text, Module: text, Version: text, Digest: []byte(text), ManifestURL: url, From: text, State: text, Class: text,
		Envelope: make([]byte, manifest.MaxSize+1), Assignment: make([]byte, signing.MaxAssignment), Stock: &stock{URL: url, MD5: text}}
	b, err := p.encode()
	if err == nil {
		_, err = parsePlan(b)
	}
	if err != nil || !p.bounded() {
		t.Errorf("the longest plan: %v, bounded %v", err, p.bounded())
	}
}
