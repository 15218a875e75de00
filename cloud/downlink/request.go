package downlink

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// ErrReplyTopic is returned by Request while another request to the device waits on the same topic.
var ErrReplyTopic = errors.New("downlink: another request waits for an answer on that topic")

// Request sends m, which is never queued, and returns the device's next message on its own topic replyTopic. A client of MQTT 5.0
// finds that topic and correlation data in the message; its answer may leave the data out, but must not have others. ctx must
// have a deadline; ErrNoAnswer is returned when it passes.
func (d *Downlink) Request(ctx context.Context, m Message, replyTopic string) ([]byte, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil, errors.New("downlink: a request needs a deadline")
	}
	correlation := rand.Text()
	key := callKey{m.Device, replyTopic}
	c := &call{answer: make(chan []byte, 1), until: deadline, correlation: correlation}
	if !d.calls.add(key, c, d.now()) {
		return nil, fmt.Errorf("%w: %s", ErrReplyTopic, replyTopic)
	}
	defer d.calls.remove(key, c)
	m.Queue, m.Expiry = false, deadline
	m.Properties = packet.AppendBytes(packet.AppendBytes(nil, packet.ResponseTopic, replyTopic), packet.CorrelationData, correlation)
	out, err := d.route(ctx, &m, &wireCall{ID: replyTopic, Node: d.cfg.Node, Until: deadline.UnixMilli(), Correlation: correlation})
	d.count(&m, out, err)
	if errors.Is(err, ErrRequestID) {
		err = fmt.Errorf("%w: %s", ErrReplyTopic, replyTopic) // another node's
	}
	return d.await(ctx, c, err)
}

// await waits for the answer of a call of this node, which was sent unless err says otherwise. When its time ended before the device's node has
// said what became of it, it may have been.
func (d *Downlink) await(ctx context.Context, c *call, err error) ([]byte, error) {
	if err != nil && (ctx.Err() == nil || !errors.Is(err, errNodeGone)) {
		return nil, err
	}
	select {
	case b := <-c.answer:
		return b, nil
	case <-ctx.Done():
		d.metrics.unanswered.Inc()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, ErrNoAnswer
		}
		return nil, ctx.Err()
	}
}

// Awaits tells whether any Request waits for a device of this node. It is cheap: it is asked for every message.
func (d *Downlink) Awaits() bool { return d.calls.topics.Load() > 0 }

// Awaited tells whether a Request waits for a message of the device on a topic, with that correlation data if it has some.
func (d *Downlink) Awaited(dev ident.Device, topicName string, correlation []byte) bool {
	return d.calls.awaited(callKey{dev, topicName}, correlation, d.now())
}

// Holder names the node that has the device's session, or had it last: requests to the device are open there. "" is none.
func (d *Downlink) Holder(ctx context.Context, device int64) (node string, err error) {
	err = d.Store.QueryRow(ctx, `SELECT node FROM session WHERE device = ?`, device).Scan(&node)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read session: %w", err)
	}
	return node, nil
}

// AnswerAt gives a message that a device sent otherwise than over its session to the Request that waits for it: by way of the
// holder, which knows of it wherever it was made. It does not block; payload is copied.
func (d *Downlink) AnswerAt(holder string, dev ident.Device, topicName string, payload []byte) {
	if holder != "" && holder != d.cfg.Node {
		d.answerNode(holder, dev, topicName, payload)
	} else if d.Awaited(dev, topicName, nil) {
		d.Answer(dev, topicName, payload)
	}
}

// isTopic tells the key of a Request from that of a Call, which is a number.
func (k callKey) isTopic() bool { return k.id != "" && k.id[0] == '/' }

func (cs *calls) awaited(key callKey, correlation []byte, now time.Time) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.all[key]
	return c != nil && c.until.After(now) && (len(correlation) == 0 || string(correlation) == c.correlation)
}

// sweep forgets requests of other nodes whose time is over.
func (cs *calls) sweep(now time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for key, c := range cs.all {
		if c.answer == nil && c.until.Before(now) {
			cs.deleteLocked(key)
		}
	}
}

func (cs *calls) deleteLocked(key callKey) {
	if cs.all[key] != nil && key.isTopic() {
		cs.topics.Add(-1)
	}
	delete(cs.all, key)
}
