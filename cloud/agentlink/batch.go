package agentlink

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// batch is one on its way.
type batch struct {
	l       *Links
	g       *gateway
	st      *stream
	ack     uplink.Ack
	m       *uplink.Message
	release func() // of the records' memory

	taken   agentmsg.Set // what it brings, without repeats and what is refused
	waiting atomic.Int64 // records that have not ended, and one for the loop that hands them in
	refused atomic.Bool  // one was refused by its handler: it has no mark
	single  bool         // there is one record, whose mark is stored even if it causes nothing

	ends []end
}

// end is how one record ended.
type end struct {
	b   *batch
	seq uint64
	err error
}

// Done implements uplink.Ack. It runs on the committer's goroutine.
func (e *end) Done(err error) {
	e.err = err
	var r *uplink.Refusal
	if errors.As(err, &r) {
		e.err = nil
		e.b.refused.Store(true)
	}
	e.b.done()
}

func (b *batch) done() {
	if b.waiting.Add(-1) == 0 {
		b.l.running.Go(b.finish)
	}
}

// batch takes a batch. It is false for one that makes no sense, which Handle then refuses.
func (l *Links) batch(g *gateway, s *presence.Session, m *uplink.Message, in *agentmsg.Batch, ack uplink.Ack) bool {
	g.mu.Lock()
	st := g.streams[in.Place]
	g.mu.Unlock()
	if st == nil { // no hello has named it: the connection ends, and begins with one
		l.Log.Info("batch of a stream that no hello has named", "device", m.Device, "stream", in.Stream)
		ack.Done(server.ErrUnavailable)
		return true
	}
	records, release, err := unpack(in)
	if err != nil {
		return false
	}
	b := &batch{l: l, g: g, st: st, ack: ack, m: m, release: release}
	l.metrics.batches.Inc()
	l.pressed(g, server.Message{Topic: topic.System(m.Device, topic.AgentDown)}, m.From)
	if in.First < st.fresh {
		if err := l.lookAgain(g, st); err != nil {
			l.Log.Warn("batch not taken", "device", m.Device, "err", err)
			b.end(server.ErrUnavailable)
			return true
		}
	}
	b.start(s, in, records)
	return true
}

// lookAgain adds the marks of records that were committed after the hello: those that were under way when the device came back. Their own devices have
// logged in since, so that no more can come.
func (l *Links) lookAgain(g *gateway, st *stream) error {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.StoreWait)
	defer cancel()
	var found []uint64
	if err := l.eachMark(ctx, g.device, st.Place, func(_ agentmsg.Place, seq uint64) { found = append(found, seq) }); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, seq := range found {
		if !st.pending.Has(seq) {
			st.have.Add(seq, seq)
		}
	}
	return nil
}

// choice is a record that is to be taken, and whose it is.
type choice struct {
	r *agentmsg.Record
	s *presence.Session
	t topic.Topic
}

// start hands the records in.
func (b *batch) start(s *presence.Session, in *agentmsg.Batch, records []agentmsg.Record) {
	chosen, denied, reason := b.choose(s, records)
	if reason == busy {
		b.end(server.ErrUnavailable) // the numbers are under way: it comes again
		return
	}
	if len(denied) > 0 {
		b.l.metrics.refused.Add(float64(denied.Count()))
		b.l.Log.Info("records of an agent refused", "device", b.m.Device, "stream", b.st.Stream, "records", denied.Count(), "reason", reason)
		b.l.send(server.Message{Topic: topic.System(b.m.Device, topic.AgentDown)}, b.m.From,
			&agentmsg.Refused{Place: b.st.Place, Numbers: denied, Reason: reason})
	}
	b.l.metrics.repeats.Add(float64(len(records) - len(chosen) - int(denied.Count())))
	b.l.metrics.records.Add(float64(len(chosen)))
	b.single = len(chosen) == 1
	b.ends = make([]end, len(chosen))
	b.waiting.Store(int64(len(chosen)) + 1)
	now := b.l.Now()
	for i, c := range chosen {
		b.ends[i] = end{b: b, seq: c.r.Seq}
		b.l.path.Take(context.Background(), b.message(c, in.Replayed, now), &b.ends[i])
	}
	b.done()
}

// Why records are refused; busy is none of them.
const (
	reasonPermission = "permission"
	reasonRanges     = "ranges"
	reasonBusy       = "busy" // a rule that blocks has no room for them
	busy             = "under way"
)

// choose finds the records that are new and that the connection may bring.
func (b *batch) choose(s *presence.Session, records []agentmsg.Record) (chosen []choice, denied agentmsg.Set, reason string) {
	b.g.mu.Lock()
	defer b.g.mu.Unlock()
	st := b.st
	chosen = make([]choice, 0, len(records))
	for i := range records {
		r := &records[i]
		if st.pending.Has(r.Seq) {
			return nil, nil, busy
		}
		if st.have.Has(r.Seq) {
			continue
		}
		who, t, ok := s.MayPublish(r.Topic)
		if !ok || t.Kind == topic.AgentUp || tooLarge(who, r) {
			denied.Add(r.Seq, r.Seq)
			reason = reasonPermission
			continue
		}
		b.taken.Add(r.Seq, r.Seq)
		chosen = append(chosen, choice{r, who, t})
	}
	all := st.have.Clone()
	all.AddAll(st.pending)
	all.AddAll(b.taken)
	if len(all) > agentmsg.MaxRanges && len(all) > len(st.have) {
		denied.AddAll(b.taken)
		b.taken = nil
		return nil, denied, reasonRanges
	}
	st.pending.AddAll(b.taken)
	return chosen, denied, reason
}

func tooLarge(s *presence.Session, r *agentmsg.Record) bool {
	most := s.Product().Settings.MaxPacket
	return most != nil && int64(len(r.Topic)+len(r.Payload)) > *most
}

// message makes the path's message of a record.
func (b *batch) message(c choice, replayed bool, now time.Time) *uplink.Message {
	m := b.l.path.New()
	m.Device, m.DeviceID, m.Epoch, m.Product = c.s.Device.Identity, c.s.Device.ID, c.s.Epoch, c.s.Product()
	m.Topic, m.Name, m.Payload, m.QoS = c.t, c.r.Topic, c.r.Payload, c.r.QoS
	m.CBOR, m.Buffer, m.Verifies, m.From = c.s.CBOR(), c.s.Buffer(), c.s.Verifies(), b.m.From
	m.At, m.Came, m.Replayed = believe(c.r.Time, now), now, replayed
	m.Mark = uplink.Mark{Op: b.st.mark(b.g.device, c.r.Seq), Always: b.single}
	if q := b.l.Requests; q != nil && !replayed && c.t.Kind == topic.Custom && q.Awaits() && q.Awaited(m.Device, m.Name, nil) {
		name := strings.Clone(m.Name)
		m.Also = func(m *uplink.Message) {
			m.After(func(err error) {
				if err == nil {
					q.Answer(m.Device, name, m.Payload)
				}
			})
		}
	}
	return m
}

// The time of a record is believed unless the agent can't have known it: before there were agents, or later than clocks differ.
const (
	earliest = 1577836800000 // 2020
	ahead    = 5 * time.Minute
)

func believe(ms int64, now time.Time) time.Time {
	if ms < earliest || ms > now.Add(ahead).UnixMilli() {
		return now
	}
	return time.UnixMilli(ms)
}

// result says how the records have ended: what is taken, what a rule has no room for, and whether others failed.
func (b *batch) result() (good, held agentmsg.Set, failed bool) {
	for i := range b.ends {
		switch e := &b.ends[i]; {
		case e.err == nil:
			good.Add(e.seq, e.seq)
		case b.g.patient.Load() && errors.Is(e.err, uplink.ErrHeld):
			held.Add(e.seq, e.seq)
		default:
			failed = true
		}
	}
	return good, held, failed
}

// hold tells the agent what it is to bring again, and to send less meanwhile. Without it the batch would come whole, again and again.
func (b *batch) hold(held agentmsg.Set) {
	b.l.metrics.held.Add(float64(held.Count()))
	down := server.Message{Topic: topic.System(b.m.Device, topic.AgentDown)}
	b.l.send(down, b.m.From, &agentmsg.Refused{Place: b.st.Place, Numbers: held, Reason: reasonBusy})
	b.l.slow(b.g, down, b.m.From)
}

// finish notes the numbers when all records have ended, and acknowledges the batch.
func (b *batch) finish() {
	good, held, failed := b.result()
	if failed = failed || len(held) > agentmsg.MaxRanges; !failed && len(held) > 0 {
		b.hold(held)
	}
	b.g.mu.Lock()
	b.st.have.AddAll(good)
	b.st.pending.Remove(b.taken)
	if failed {
		b.g.mu.Unlock()
		b.end(server.ErrUnavailable)
		return
	}
	b.taken = good
	if b.single && len(good) == 0 {
		b.single = false
	}
	if b.single {
		b.st.marks++
	}
	if len(b.taken) == 0 || b.single && !b.refused.Load() && b.st.marks < compactAt {
		b.g.mu.Unlock()
		b.end(nil)
		return
	}
	ops, err := b.st.write(b.g.device, b.l.Now().UnixMilli(), b.touched())
	if err != nil {
		b.g.mu.Unlock()
		b.l.Log.Error("ranges not encoded", "err", err)
		b.end(server.ErrUnavailable)
		return
	}
	b.l.Store.Submit(&store.Unit{Device: b.g.device, Epoch: b.g.epoch, Ops: ops, Done: func(err error) {
		if err != nil {
			err = server.ErrUnavailable
		}
		b.end(err)
	}})
	b.g.mu.Unlock()
}

// touched are the numbers whose marks go with this write.
func (b *batch) touched() agentmsg.Set {
	if b.st.marks < compactAt {
		return b.taken
	}
	b.st.marks = 0
	return b.st.have
}

// end acknowledges the batch.
func (b *batch) end(err error) {
	if b.release != nil {
		b.release()
	}
	b.ack.Done(err)
}
