package link

import (
	"errors"
	"fmt"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// What the hub answers to a login (MQTT 3.1.1, section 3.2.2.3).
var (
	// ErrProtocolVersion: the server does not speak MQTT 3.1.1; check the address.
	ErrProtocolVersion = errors.New("link: the server does not accept MQTT 3.1.1")
	// ErrIdentifierRejected: no such identity is possible, or the keep-alive is
	// outside the hub's range.
	ErrIdentifierRejected = errors.New("link: the hub rejected the client identifier or the keep-alive")
	// ErrServerUnavailable: the hub is up but can't take logins now; try later.
	ErrServerUnavailable = errors.New("link: the hub is not available now")
	// ErrBadCredentials: unknown device or wrong secret.
	ErrBadCredentials = errors.New("link: wrong product, device or secret")
	// ErrNotAuthorized: the device is disabled, deleted, or may not log in this way.
	ErrNotAuthorized = errors.New("link: the device may not log in (disabled, or this way of login is switched off)")
)

// What can happen to a link afterwards.
var (
	// ErrOffline is returned by Send when there is no connection.
	ErrOffline = errors.New("link: not connected")
	// ErrConnectionLost ends the Receipt of a message whose acknowledgement did
	// not come: the hub may have it or not. Send it again.
	ErrConnectionLost = errors.New("link: connection lost before the acknowledgement")
	// ErrAckTimeout is why a connection was given up: no acknowledgement in time.
	ErrAckTimeout = errors.New("link: no acknowledgement in time")
	// ErrOverrun is why a connection was given up: handlers were too slow.
	ErrOverrun = errors.New("link: incoming queue full")
	// ErrStopped is returned after Run has ended.
	ErrStopped = errors.New("link: stopped")
)

// SubscribeError reports a filter that the hub refused (SUBACK 0x80): the device
// may not read it, or it is not well formed.
type SubscribeError struct{ Filter string }

func (e *SubscribeError) Error() string {
	return fmt.Sprintf("link: the hub refused the subscription to %s", e.Filter)
}

// refusal maps a CONNACK code to its error; nil when the code is not a refusal
// by the hub but a fault of the network.
func refusal(code byte) error {
	switch code {
	case packets.ErrRefusedBadProtocolVersion:
		return ErrProtocolVersion
	case packets.ErrRefusedIDRejected:
		return ErrIdentifierRejected
	case packets.ErrRefusedServerUnavailable:
		return ErrServerUnavailable
	case packets.ErrRefusedBadUsernameOrPassword:
		return ErrBadCredentials
	case packets.ErrRefusedNotAuthorised:
		return ErrNotAuthorized
	}
	return nil
}

// Refused reports whether err says that the login itself is wrong, so that
// trying again without a change is unlikely to help.
func Refused(err error) bool {
	return errors.Is(err, ErrBadCredentials) || errors.Is(err, ErrNotAuthorized) ||
		errors.Is(err, ErrIdentifierRejected) || errors.Is(err, ErrProtocolVersion)
}
