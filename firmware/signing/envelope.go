package signing

import (
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// SignEnvelope adds a release signature to an envelope. A key that has signed already does not sign again.
func SignEnvelope(e *manifest.Envelope, k PrivateKey) error {
	s, err := SignManifest(e, k)
	if err != nil {
		return err
	}
	return AttachSignature(e, s)
}

// SignManifest is a release signature over an envelope's manifest, to be attached elsewhere.
func SignManifest(e *manifest.Envelope, k PrivateKey) ([]byte, error) {
	if _, err := e.Unverified(); err != nil {
		return nil, err // what nobody could read is not signed
	}
	return sign(k, e.Payload(), forManifest, false)
}

// AttachSignature adds a signature that was made elsewhere to an envelope. It is not verified.
func AttachSignature(e *manifest.Envelope, s []byte) (err error) {
	e.Signatures, err = attach(e.Signatures, s, manifest.MaxSignatures)
	return err
}

// Release is a manifest that enough release keys have signed.
type Release struct {
	*manifest.Manifest
	Digest   manifest.Digest
	Approval Approval
}

// VerifyEnvelope reads the manifest of an envelope that enough of the root's release keys have signed.
func (r *Root) VerifyEnvelope(b []byte) (*Release, error) {
	e, err := manifest.ParseEnvelope(b)
	if err != nil {
		return nil, err
	}
	a, err := r.approve(RoleRelease, e.Payload(), forManifest, e.Signatures)
	if err != nil {
		return nil, err
	}
	m, err := manifest.Parse(e.Manifest)
	if err != nil {
		return nil, err
	}
	return &Release{m, e.Digest(), a}, nil
}
