package uplink

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// readAhead is how many records are taken from the buffer at a time.
const readAhead = 64

// topoBatch is how many sub-devices go into one topo/add.
const topoBatch = 20

// carrier works one connection: one goroutine sends, another settles what the
// hub acknowledged. Its maps belong to the sending goroutine.
type carrier struct {
	u     *Uplink
	in    map[ident.Device]*admission
	acks  chan sent
	after uint64 // the last record that was looked at
	held  bool   // records were passed over
}

// admission is what the hub said to a sub-device's login on this connection.
type admission struct {
	ok    bool
	again time.Time       // when a refused one is tried again
	asked map[string]bool // filters
}

// sent is a message on its way; with flushed set it is a mark.
type sent struct {
	seq     uint64
	receipt link.Receipt
	flushed chan struct{}
}

func newCarrier(u *Uplink) *carrier {
	return &carrier{u: u, in: make(map[ident.Device]*admission), acks: make(chan sent, 2*readAhead)}
}

// run carries records until ctx ends with the connection.
func (c *carrier) run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(c.settle)
	defer wg.Wait()
	defer close(c.acks)
	c.addAll(ctx)
	for ctx.Err() == nil {
		changed := c.u.buf.Changed()
		c.follow(ctx)
		recs, err := c.u.buf.Read(c.after, readAhead)
		if err != nil {
			return err
		}
		if len(recs) == 0 {
			c.pause(ctx, changed)
			continue
		}
		for _, r := range recs {
			if !c.carry(ctx, r) {
				<-ctx.Done()
				return nil
			}
			c.after = r.Seq
		}
	}
	return nil
}

// settle removes what the hub has acknowledged. What is lost with the connection
// stays in the buffer for the next one.
func (c *carrier) settle() {
	for s := range c.acks {
		if s.flushed != nil {
			close(s.flushed)
			continue
		}
		<-s.receipt.Done()
		if s.receipt.Err() == nil {
			c.u.buf.Remove(s.seq)
		}
	}
}

// pause waits for more to do.
func (c *carrier) pause(ctx context.Context, changed <-chan struct{}) {
	var retry <-chan time.Time
	if at, ok := c.nextRetry(); ok {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		retry = t.C
	}
	select {
	case <-changed:
	case <-c.u.poke:
	case <-retry:
		c.rewind()
	case <-ctx.Done():
	}
}

// nextRetry is when the first refused sub-device may be tried again, if records
// of one wait or one is attached.
func (c *carrier) nextRetry() (at time.Time, ok bool) {
	for _, a := range c.in {
		if !a.ok && (!ok || a.again.Before(at)) {
			at, ok = a.again, true
		}
	}
	return at, ok
}

// rewind forgets refusals that are old enough and looks at passed-over records
// again, when nothing is in flight that would then be sent twice.
func (c *carrier) rewind() {
	for d, a := range c.in {
		if !a.ok && !time.Now().Before(a.again) {
			delete(c.in, d)
		}
	}
	if !c.held {
		return
	}
	mark := make(chan struct{})
	c.acks <- sent{flushed: mark}
	<-mark
	c.after, c.held = 0, false
}

// carry sends one record; it reports false when the connection is gone.
func (c *carrier) carry(ctx context.Context, r buffer.Record) bool {
	t, err := topic.Parse(r.Topic)
	if err != nil {
		c.u.log.Error("a buffered message has a topic that nobody can take", "topic", r.Topic, "err", err)
		c.u.buf.Remove(r.Seq)
		return true
	}
	if t.Kind == topic.SubdevLogout {
		return c.logout(ctx, r)
	}
	if !c.admit(ctx, t.Device) {
		c.held = true
		return ctx.Err() == nil
	}
	return c.send(ctx, r)
}

func (c *carrier) send(ctx context.Context, r buffer.Record) bool {
	receipt, err := c.u.link.Send(ctx, link.Message{Topic: r.Topic, Payload: r.Payload, QoS: r.QoS})
	if err != nil {
		return false
	}
	c.acks <- sent{seq: r.Seq, receipt: receipt}
	return true
}

// logout sends a queued logout, unless the sub-device is back or was not logged
// in on this connection anyway.
func (c *carrier) logout(ctx context.Context, r buffer.Record) bool {
	ds, err := devicesOf(r.Payload)
	if err != nil || len(ds) != 1 {
		c.u.log.Error("a buffered logout can't be decoded", "err", err)
		c.u.buf.Remove(r.Seq)
		return true
	}
	a := c.in[ds[0]]
	if a == nil || !a.ok || c.u.isAttached(ds[0]) {
		c.u.buf.Remove(r.Seq)
		return true
	}
	delete(c.in, ds[0])
	return c.send(ctx, r)
}

// addAll puts every sub-device under this gateway. One that the hub refuses is
// found by asking for each alone, and shows again at its login.
func (c *carrier) addAll(ctx context.Context) {
	for part := range slices.Chunk(c.u.cfg.Subdevices, topoBatch) {
		err := c.u.topo.add(ctx, part...)
		var refused *refusedError
		if !errors.As(err, &refused) {
			if err != nil && ctx.Err() == nil {
				c.u.log.Warn("sub-devices could not be added", "err", err)
			}
			continue
		}
		for _, d := range part {
			if err := c.u.topo.add(ctx, d); err != nil && ctx.Err() == nil {
				c.u.log.Warn("the hub refuses a sub-device", "product", d.Product, "device", d.SN, "err", err)
			}
		}
	}
}

// follow brings the hub up to date with who is attached and wants what.
func (c *carrier) follow(ctx context.Context) {
	attached, revoked := c.u.changes()
	for d, out := range revoked {
		if out {
			c.in[d] = &admission{again: time.Now().Add(c.u.cfg.RetryRefused)}
		} else if a := c.in[d]; a != nil && !a.ok {
			a.again = time.Now()
			c.rewind()
		}
	}
	for _, d := range attached {
		if c.admit(ctx, d) {
			c.subscribe(ctx, d)
		}
	}
}

// admit makes sure that the sub-device is logged in on this connection.
func (c *carrier) admit(ctx context.Context, d ident.Device) bool {
	if a := c.in[d]; a != nil {
		return a.ok
	}
	a := &admission{asked: make(map[string]bool)}
	err := c.login(ctx, d)
	if ctx.Err() != nil {
		return false
	}
	a.ok = err == nil
	c.in[d] = a
	if err != nil {
		a.again = time.Now().Add(c.u.cfg.RetryRefused)
		c.u.log.Warn("the hub does not let a sub-device in; its messages wait", "product", d.Product, "device", d.SN, "err", err)
		return false
	}
	c.subscribe(ctx, d)
	return true
}

// login logs the sub-device in. One that the hub refuses may have been created,
// or lost its place under this gateway, since topo/add: it is added once more.
func (c *carrier) login(ctx context.Context, d ident.Device) error {
	err := c.u.topo.login(ctx, d)
	var refused *refusedError
	if !errors.As(err, &refused) || !slices.Contains(c.u.cfg.Subdevices, d) {
		return err
	}
	if err := c.u.topo.add(ctx, d); err != nil {
		return err
	}
	return c.u.topo.login(ctx, d)
}

// subscribe asks for the filters that the sub-device has and the hub does not
// know yet, and gives up those it has no longer.
func (c *carrier) subscribe(ctx context.Context, d ident.Device) {
	a, want := c.in[d], c.u.filters(d)
	for _, s := range want {
		if a.asked[s.Filter] {
			continue
		}
		a.asked[s.Filter] = true
		err := c.u.link.SubscribeOnce(ctx, s.Filter, s.QoS)
		var refused *link.SubscribeError
		if errors.As(err, &refused) {
			c.u.log.Warn("the hub refused a sub-device's subscription", "product", d.Product, "device", d.SN, "topic", s.Filter)
		}
	}
	for f := range a.asked {
		if slices.ContainsFunc(want, func(s filter) bool { return s.Filter == f }) {
			continue
		}
		delete(a.asked, f)
		if err := c.u.link.Unsubscribe(ctx, f); err != nil && ctx.Err() == nil {
			c.u.log.Warn("a subscription could not be ended", "topic", f, "err", err)
		}
	}
}
