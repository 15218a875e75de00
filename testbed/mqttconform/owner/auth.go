package owner

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Method is the enhanced authentication that the broker knows. The client names a user, the broker sends a challenge, the client proves
// that it knows the password (Proof of "client"), and the broker that it does ("server"): it goes out with the end of the exchange.
const Method = "HMAC-CHALLENGE"

var _ server.Authenticator = (*Broker)(nil)

// Proof is what a side answers to a challenge.
func Proof(password, side string, challenge []byte) []byte {
	h := hmac.New(sha256.New, []byte(password))
	h.Write([]byte(side))
	h.Write(challenge)
	return h.Sum(nil)
}

func refused(code packet.Code, reason string) error {
	return &server.Refusal{Code: packet.NotAuthorized, Code5: code, Reason: reason}
}

// Authenticate implements server.Authenticator.
func (b *Broker) Authenticate(_ context.Context, x *server.Exchange, data []byte) (reply []byte, more bool, err error) {
	if x.Method != Method {
		return nil, false, refused(packet.BadAuthMethod, "unknown method")
	}
	if challenge, ok := x.State.([]byte); ok {
		if !hmac.Equal(data, Proof(b.password, "client", challenge)) {
			return nil, false, refused(packet.Unauthorized, "wrong proof")
		}
		return Proof(b.password, "server", challenge), false, nil
	}
	if string(data) != b.user {
		return nil, false, refused(packet.Unauthorized, "unknown user")
	}
	challenge := make([]byte, 16)
	if _, err := rand.Read(challenge); err != nil {
		return nil, false, errors.Join(errors.New("no challenge"), err)
	}
	x.State = challenge
	return challenge, true, nil
}
