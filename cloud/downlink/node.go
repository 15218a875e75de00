package downlink

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Between nodes a message goes as a request on hawser.node.<name>.down.<lane>, an answer to a call as a note on
// hawser.node.<name>.answer. Both are CBOR. Nothing rests on them: what may wait is in the store before it is confirmed,
// and what may not wait fails at its caller. The lane follows from the device: a subscription of the bus has one goroutine, so
// that messages to one device stay in order while others do not wait for them.
func downSubject(node string, lane int) string {
	return "hawser.node." + node + ".down." + strconv.Itoa(lane)
}

// nodeLanes is how many messages from other nodes are delivered at once. All nodes of a cluster have the same.
const nodeLanes = 32

func laneOf(dev ident.Device) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dev.SN)) // never fails
	return int(h.Sum32() % nodeLanes)
}

func answerSubject(node string) string { return "hawser.node." + node + ".answer" }
func rowSubject(node string) string    { return "hawser.node." + node + ".row" }

// nodeTimeout bounds the wait for another node. One that is gone is known at once, from the bus; one that hangs does not answer at all.
const nodeTimeout = 10 * time.Second

var errNodeGone = errors.New("downlink: the device's node does not answer")

type wireMessage struct {
	Product string    `json:"p"`
	SN      string    `json:"d"`
	Topic   string    `json:"t"`
	Payload []byte    `json:"b"`
	QoS     int       `json:"q"`
	Retain  bool      `json:"r,omitempty"`
	Queue   bool      `json:"k,omitempty"`
	Expiry  int64     `json:"x,omitempty"` // Unix ms
	Call    *wireCall `json:"c,omitempty"`
	Props   []byte    `json:"o,omitempty"` // of MQTT 5.0
	ID      int64     `json:"m,omitempty"` // that it is logged under
	Until   int64     `json:"u,omitempty"` // Unix ms: with Queue, the sender has made a row of it after that
}

type wireCall struct {
	ID    string `json:"i"`
	Node  string `json:"n"`
	Until int64  `json:"u"` // Unix ms

	Correlation string `json:"a,omitempty"`
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

// wireRow is the note that a queued message is committed, on hawser.node.<name>.row.
type wireRow struct {
	Product string `json:"p"`
	SN      string `json:"d"`
	Device  int64  `json:"i"`
	Seq     int64  `json:"s"`
}

// wireErrors are the errors that the other node's caller branches on.
var wireErrors = map[string]error{
	"offline": ErrOffline, "not_subscribed": ErrNotSubscribed, "too_large": ErrTooLargeForDevice, "full": ErrFull, "request_id": ErrRequestID,
}

// forward asks the node that holds the session to deliver m.
func (d *Downlink) forward(ctx context.Context, node string, m *Message, c *wireCall) (Outcome, error) {
	w := wireMessage{Product: m.Device.Product, SN: m.Device.SN, Topic: m.Topic, Payload: m.Payload, QoS: int(m.QoS), Retain: m.Retain, Queue: m.Queue, Call: c,
		Props: m.Properties, ID: int64(message.IDOf(ctx))}
	if !m.Expiry.IsZero() {
		w.Expiry = m.Expiry.UnixMilli()
	}
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	if until, ok := ctx.Deadline(); ok && m.Queue {
		w.Until = until.UnixMilli()
	}
	b, err := codec.Marshal(codec.CBOR, w)
	if err != nil {
		return 0, fmt.Errorf("encode message for node %s: %w", node, err)
	}
	reply, err := d.Bus.Request(ctx, downSubject(node, laneOf(m.Device)), b)
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
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	listen := func(subject string, f func(string, []byte) []byte) {
		if err != nil {
			return
		}
		var end func()
		if end, err = d.Bus.Subscribe(subject, f); err == nil {
			stops = append(stops, end)
		}
	}
	for lane := range nodeLanes {
		listen(downSubject(d.cfg.Node, lane), func(_ string, b []byte) []byte { return d.fromNode(b) })
	}
	listen(answerSubject(d.cfg.Node), func(_ string, b []byte) []byte { d.answerFrom(b); return nil })
	listen(rowSubject(d.cfg.Node), func(_ string, b []byte) []byte { d.rowFrom(b); return nil })
	if err != nil {
		stop()
		return nil, fmt.Errorf("listen to other nodes: %w", err)
	}
	return stop, nil
}

// answerFrom takes the answer to a call of this node from the node that holds the device.
func (d *Downlink) answerFrom(b []byte) {
	var a wireAnswer
	if err := codec.Unmarshal(b, &a); err != nil {
		d.Log.Warn("answer from another node not read", "err", err)
		return
	}
	d.Answer(ident.Device{Product: a.Product, SN: a.SN}, a.ID, a.Payload)
}

// note tells another node of a row.
func (d *Downlink) note(node string, r wireRow) error {
	b, err := codec.Marshal(codec.CBOR, r)
	if err != nil {
		return err
	}
	return d.Bus.Publish(rowSubject(node), b)
}

// rowFrom takes another node's note of a row.
func (d *Downlink) rowFrom(b []byte) {
	var r wireRow
	err := codec.Unmarshal(b, &r)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), nodeTimeout)
		defer cancel()
		err = d.offerRow(ctx, ident.Device{Product: r.Product, SN: r.SN}, r.Device, r.Seq)
	}
	if err != nil {
		d.Log.Warn("note of a queued message not followed", "err", err)
	}
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
	if w.Until != 0 && d.now().UnixMilli() >= w.Until { // this node hung: the message would come twice
		return 0, ErrOffline
	}
	ctx, cancel := context.WithTimeout(context.Background(), nodeTimeout)
	defer cancel()
	ctx = message.WithID(ctx, message.ID(w.ID))
	m := Message{Device: ident.Device{Product: w.Product, SN: w.SN}, Topic: w.Topic, Payload: w.Payload, QoS: byte(w.QoS), Retain: w.Retain, Queue: w.Queue, Properties: w.Props}
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
	key, c := callKey{m.Device, w.Call.ID}, &call{node: w.Call.Node, until: time.UnixMilli(w.Call.Until), correlation: w.Call.Correlation}
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
