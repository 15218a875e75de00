package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Message is what goes up or comes down.
type Message struct {
	Topic   string
	Payload []byte
	// QoS is 0 or 1.
	QoS byte
	// Duplicate is set on an incoming message that the hub may have sent before.
	Duplicate bool
}

// request is a message on its way.
type request struct {
	msg  Message
	tok  mqtt.Token
	done chan struct{}
	err  error // valid once done is closed
}

// Receipt follows one message that Send handed over.
type Receipt struct{ req *request }

// Done is closed when the message was acknowledged (QoS 0: written) or lost.
func (r Receipt) Done() <-chan struct{} { return r.req.done }

// Err is nil after an acknowledgement, ErrConnectionLost otherwise. It may be
// called only after Done is closed.
func (r Receipt) Err() error { return r.req.err }

// Wait waits for Done and returns Err, or ctx's error if that ends first.
func (r Receipt) Wait(ctx context.Context) error {
	select {
	case <-r.req.done:
		return r.req.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Send hands one message to the connection and returns once it is its turn; the
// Receipt tells the rest. Messages sent by one goroutine leave in that order.
// It returns ErrOffline when there is no connection, and blocks while the window
// is full. The payload must not change until the Receipt is done.
func (l *Link) Send(ctx context.Context, m Message) (Receipt, error) {
	if m.QoS > 1 {
		return Receipt{}, fmt.Errorf("link: QoS %d is not supported", m.QoS)
	}
	l.mu.Lock()
	c := l.cur
	l.mu.Unlock()
	if c == nil {
		return Receipt{}, ErrOffline
	}
	return c.send(ctx, m)
}

// Publish sends m and waits until the hub has acknowledged it (QoS 0: until it
// was written). It waits for a connection, and sends again after a lost one,
// until ctx ends: at QoS 1 the hub gets the message at least once.
func (l *Link) Publish(ctx context.Context, m Message) error {
	if m.QoS > 1 {
		return fmt.Errorf("link: QoS %d is not supported", m.QoS)
	}
	for {
		c, err := l.wait(ctx)
		if err != nil {
			return err
		}
		r, err := c.send(ctx, m)
		if err == nil {
			err = r.Wait(ctx)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !errors.Is(err, ErrConnectionLost) && !errors.Is(err, ErrOffline) {
			return err
		}
		// The link notices the loss a moment later; don't spin until it does.
		sleep(ctx, 10*time.Millisecond)
	}
}

func (c *conn) send(ctx context.Context, m Message) (Receipt, error) {
	req := &request{msg: m, done: make(chan struct{})}
	select {
	case c.out <- req:
		return Receipt{req}, nil
	case <-c.lost:
		return Receipt{}, ErrOffline
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	}
}

// write hands messages to paho one after the other. It is the only caller of
// client.Publish, which may block for writeTimeout when the connection dies at
// that moment.
func (c *conn) write() {
	defer close(c.inflight)
	for {
		select {
		case req := <-c.out:
			c.writeOne(req)
		case <-c.lost:
			return
		}
	}
}

func (c *conn) writeOne(req *request) {
	c.link.stats.inFlight.Add(1)
	if req.msg.QoS == 0 {
		req.tok = c.client.Publish(req.msg.Topic, 0, false, req.msg.Payload)
		c.settleOne(req)
		return
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.lost:
		c.finish(req, ErrConnectionLost)
		return
	}
	req.tok = c.client.Publish(req.msg.Topic, 1, false, req.msg.Payload)
	c.inflight <- req // never blocks: it is as large as slots
}

// settle ends the receipts in the order of sending, which is the order in which
// a server acknowledges.
func (c *conn) settle() {
	for req := range c.inflight {
		c.settleOne(req)
		<-c.slots
	}
}

func (c *conn) settleOne(req *request) {
	timer := time.NewTimer(c.link.cfg.AckTimeout)
	defer timer.Stop()
	select {
	case <-req.tok.Done():
		if err := req.tok.Error(); err != nil {
			c.finish(req, fmt.Errorf("%w: %w", ErrConnectionLost, err))
			return
		}
		c.finish(req, nil)
	case <-c.lost:
		c.finish(req, ErrConnectionLost)
	case <-timer.C:
		c.finish(req, ErrConnectionLost)
		c.end(ErrAckTimeout)
	}
}

func (c *conn) finish(req *request, err error) {
	c.link.stats.inFlight.Add(-1)
	if err == nil {
		c.link.stats.published.Add(1)
	}
	req.err = err
	close(req.done)
}
