package downlink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// maxRequestID is the longest RequestID: a stock device builds command_reply/<id> in a buffer of 128 bytes.
const maxRequestID = 15

// ErrRequestID is returned by Call for a request id that is empty, too long, or in use with the same device.
var ErrRequestID = errors.New("downlink: request id is not usable")

type callKey struct {
	dev ident.Device
	id  string
}

// call is one request that waits for its answer: here, or on the node that made it.
type call struct {
	answer chan []byte // of one element; nil when node waits
	node   string
	until  time.Time

	correlation string // of a Request, whose key is the topic of its answer
}

// calls are the open requests.
type calls struct {
	topics atomic.Int64 // how many of them are Requests
	mu     sync.Mutex   // guards all
	all    map[callKey]*call
}

// Call sends a request, which is never queued, and waits for the answer that Answer brings. ctx must have a deadline: it
// is when the message loses its use. ErrNoAnswer is returned when it passes.
func (d *Downlink) Call(ctx context.Context, dev ident.Device, topicName string, payload []byte, requestID string) ([]byte, error) {
	if requestID == "" || len(requestID) > maxRequestID {
		return nil, fmt.Errorf("%w: %q has %d bytes, 1 to %d are allowed", ErrRequestID, requestID, len(requestID), maxRequestID)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil, errors.New("downlink: a call needs a deadline")
	}
	key := callKey{dev, requestID}
	c := &call{answer: make(chan []byte, 1), until: deadline}
	if !d.calls.add(key, c, d.now()) {
		return nil, fmt.Errorf("%w: %s is being answered already", ErrRequestID, requestID)
	}
	defer d.calls.remove(key, c)
	m := Message{Device: dev, Topic: topicName, Payload: payload, QoS: 1, Expiry: deadline}
	out, err := d.route(ctx, &m, &wireCall{ID: requestID, Node: d.cfg.Node, Until: deadline.UnixMilli()})
	d.count(&m, out, err)
	return d.await(ctx, c, err)
}

// Answer gives a device's answer to the Call that waits for it, on whichever node that is; it reports whether one does.
// payload is copied.
func (d *Downlink) Answer(dev ident.Device, requestID string, payload []byte) bool {
	c := d.calls.take(callKey{dev, requestID})
	switch {
	case c == nil:
		return false
	case c.answer == nil:
		d.answerNode(c.node, dev, requestID, payload)
	default:
		c.answer <- append([]byte{}, payload...)
	}
	return true
}

// add opens a call. Requests of other nodes whose time is over are dropped on the way when there are many.
func (cs *calls) add(key callKey, c *call, now time.Time) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if old := cs.all[key]; old != nil && old.until.After(now) {
		return false
	}
	if len(cs.all) >= 1024 {
		for k, old := range cs.all {
			if old.answer == nil && old.until.Before(now) {
				cs.deleteLocked(k)
			}
		}
	}
	cs.deleteLocked(key)
	if cs.all[key] = c; key.isTopic() {
		cs.topics.Add(1)
	}
	return true
}

// take closes a call for its answer: only the first answer counts.
func (cs *calls) take(key callKey) *call {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.all[key]
	cs.deleteLocked(key)
	return c
}

func (cs *calls) remove(key callKey, c *call) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.all[key] == c {
		cs.deleteLocked(key)
	}
}
