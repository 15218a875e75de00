// Package attest is a device's word about what it has booted, under its secret: how a hub learns that an update has come about.
//
// docs/formats/handshake.md draws it. The package promises that a report which opens was made by who has the secret, for that deployment;
// that it is fresh it does not: a device says it again until it is answered, and saying it twice changes nothing.
package attest

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// MaxSize bounds an attestation, in bytes.
const MaxSize = 512

// maxSlot bounds the name of a slot, in bytes.
const maxSlot = 64

// ErrMAC is returned for an attestation that was not made with the secret, or for another deployment.
var ErrMAC = failure.New(failure.Auth, "attestation: not made with the device's secret for this deployment")

// ErrInvalid is returned for bytes that are no attestation.
var ErrInvalid = errors.New("attestation: malformed")

// Report is what a device says of itself.
type Report struct {
	// Booted is the digest of the manifest whose images run.
	Booted    manifest.Digest
	Slot      string // as the device calls it
	Sequence  uint64
	TriesLeft uint64 // boots before the bootloader goes back
	// Confirmed tells that the device has found itself well and will stay with what it has.
	Confirmed bool
	Root      uint64 // version of the root document that the device trusts
}

type wireReport struct {
	Booted    []byte `cbor:"1,keyasint"`
	Slot      string `cbor:"2,keyasint"`
	Sequence  uint64 `cbor:"3,keyasint"`
	TriesLeft uint64 `cbor:"4,keyasint"`
	Confirmed bool   `cbor:"5,keyasint"`
	Root      uint64 `cbor:"6,keyasint"`
}

type wireAttestation struct {
	_      struct{} `cbor:",toarray"`
	Report []byte
	MAC    []byte
}

// Seal returns the attestation of a report for a deployment.
func (r Report) Seal(secret []byte, deployment int64) ([]byte, error) {
	if len(r.Slot) > maxSlot {
		return nil, fmt.Errorf("%w: slot of %d bytes, at most %d", ErrInvalid, len(r.Slot), maxSlot)
	}
	report, err := canon.Marshal(wireReport{r.Booted[:], r.Slot, r.Sequence, r.TriesLeft, r.Confirmed, r.Root})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return canon.Marshal(wireAttestation{Report: report, MAC: mac(secret, deployment, report)})
}

// Open reads an attestation that was made with the secret for the deployment. Its errors are ErrInvalid and ErrMAC.
func Open(b, secret []byte, deployment int64) (Report, error) {
	var w wireAttestation
	if err := canon.Unmarshal(b, MaxSize, &w); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !hmac.Equal(w.MAC, mac(secret, deployment, w.Report)) {
		return Report{}, ErrMAC
	}
	var r wireReport
	if err := canon.Unmarshal(w.Report, MaxSize, &r); err != nil {
		return Report{}, fmt.Errorf("%w: report: %w", ErrInvalid, err)
	}
	if len(r.Booted) != len(manifest.Digest{}) || len(r.Slot) > maxSlot {
		return Report{}, fmt.Errorf("%w: digest of %d bytes, slot of %d", ErrInvalid, len(r.Booted), len(r.Slot))
	}
	return Report{manifest.Digest(r.Booted), r.Slot, r.Sequence, r.TriesLeft, r.Confirmed, r.Root}, nil
}

// mac is over a name of its use, the deployment and the report, so that nothing else that is signed with the secret can be taken for it.
func mac(secret []byte, deployment int64, report []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("hawser attest 1\x00" + strconv.FormatInt(deployment, 10) + "\x00"))
	h.Write(report)
	return h.Sum(nil)
}
