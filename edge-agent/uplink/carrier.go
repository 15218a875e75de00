package uplink

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
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
	feeds []*feed
	in    map[ident.Device]*admission
	left  map[ident.Device]bool // logged out on this connection, by their own word
	acks  chan sent

	register time.Time // when the hub is asked again for sub-devices without secret

	// With a hub that speaks the agent channel:
	ch   *channel // nil: a plain hub
	room chan struct{}
	news time.Time // when the hub is told how much waits
}

// admission is what the hub said to a sub-device's login on this connection.
type admission struct {
	ok    bool
	again time.Time       // when a refused one is tried again
	asked map[string]bool // filters
}

// sent is a message on its way; with flushed set it is a mark.
type sent struct {
	feed    *feed
	seq     uint64
	seqs    agentmsg.Set // of a batch
	receipt link.Receipt
	flushed chan struct{}
}

func newCarrier(u *Uplink) *carrier {
	return &carrier{u: u, feeds: u.feeds(), in: make(map[ident.Device]*admission), left: make(map[ident.Device]bool), acks: make(chan sent, 2*readAhead)}
}

// run carries records until ctx ends with the connection.
func (c *carrier) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(c.settle)
	defer wg.Wait()
	defer stop()
	defer close(c.acks)
	for _, f := range c.feeds {
		wg.Go(func() { c.u.watch(ctx, f.Buffer) })
	}
	c.registerAll(ctx)
	c.addAll(ctx)
	for ctx.Err() == nil {
		if c.ch = c.u.greet(ctx, c.feeds); c.ch != nil {
			return c.runChannel(ctx)
		}
		if err := c.runPlain(ctx); err != nil {
			return err
		}
	}
	return nil
}

// runPlain is run with a hub that does not speak the agent channel. It returns when the hub does after all: then it is to be greeted anew.
func (c *carrier) runPlain(ctx context.Context) error {
	for ctx.Err() == nil {
		if c.u.answeredLate() {
			c.flushed()
			c.feeds = c.u.feeds()
			return nil
		}
		c.follow(ctx)
		carried, err := c.carryNext(ctx)
		if err != nil {
			return err
		}
		if !carried {
			c.goodbye(ctx)
			c.pause(ctx)
		}
	}
	return nil
}

// carryNext sends the next records of the first stream that has some, one by one; false when there were none, or the connection is gone.
func (c *carrier) carryNext(ctx context.Context) (bool, error) {
	byPriority(c.feeds)
	for _, f := range c.feeds {
		recs, err := f.Buffer.Read(f.after, readAhead)
		if err != nil {
			return false, err
		}
		for _, r := range recs {
			if !c.carry(ctx, f, r) {
				<-ctx.Done()
				return false, nil
			}
			f.after = r.Seq
		}
		if len(recs) > 0 {
			f.turns++
			return true, nil
		}
	}
	return false, nil
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
		if s.seqs != nil {
			<-c.room
		}
		switch {
		case s.receipt.Err() != nil:
		case s.seqs != nil:
			s.feed.settled(s.seqs)
		default:
			s.feed.drop(s.seq)
		}
	}
}

// pause waits for more to do.
func (c *carrier) pause(ctx context.Context) {
	var retry <-chan time.Time
	if at, ok := c.nextRetry(); ok {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		retry = t.C
	}
	var tick <-chan time.Time
	if c.ch != nil {
		t := time.NewTimer(lookEvery)
		defer t.Stop()
		tick = t.C
	}
	select {
	case <-c.u.poke:
	case <-tick:
	case <-retry:
		c.rewind()
	case <-ctx.Done():
	}
}

// nextRetry is when the first refused sub-device may be tried again, if records
// of one wait or one is attached, or what the hub had no room for.
func (c *carrier) nextRetry() (at time.Time, ok bool) {
	c.u.mu.Lock()
	at = c.u.again
	c.u.mu.Unlock()
	ok = !at.IsZero()
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
	c.u.mu.Lock()
	if !time.Now().Before(c.u.again) {
		c.u.again = time.Time{}
	}
	c.u.mu.Unlock()
	for _, f := range c.feeds {
		f.takeBack() // after again: what that was set for is there
	}
	for d, a := range c.in {
		if !a.ok && !time.Now().Before(a.again) {
			delete(c.in, d)
		}
	}
	held := slices.DeleteFunc(slices.Clone(c.feeds), func(f *feed) bool { return !f.held })
	if len(held) == 0 {
		return
	}
	c.flushed()
	for _, f := range held {
		f.after, f.held = 0, false
		if f.lanes != nil {
			_, next := f.Buffer.Place()
			f.lanes = newLanes(next, c.u.cfg.Newest)
		}
	}
}

// flushed waits until nothing is on its way.
func (c *carrier) flushed() {
	mark := make(chan struct{})
	c.acks <- sent{flushed: mark}
	<-mark
}

// carry sends one record; it reports false when the connection is gone.
func (c *carrier) carry(ctx context.Context, f *feed, r buffer.Record) bool {
	t, err := topic.Parse(r.Topic)
	if err != nil {
		c.u.log.Error("a buffered message has a topic that nobody can take", "topic", r.Topic, "err", err)
		f.drop(r.Seq)
		return true
	}
	if t.Kind == topic.SubdevLogout {
		return !c.leaves(f, &r) || c.send(ctx, f, r)
	}
	if !c.admit(ctx, t.Device) {
		f.held = true
		return ctx.Err() == nil
	}
	return c.send(ctx, f, r)
}

func (c *carrier) send(ctx context.Context, f *feed, r buffer.Record) bool {
	receipt, err := c.u.link.Send(ctx, link.Message{Topic: r.Topic, Payload: r.Payload, QoS: r.QoS})
	if err != nil {
		return false
	}
	c.acks <- sent{feed: f, seq: r.Seq, receipt: receipt}
	return true
}

// leaves reports whether a queued logout is to be sent: not when the sub-device is back or was not logged in on this connection anyway.
func (c *carrier) leaves(f *feed, r *buffer.Record) bool {
	subs, err := subdevsOf(r.Payload)
	if err != nil || len(subs) != 1 {
		c.u.log.Error("a buffered logout can't be decoded", "err", err)
		f.drop(r.Seq)
		return false
	}
	d := subs[0].Device()
	a := c.in[d]
	if a == nil || !a.ok || c.u.isAttached(d) {
		f.drop(r.Seq)
		return false
	}
	delete(c.in, d)
	c.left[d] = true
	return true
}

// goodbye logs those out once more whose logout went up before the last of what they had sent, which another stream or lane held.
func (c *carrier) goodbye(ctx context.Context) {
	for d := range c.left {
		switch a := c.in[d]; {
		case c.u.isAttached(d):
			delete(c.left, d)
		case a != nil && a.ok:
			body, err := c.u.topo.logoutBody(d)
			if err == nil {
				_, err = c.u.link.Send(ctx, link.Message{Topic: topic.System(c.u.link.Device(), topic.SubdevLogout), Payload: body, QoS: 1})
			}
			if err != nil {
				return
			}
			delete(c.in, d)
		}
	}
}

// addAll puts every sub-device under this gateway. One that the hub refuses is
// found by asking for each alone, and shows again at its login.
func (c *carrier) addAll(ctx context.Context) {
	carried := slices.DeleteFunc(slices.Clone(c.u.cfg.Subdevices), func(d ident.Device) bool { return !c.u.down.Carries(d) })
	for part := range slices.Chunk(carried, topoBatch) {
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
	c.registerAll(ctx)
	attached, revoked := c.u.changes()
	for d, out := range revoked {
		switch a := c.in[d]; {
		case out:
			c.in[d] = &admission{again: time.Now().Add(c.u.cfg.RetryRefused)}
			for _, f := range c.feeds {
				f.held = true
			}
		case a != nil && a.ok: // it was out and in again since the last time, and the hub wants another login
			delete(c.in, d)
		case a != nil:
			a.again = time.Now()
			c.rewind()
		}
	}
	c.admitMany(ctx, attached)
	for _, d := range attached {
		if c.admit(ctx, d) {
			c.subscribe(ctx, d)
		}
	}
}

// admitMany logs many in at once. Those of a request that the hub refuses are left to be asked for one by one.
func (c *carrier) admitMany(ctx context.Context, ds []ident.Device) {
	fresh := slices.DeleteFunc(slices.Clone(ds), func(d ident.Device) bool { return c.in[d] != nil || d == c.u.link.Device() })
	if len(fresh) < 2 {
		return
	}
	for part := range slices.Chunk(fresh, topoBatch) {
		if c.u.topo.login(ctx, part...) != nil {
			continue
		}
		for _, d := range part {
			c.in[d] = &admission{ok: true, asked: make(map[string]bool)}
		}
	}
}

// admit makes sure that the sub-device is logged in on this connection, which the gateway itself always is.
func (c *carrier) admit(ctx context.Context, d ident.Device) bool {
	if d == c.u.link.Device() && c.in[d] == nil {
		c.in[d] = &admission{ok: true, asked: make(map[string]bool)}
	}
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
		if !errors.As(err, new(*refusedError)) { // the answer was lost, or the hub is busy
			a.again = time.Now().Add(min(c.u.cfg.RetryBusy, c.u.cfg.RetryRefused))
		}
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
	if !errors.As(err, &refused) || !slices.Contains(c.u.cfg.Subdevices, d) || !c.u.down.Carries(d) {
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
