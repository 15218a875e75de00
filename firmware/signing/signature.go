package signing

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/veraison/go-cose"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
)

// What a signature is for is signed with it (COSE's external_aad), so that none can stand for another. A manifest's is
// empty, as the SUIT manifest wants it.
var (
	forRoot          = []byte("hawser root 1")
	forAssignment    = []byte("hawser assignment 1")
	forConfiguration = []byte("hawser agent configuration 1")
	forManifest      []byte
)

// sign makes a COSE_Sign1 over a payload, which it holds only if it is to be attached.
func sign(k PrivateKey, payload, purpose []byte, attached bool) ([]byte, error) {
	signer, err := cose.NewSigner(cose.AlgorithmEdDSA, k.key)
	if err != nil {
		return nil, err
	}
	id := k.Public().ID()
	m := cose.Sign1Message{
		Headers: cose.Headers{Protected: cose.ProtectedHeader{cose.HeaderLabelAlgorithm: cose.AlgorithmEdDSA, cose.HeaderLabelKeyID: id[:]}},
		Payload: payload,
	}
	if err := m.Sign(nil, purpose, signer); err != nil {
		return nil, fmt.Errorf("sign with %v: %w", id, err)
	}
	if !attached {
		m.Payload = nil
	}
	return m.MarshalCBOR()
}

// signature is a COSE_Sign1 that has the form of ours and is not verified.
type signature struct {
	message cose.Sign1Message
	id      KeyID
}

// ErrSignature is returned for a signature that is malformed or wrong.
var ErrSignature = errors.New("bad signature")

// parseSignature reads a COSE_Sign1 with exactly the headers of ours.
func parseSignature(b []byte) (*signature, error) {
	var s signature
	if err := s.message.UnmarshalCBOR(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	h := s.message.Headers
	id, ok := h.Protected[cose.HeaderLabelKeyID].([]byte)
	if !ok || len(id) != len(s.id) || len(h.Protected) != 2 || len(h.Unprotected) != 0 || len(s.message.Signature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("%w: want the protected headers alg and kid and no others", ErrSignature)
	}
	if again, err := s.message.MarshalCBOR(); err != nil || !bytes.Equal(again, b) {
		return nil, fmt.Errorf("%w: %w", ErrSignature, canon.ErrNotDeterministic)
	}
	s.id = KeyID(id)
	return &s, nil
}

// verify holds the signature against a key and what it must be over.
func (s *signature) verify(k PublicKey, payload, purpose []byte) error {
	verifier, err := cose.NewVerifier(cose.AlgorithmEdDSA, ed25519.PublicKey(k[:]))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	m := s.message
	m.Payload = payload
	if err := m.Verify(purpose, verifier); err != nil {
		return fmt.Errorf("%w of key %v: %w", ErrSignature, s.id, err)
	}
	return nil
}

// Approval tells who has signed something for a role.
type Approval struct {
	Role      string  `json:"role"`
	Threshold int     `json:"threshold"`
	Signers   []KeyID `json:"signers"`           // distinct keys of the role, each verified
	Unknown   []KeyID `json:"unknown,omitempty"` // keys that the role does not have, not verified
}

// Holds tells whether enough keys have signed.
func (a Approval) Holds() bool { return a.Threshold > 0 && len(a.Signers) >= a.Threshold }

// ErrThreshold is returned when fewer keys of a role have signed than must.
var ErrThreshold = errors.New("too few signatures")

// approve counts the distinct keys of a role that have signed payload. A signature of a key that the role does not have
// counts for nothing; one of a key that it has, and that is wrong, spoils the whole.
func (r *Root) approve(role string, payload, purpose []byte, signatures [][]byte) (Approval, error) {
	members := r.Roles[role]
	a := Approval{Role: role, Threshold: members.Threshold}
	for _, b := range signatures {
		s, err := parseSignature(b)
		if err != nil {
			return a, failure.New(failure.Signature, "%s: %w", role, err)
		}
		switch {
		case s.message.Payload != nil:
			return a, failure.New(failure.Signature, "%s: %w: it has a payload of its own", role, ErrSignature)
		case !slices.Contains(members.Keys, s.id):
			a.Unknown = append(a.Unknown, s.id)
			continue
		}
		if err := s.verify(r.Keys[s.id], payload, purpose); err != nil {
			return a, failure.New(failure.Signature, "%s: %w", role, err)
		}
		if !slices.Contains(a.Signers, s.id) {
			a.Signers = append(a.Signers, s.id)
		}
	}
	if !a.Holds() {
		return a, failure.New(failure.Signature, "%s: %w: %d of the %d keys that must sign (of root %d)", role, ErrThreshold, len(a.Signers), a.Threshold, r.Version)
	}
	return a, nil
}

// SignerOf is the key that a signature names. It is not verified.
func SignerOf(b []byte) (KeyID, error) {
	s, err := parseSignature(b)
	if err != nil {
		return KeyID{}, refuse("signature", err)
	}
	return s.id, nil
}
