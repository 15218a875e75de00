package ota

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// consentRecord is the name of the owner's last word.
const consentRecord = "consent"

// consent is the owner's word about one release.
type consent struct {
	// Release is the manifest's digest in hex, or the version of firmware without one.
	Release string `json:"release"`
	Agreed  bool   `json:"agreed"`
}

// ErrNothingToAgreeTo is returned when the owner speaks and no update asks.
var ErrNothingToAgreeTo = errors.New("ota: no update waits for consent")

// consent is update.Config.Consent.
func (o *OTA) consent(_ context.Context, r update.Release) error {
	if !o.cfg.Consent && !r.Consent {
		return nil
	}
	return Consented(o.store, r)
}

// Consented is the owner's word about a release: nil when they have agreed, an error with the class CONSENT while they are waited for, CANCELLED when they have refused.
func Consented(store update.Store, r update.Release) error {
	c, err := loadConsent(store)
	switch {
	case err != nil:
		return err
	case c.Release != releaseName(r):
		return failure.New(failure.Consent, "ota: the owner has not agreed; `hawser-agent ota consent` does")
	case !c.Agreed:
		return failure.New(failure.Cancelled, "ota: the owner has refused")
	}
	return nil
}

func releaseName(r update.Release) string {
	if r.Digest == (manifest.Digest{}) && len(r.Images) > 0 {
		return r.Images[0].Version
	}
	return hex.EncodeToString(r.Digest[:])
}

func loadConsent(store update.Store) (consent, error) {
	var c consent
	b, err := store.Load(consentRecord)
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fmt.Errorf("ota: record %s: %w", consentRecord, err)
	}
	return c, nil
}

// Consent writes the owner's word about the update that asks for it.
func Consent(store update.Store, agreed bool) error {
	s, err := ReadStatus(store)
	if err != nil {
		return err
	}
	if s.Update == nil || !s.Update.Waits() {
		return ErrNothingToAgreeTo
	}
	b, err := json.Marshal(consent{Release: s.Update.release(), Agreed: agreed})
	if err != nil {
		return err
	}
	return store.Save(consentRecord, b)
}
