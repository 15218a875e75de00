package kafkasink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// refused are answers that a message will always get.
var refused = []*kerr.Error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.InvalidTopicException,
	kerr.UnsupportedForMessageFormat, kerr.PolicyViolation}

// misplaced are answers that are about the topic. They are everybody's trouble when all messages go to that topic, and one
// message's own when its topic is made of its fields.
var misplaced = []*kerr.Error{kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.TopicAuthorizationFailed}

// unclear are answers that may be the message's fault or the broker's.
var unclear = []*kerr.Error{kerr.UnknownServerError, kerr.CorruptMessage}

// trouble classifies errors, and knows why the client could not connect last: what it hands out says often no more than
// that the time was up.
type trouble struct {
	login bool // the connector has a password
	last  atomic.Pointer[error]
}

// errHungUp explains an end of file, which is how some brokers refuse a login.
var errHungUp = errors.New("the broker hung up before the hub was logged in: are user, password and sasl right, and is it TLS that it speaks")

var _ kgo.HookBrokerConnect = (*trouble)(nil)

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (t *trouble) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	switch {
	case err == nil:
		t.last.Store(nil)
	case !errors.Is(err, context.Canceled):
		t.last.Store(&err)
	}
}

// judge says what a failure means for the records, in the words of rules.Sink. shared: all messages have one topic.
func (t *trouble) judge(err error, shared bool) error {
	switch {
	case errors.Is(err, rules.ErrPermanent), errors.Is(err, rules.ErrUnavailable):
		return err // the way out refused the address
	case t.login && errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w (%w)", rules.ErrUnavailable, errHungUp, err)
	case among(err, refused):
		return fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	case among(err, misplaced) && !shared, among(err, unclear):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrRecordRetries):
		if last := t.last.Load(); last != nil && !errors.Is(err, *last) {
			return fmt.Errorf("%w; before: %w", t.judge(*last, true), err)
		}
	}
	return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
}

// among tells whether err is one of list.
func among(err error, list []*kerr.Error) bool {
	for _, k := range list {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}
