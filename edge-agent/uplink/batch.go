package uplink

import (
	"context"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/protocol/zstdenc"
)

// Bounds of what is on its way: a batch ends with as many records or bytes, and so many batches are not acknowledged at a time.
const (
	batchRecords = 500
	batchBytes   = 32 << 10
	batchesOut   = 4
)

// overhead is what a packet has at most beside the data of a batch, and beside the payload of another message: the topic and the fields.
const overhead = 512

// packFrom is how long a batch's data must be for packing to pay.
const packFrom = 200

// spare is how many ranges are left free: records that would open one more go up alone.
const spare = 4

// mostTold is with how many ranges no loss is told that opens one more.
const mostTold = agentmsg.MaxRanges * 3 / 4

// lookEvery is how often losses are looked for.
const lookEvery = 2 * time.Second

// packer makes batches. Its parts are used again.
type packer struct {
	w        agentmsg.Writer
	enc      zstdenc.Encoder
	seqs     agentmsg.Set
	replayed bool
}

// runChannel is run with a hub that speaks the agent channel.
func (c *carrier) runChannel(ctx context.Context) error {
	p := new(packer)
	c.room = make(chan struct{}, batchesOut)
	for _, f := range c.feeds {
		f.lanes = newLanes(f.fresh, c.u.cfg.Newest)
	}
	if c.news = time.Now(); !c.ch.owes {
		c.news = c.news.Add(c.u.cfg.NewsEvery)
	}
	for ctx.Err() == nil {
		c.follow(ctx)
		c.tellNews(ctx)
		for _, f := range c.feeds {
			f.takeBack()
			c.tell(ctx, f)
		}
		sent, err := c.turn(ctx, p)
		if err != nil {
			return err
		}
		if !sent {
			c.goodbye(ctx)
			c.pause(ctx)
		}
	}
	return nil
}

// turn sends what the first stream that has something has next, of the lane whose turn it is or else of the other; false when there was nothing to send.
func (c *carrier) turn(ctx context.Context, p *packer) (bool, error) {
	byPriority(c.feeds)
	for _, f := range c.feeds {
		for i, l := range f.lanes.order() {
			lanes := f.lanes
			looked, err := c.fill(ctx, f, l, p)
			if err != nil {
				return false, err
			}
			if looked > 0 {
				c.flush(ctx, f, p)
				lanes.spent(l, looked, i > 0)
				f.turns++
				return true, nil
			}
		}
	}
	return false, nil
}

// fill puts a lane's next records into p, as many as a batch takes and a few more, and returns at how many it has looked.
func (c *carrier) fill(ctx context.Context, f *feed, l *lane, p *packer) (looked int, err error) {
	p.replayed = !l.live
	for sent := c.u.batches.Load(); sent == c.u.batches.Load() && ctx.Err() == nil; {
		recs, err := l.read(f.Buffer, readAhead)
		if err != nil {
			return looked, err
		}
		for i := range recs {
			c.put(ctx, f, &recs[i], p)
		}
		if looked += len(recs); len(recs) == 0 || l.back {
			break
		}
	}
	return looked, nil
}

// put adds one record to the batch, or does what else is to be done with it.
func (c *carrier) put(ctx context.Context, f *feed, r *buffer.Record, p *packer) {
	t, err := topic.Parse(r.Topic)
	if err != nil {
		c.u.log.Error("a buffered message has a topic that nobody can take", "topic", r.Topic, "err", err)
		f.drop(r.Seq)
		return
	}
	logout := t.Kind == topic.SubdevLogout
	switch {
	case logout && !c.leaves(f, r):
		return
	case !logout && !c.admit(ctx, t.Device):
		f.held = true
		return
	case !c.fits(f, r):
		c.flush(ctx, f, p)
		c.send(ctx, f, *r) // when it fails the connection is gone, and another one begins anew
		return
	}
	if p.w.Len()+len(r.Topic)+len(r.Payload)+overhead > c.ch.most {
		c.flush(ctx, f, p)
	}
	p.w.Add(&agentmsg.Record{Seq: r.Seq, Time: c.u.timeOf(r.Time).UnixMilli(), QoS: r.QoS, Topic: r.Topic, Payload: r.Payload})
	p.seqs.Add(r.Seq, r.Seq)
	f.mine.Add(r.Seq, r.Seq)
	if logout || p.w.Count() >= batchRecords || p.w.Len() >= batchBytes { // nothing of a device goes before its logout, that comes behind it
		c.flush(ctx, f, p)
	}
}

// fits reports whether a record can go in a batch: it is not too long for one, and opens no range too many.
func (c *carrier) fits(f *feed, r *buffer.Record) bool {
	if len(r.Topic)+len(r.Payload)+overhead > c.ch.most || len(r.Topic)+len(r.Payload)+64 > agentmsg.MaxData-batchBytes {
		return false
	}
	return len(f.mine) < agentmsg.MaxRanges-spare || f.mine.Has(r.Seq-1) || f.mine.Has(r.Seq+1)
}

// flush sends what is in p. When the connection is gone it is read again for the next one.
func (c *carrier) flush(ctx context.Context, f *feed, p *packer) {
	if p.w.Count() > 0 {
		c.sendBatch(ctx, f, p)
	}
	p.w.Reset()
	p.seqs = nil
}

func (c *carrier) sendBatch(ctx context.Context, f *feed, p *packer) {
	data := p.w.Data()
	m := &agentmsg.Batch{Place: f.place, First: p.w.First(), Count: p.w.Count(), Replayed: p.replayed, Data: data}
	if len(data) >= packFrom {
		if packed := p.enc.Append(nil, data); len(packed) < len(data) {
			m.Size, m.Data = len(data), packed
		}
	}
	b, err := agentmsg.Marshal(m)
	if err != nil {
		c.u.log.Error("a batch can't be encoded", "err", err)
		return
	}
	f.yield(ctx, p.w.Count())
	select {
	case c.room <- struct{}{}:
	case <-ctx.Done():
		return
	}
	receipt, err := c.u.link.Send(ctx, link.Message{Topic: topic.System(c.u.link.Device(), topic.AgentUp), Payload: b, QoS: 1})
	if err != nil {
		<-c.room
		<-ctx.Done()
		return
	}
	c.acks <- sent{feed: f, seqs: p.seqs, receipt: receipt}
	c.u.batches.Add(1)
	c.u.batched.Add(int64(p.w.Count()))
}

// tellNews says now and then how much waits.
func (c *carrier) tellNews(ctx context.Context) {
	if now := time.Now(); now.After(c.news) {
		c.news = now.Add(c.u.cfg.NewsEvery)
		c.u.keepTime()
		_ = c.ch.greeting(ctx, false) // the next one says it too
	}
}

// tell reports losses of a stream, of many those first between which records are sent next: each opens a range at the hub until these are there.
func (c *carrier) tell(ctx context.Context, f *feed) {
	if f.telling.Load() {
		return
	}
	gaps := f.Buffer.Gaps()
	if c.u.cfg.Newest {
		slices.Reverse(gaps)
	}
	m := &agentmsg.Gap{}
	var told []buffer.Gap
	for _, g := range gaps {
		l, whole := f.loss(g, c.u.cfg.Newest)
		if l != nil {
			m.Gaps = append(m.Gaps, *l)
		}
		if !whole {
			break
		}
		told = append(told, g)
	}
	if len(m.Gaps) == 0 {
		f.Buffer.Reported(told...)
		return
	}
	f.telling.Store(true)
	_ = c.ch.say(ctx, m, func() { // when it fails the connection is gone, and the next one tells them
		f.Buffer.Reported(told...)
		f.telling.Store(false)
		c.u.wake()
	})
}

// loss is what a gap still has to tell the hub, nil when it is nothing, as far as the hub has room for its ranges: whole is that nothing is left. A gap that
// was made of several covers records that come.
func (f *feed) loss(g buffer.Gap, newest bool) (l *agentmsg.Loss, whole bool) {
	l = &agentmsg.Loss{Place: agentmsg.Place{Stream: g.Stream, Epoch: agentmsg.EpochOf(g.Epoch)}, From: g.From, To: g.To, Reason: g.Reason.String(), Bytes: g.Bytes}
	if l.Place != f.place {
		return l, true
	}
	var lost agentmsg.Set
	for _, s := range f.Buffer.Settled(g.From, g.To) {
		lost.Add(s.From, s.To)
	}
	lost.Remove(f.mine)
	n := len(lost)
	if n == 0 {
		return nil, true
	}
	room := max(mostTold-len(f.mine), 0)
	if one := lost[0]; room == 0 && n == 1 && (f.mine.Has(one[0]-1) || f.mine.Has(one[1]+1)) {
		room = 1 // it opens none
	}
	if whole = n <= room; !whole {
		if l.Bytes = 0; newest { // the last part has them
			lost = lost[n-room:]
		} else {
			lost = lost[:room]
		}
	}
	if len(lost) == 0 {
		return nil, false
	}
	f.mine.AddAll(lost)
	if l.From, l.To = lost[0][0], lost[len(lost)-1][1]; len(lost) > 1 {
		l.Settled = lost
	}
	return l, whole
}
