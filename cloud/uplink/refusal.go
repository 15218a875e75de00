package uplink

import (
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Refusal says that a message is at fault and will never be taken. The sender gets Code and Reason as RetCode and Message
// on the reply topic of the kind, unless the handler has staged an answer of its own. Reason must be fit for a device: no
// quotes and no brackets.
type Refusal struct {
	Code   message.Code
	Reason string
	// Five is what a client of MQTT 5.0 is told instead of packet.ImplementationSpecific; nil for nothing special.
	Five *server.Rejection
}

// Unwrap shows the door what to tell a client of MQTT 5.0.
func (r *Refusal) Unwrap() error {
	if r.Five == nil {
		return nil
	}
	return r.Five
}

func (r *Refusal) Error() string { return fmt.Sprintf("uplink: refused with %d: %s", r.Code, r.Reason) }

// Refuse makes a Refusal; an empty reason takes the code's own text.
func Refuse(code message.Code, reason string) *Refusal {
	if reason == "" {
		reason = code.Text()
	}
	return &Refusal{Code: code, Reason: reason}
}

// refusalOf finds the refusal in an error: a Refusal itself, or what codec says of a payload that cannot be read.
func refusalOf(err error) (*Refusal, bool) {
	var r *Refusal
	var syntax *codec.SyntaxError
	switch {
	case errors.As(err, &r):
		return r, true
	case errors.As(err, &syntax):
		return Refuse(message.CodeBad, "payload is neither JSON nor CBOR"), true
	case errors.Is(err, codec.ErrTooLarge), errors.Is(err, codec.ErrTooDeep), errors.Is(err, codec.ErrTooMany):
		return Refuse(message.CodeBad, "payload is too large or too deep"), true
	}
	return nil, false
}
