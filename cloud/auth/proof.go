package auth

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// hmac is authmode 3: the secret has not crossed the wire.
func (s *Service) hmac(ctx context.Context, a Attempt) (*Grant, *Refusal) {
	stamp := a.Login.Options.Timestamp
	return s.device(ctx, a.Login, func(d *registry.Device) *Refusal {
		if r := wrong(credential.VerifyLogin(d.Secret, a.ClientID, stamp, string(a.Password))); r != nil {
			return r
		}
		// Only who has the secret gets here: what is noted of used nonces is bounded by their own logins.
		if nonce, ok := strings.CutPrefix(stamp, "n:"); ok {
			return s.nonce(ctx, d, nonce)
		}
		sec, err := strconv.ParseInt(stamp, 10, 64)
		if off := s.now().Sub(time.Unix(sec, 0)); err != nil || off > s.cfg.ClockSkew || off < -s.cfg.ClockSkew {
			return &Refusal{Code: packet.NotAuthorized, Reason: BadTime}
		}
		return nil
	})
}

func (s *Service) nonce(ctx context.Context, d *registry.Device, nonce string) *Refusal {
	if s.Nonces == nil {
		return &Refusal{Code: packet.NotAuthorized, Reason: ModeUnsupported}
	}
	err := s.Nonces.Take(ctx, d.Identity, d.ID, nonce)
	switch {
	case errors.Is(err, ErrNonce):
		return &Refusal{Code: packet.NotAuthorized, Reason: BadNonce}
	case err != nil:
		return unavailable(err)
	}
	return nil
}

// certificate is a login by client certificate. The chain is judged before the device is looked for, so that who has no
// certificate does not learn whether it exists.
func (s *Service) certificate(ctx context.Context, a Attempt) (*Grant, *Refusal) {
	switch {
	case s.Authorities == nil:
		return nil, &Refusal{Code: packet.NotAuthorized, Reason: ModeUnsupported}
	case len(a.Peer) == 0:
		return nil, &Refusal{Code: packet.BadCredentials, Reason: NoCertificate}
	case a.Peer[0].Subject.CommonName != a.ClientID:
		return nil, &Refusal{Code: packet.BadCredentials, Reason: OtherSubject}
	}
	proof, err := s.Authorities.Verify(ctx, a.Peer, a.Login.Device.Product)
	if err != nil {
		return nil, certificateRefusal(err)
	}
	g, refusal := s.device(ctx, a.Login, func(d *registry.Device) *Refusal {
		if proof.DeviceID != 0 && proof.DeviceID != d.ID { // it was deleted, and another got its name
			return &Refusal{Code: packet.BadCredentials, Reason: OtherSubject}
		}
		return nil
	})
	if refusal != nil {
		return nil, refusal
	}
	g.Proof = proof
	return g, nil
}

func certificateRefusal(err error) *Refusal {
	switch {
	case errors.Is(err, authority.ErrUnknown):
		return &Refusal{Code: packet.BadCredentials, Reason: BadCertificate}
	case errors.Is(err, authority.ErrExpired):
		return &Refusal{Code: packet.NotAuthorized, Reason: OldCertificate}
	case errors.Is(err, authority.ErrRevoked):
		return &Refusal{Code: packet.NotAuthorized, Reason: RevokedCert}
	}
	return unavailable(err)
}

// Holds tells whether the certificate that a login stood on is still good; a revocation between login and now found no session.
func (s *Service) Holds(ctx context.Context, p authority.Proof, product string) error {
	if s.Authorities == nil || p.Serial == "" {
		return nil
	}
	return s.Authorities.Holds(ctx, p, product)
}
