package downlink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Between nodes a message goes as a request on hawser.node.<name>.down, an answer to a call as a note on
// hawser.node.<name>.answer. Both are CBOR. Nothing rests on them: what may wait is in the store before it is confirmed,
// and what may not wait fails at its caller.
func downSubject(node string) string   { return "hawser.node." + node + ".down" }
func answerSubject(node string) string { return "hawser.node." + node + ".answer" }

// nodeTimeout bounds the wait for another node; a dead one does not answer at all.
const nodeTimeout = 3 * time.Second

var errNodeGone = errors.New("downlink: the device's node does not answer")

type wireMessage struct {
	Product string    `json:"p"`
	SN      string    `json:"d"`
	Topic   string    `json:"t"`
	Payload []byte    `json:"b"`
	QoS     int       `json:"q"`
	Queue   bool      `json:"k,omitempty"`
	Expiry  int64     `json:"x,omitempty"` // Unix ms
	Call    *wireCall `json:"c,omitempty"`
}

type wireCall struct {
	ID    string `json:"i"`
	Node  string `json:"n"`
	Until int64  `json:"u"` // Unix ms
}

type wireOutcome struct {
	Outcome int    `json:"o"`
	Error   string `json:"e,omitempty"` // a name of wireErrors, or a text
}

type wireAnswer struct {
	Product string `json:"p"`
	SN      string `json:"d"`
	ID      string `json:"i"`
	Payload []byte `json:"b"`
}

// wireErrors are the errors that the other node's caller branches on.
var wireErrors = map[string]error{
	"offline": ErrOffline, "not_subscribed": ErrNotSubscribed, "too_large": ErrTooLargeForDevice, "full": ErrFull,
}

// forward asks the node that holds the session to deliver m.
func (d *Downlink) forward(ctx context.Context, node string, m *Message, c *wireCall) (Outcome, error) {
	w := wireMessage{Product: m.Device.Product, SN: m.Device.SN, Topic: m.Topic, Payload: m.Payload, QoS: int(m.QoS), Queue: m.Queue, Call: c}
	if !m.Expiry.IsZero() {
		w.Expiry = m.Expiry.UnixMilli()
	}
	b, err := codec.Marshal(codec.CBOR, w)
	if err != nil {
		return 0, fmt.Errorf("encode message for node %s: %w", node, err)
	}
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	reply, err := d.Bus.Request(ctx, downSubject(node), b)
	if err != nil {
		return 0, fmt.Errorf("%w: node %s: %w", errNodeGone, node, err)
	}
	var r wireOutcome
	if err := codec.Unmarshal(reply, &r); err != nil {
		return 0, fmt.Errorf("answer of node %s: %w", node, err)
	}
	if r.Error == "" {
		return Outcome(r.Outcome), nil
	}
	if known := wireErrors[r.Error]; known != nil {
		return 0, known
	}
	return 0, fmt.Errorf("node %s: %s", node, r.Error)
}

// serve takes messages and answers from other nodes.
func (d *Downlink) serve() (stop func(), err error) {
	down, err := d.Bus.Subscribe(downSubject(d.cfg.Node), func(_ string, b []byte) []byte { return d.fromNode(b) })
	if err != nil {
		return nil, fmt.Errorf("listen to other nodes: %w", err)
	}
	answers, err := d.Bus.Subscribe(answerSubject(d.cfg.Node), func(_ string, b []byte) []byte {
		var a wireAnswer
		if err := codec.Unmarshal(b, &a); err != nil {
			d.Log.Warn("answer from another node not read", "err", err)
			return nil
		}
		d.Answer(ident.Device{Product: a.Product, SN: a.SN}, a.ID, a.Payload)
		return nil
	})
	if err != nil {
		down()
		return nil, fmt.Errorf("listen to other nodes: %w", err)
	}
	return func() { down(); answers() }, nil
}

// fromNode delivers what another node sent for a device that is connected here.
func (d *Downlink) fromNode(b []byte) []byte {
	var w wireMessage
	var r wireOutcome
	err := codec.Unmarshal(b, &w)
	if err == nil {
		var out Outcome
		out, err = d.deliverFrom(&w)
		r.Outcome = int(out)
	}
	if err != nil {
		r.Error = err.Error()
		for name, known := range wireErrors {
			if errors.Is(err, known) {
				r.Error = name
			}
		}
	}
	reply, err := codec.Marshal(codec.CBOR, r)
	if err != nil {
		d.Log.Error("answer to another node not encoded", "err", err)
	}
	return reply
}

func (d *Downlink) deliverFrom(w *wireMessage) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nodeTimeout)
	defer cancel()
	m := Message{Device: ident.Device{Product: w.Product, SN: w.SN}, Topic: w.Topic, Payload: w.Payload, QoS: byte(w.QoS), Queue: w.Queue}
	if w.Expiry != 0 {
		m.Expiry = time.UnixMilli(w.Expiry)
	}
	t, ok := d.Directory.Find(m.Device)
	if !ok {
		return 0, ErrOffline
	}
	if w.Call == nil {
		return d.deliver(ctx, t, &m)
	}
	key, c := callKey{m.Device, w.Call.ID}, &call{node: w.Call.Node, until: time.UnixMilli(w.Call.Until)}
	if !d.calls.add(key, c, d.now()) {
		return 0, ErrRequestID
	}
	out, err := d.deliver(ctx, t, &m)
	if err != nil {
		d.calls.remove(key, c)
	}
	return out, err
}

// answerNode carries an answer to the node whose caller waits.
func (d *Downlink) answerNode(node string, dev ident.Device, requestID string, payload []byte) {
	b, err := codec.Marshal(codec.CBOR, wireAnswer{Product: dev.Product, SN: dev.SN, ID: requestID, Payload: payload})
	if err == nil {
		err = d.Bus.Publish(answerSubject(node), b)
	}
	if err != nil {
		d.Log.Warn("answer not carried to its node", "device", dev, "node", node, "err", err)
	}
}
