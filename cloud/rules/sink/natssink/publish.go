package natssink

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// outgoing is the message of a record and whose it is.
type outgoing struct {
	message *nats.Msg
	device  ident.Device
}

// publish sends messages. shared: all have one subject.
func (c *Connection) publish(ctx context.Context, messages []outgoing, stored, shared bool) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	l, err := c.link(ctx)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if n := int64(m.message.Size()); n > l.nc.MaxPayload() {
			return fmt.Errorf("%w: a message of %d bytes is larger than the server takes, %d", rules.ErrPermanent, n, l.nc.MaxPayload())
		}
	}
	before := l.nc.LastError()
	if stored {
		err = l.store(ctx, messages)
	} else {
		err = l.flush(ctx, messages)
	}
	// A refusal comes by itself, before the answer to a flush and in the place of an acknowledgement.
	if after := l.nc.LastError(); after != before && errors.Is(after, nats.ErrPermissionViolation) { //nolint:errorlint // is it another one than before
		err = after
	}
	return judge(err, shared)
}

// flush publishes and waits until the server has read all of it: that is all that NATS promises of itself.
func (l *link) flush(ctx context.Context, messages []outgoing) error {
	for _, m := range messages {
		if err := l.nc.PublishMsg(m.message); err != nil {
			return err
		}
	}
	return l.nc.FlushWithContext(ctx)
}

// store publishes and waits for the stream's acknowledgements. A device's message goes out when the one before it is stored, so
// that none can get before one that the stream has refused or lost; those of different devices go together.
func (l *link) store(ctx context.Context, messages []outgoing) error {
	for len(messages) > 0 {
		var later []outgoing
		var acks []jetstream.PubAckFuture
		seen := make(map[ident.Device]bool, len(messages))
		for _, m := range messages {
			if seen[m.device] {
				later = append(later, m)
				continue
			}
			seen[m.device] = true
			ack, err := l.js.PublishMsgAsync(m.message, jetstream.WithRetryAttempts(0))
			if err != nil {
				return err
			}
			acks = append(acks, ack)
		}
		if err := l.await(ctx, acks); err != nil {
			return err
		}
		messages = later
	}
	return nil
}

// await waits for all, and returns the failure that lets the batch wait longest.
func (l *link) await(ctx context.Context, acks []jetstream.PubAckFuture) error {
	var failed error
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			if failed == nil || class(err) > class(failed) {
				failed = err
			}
		case <-l.gone:
			return nats.ErrConnectionClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return failed
}

// What a failure means; the later, the longer it is waited for.
type meaning int

const (
	unclear meaning = iota
	permanent
	misplaced // it is about the subject
	unavailable
)

// refused are codes of JetStream that a message will always get.
var refused = map[jetstream.ErrorCode]bool{
	10054: true, // message size exceeds maximum allowed
	10097: true, // header size exceeds maximum allowed
	10052: true, // invalid subject
}

// class is what an error means.
func class(err error) meaning {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch {
		case refused[e.ErrorCode]:
			return permanent
		case e.Code >= 500: // it is full, it has no leader, it has no quorum
			return unavailable
		}
		return unclear
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject):
		return permanent
	case errors.Is(err, nats.ErrPermissionViolation), errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return misplaced
	}
	return unavailable
}

// errNoStream says more than the client does.
var errNoStream = errors.New("no stream of JetStream takes this subject (or JetStream is not on)")

// judge says what a failure means for the messages, in the words of rules.Sink.
func judge(err error, shared bool) error {
	if err == nil || errors.Is(err, rules.ErrPermanent) || errors.Is(err, rules.ErrUnavailable) {
		return err
	}
	m := class(err)
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		err = fmt.Errorf("%w: %w", errNoStream, err)
	}
	switch {
	case m == permanent:
		return fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	case m == unavailable, m == misplaced && shared:
		return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
	}
	return err
}
