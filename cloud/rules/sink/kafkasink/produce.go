package kafkasink

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// recordOverhead is more than a message alone in a batch has besides its own bytes, and headerOverhead than a header has.
const recordOverhead, headerOverhead = 128, 12

// produce sends messages and waits until all that are in sync have them. It sends nothing when one of them is too large: to
// send the others would put those that follow it on their way twice, with their predecessors behind them.
func (c *Connection) produce(ctx context.Context, p profile, messages []*kgo.Record, shared bool) error {
	for _, m := range messages {
		if n := size(m); n > c.cfg.MaxMessageBytes {
			return fmt.Errorf("%w: a message of %d bytes is larger than the connector's maxMessageBytes, %d", rules.ErrPermanent, n, c.cfg.MaxMessageBytes)
		}
	}
	cl, err := c.client(p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var worst error
	for _, res := range cl.ProduceSync(ctx, messages...) {
		if res.Err == nil {
			continue
		}
		if among(res.Err, misplaced) && !shared {
			cl.PurgeTopicsFromProducing(res.Record.Topic) // or the client asks for it as long as it lives
		}
		worst = worse(worst, c.trouble.judge(fmt.Errorf("topic %s: %w", res.Record.Topic, res.Err), shared))
	}
	return worst
}

// worse keeps, of what befell messages of a batch, what lets the batch wait longest: in an outage nothing becomes a dead letter.
func worse(a, b error) error {
	rank := func(err error) int {
		switch {
		case err == nil:
			return 0
		case errors.Is(err, rules.ErrUnavailable):
			return 3
		case errors.Is(err, rules.ErrPermanent):
			return 2
		}
		return 1
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// size bounds what m takes in a batch of its own, uncompressed.
func size(m *kgo.Record) int {
	n := recordOverhead + len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += headerOverhead + len(h.Key) + len(h.Value)
	}
	return n
}
