package agentlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

var _ uplink.Handler = (*Links)(nil)

// Caps are the types that this hub takes.
var Caps = []string{string(agentmsg.TypeBatch), string(agentmsg.TypeGap), string(agentmsg.TypeSlow), string(agentmsg.TypeRetry),
	string(agentmsg.TypeState)}

var (
	putAgent = store.NewStmt(`INSERT INTO agent (device, info, at) VALUES (?, ?, ?)
		ON CONFLICT (device) DO UPDATE SET info = excluded.info, at = excluded.at`)
	putGap = store.NewStmt(`INSERT INTO agent_gap (device, stream, epoch, from_seq, to_seq, reason, bytes, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (device, stream, epoch, from_seq) DO UPDATE SET to_seq = excluded.to_seq, reason = excluded.reason, bytes = excluded.bytes, at = excluded.at`)
	pruneGaps = store.NewStmt(`DELETE FROM agent_gap WHERE device = ? AND at < (SELECT at FROM agent_gap WHERE device = ? ORDER BY at DESC LIMIT 1 OFFSET ?)`)
)

// Handle implements uplink.Handler for all that is no batch.
func (l *Links) Handle(_ context.Context, m *uplink.Message) error {
	in, err := agentmsg.Parse(m.Payload)
	if errors.Is(err, agentmsg.ErrUnsupported) {
		return reply(m, in)
	}
	if err != nil {
		return uplink.Refuse(message.CodeBad, "not a message of the agent channel")
	}
	g := l.get(m.DeviceID, m.Epoch)
	if g == nil {
		return uplink.Refuse(message.CodeNoPermission, "the agent channel is for a connection of the agent")
	}
	switch in := in.(type) {
	case *agentmsg.Hello:
		return l.hello(g, m, in)
	case *agentmsg.Gap:
		return l.gap(g, m, in)
	case *agentmsg.State:
		return l.told(m, &in.ConfigState)
	case *agentmsg.Diagnosis:
		return l.diagnosed(m, in)
	case *agentmsg.Unsupported:
		return nil
	case *agentmsg.Batch:
		return uplink.Refuse(message.CodeBad, "a batch that cannot be read")
	}
	return uplink.Refuse(message.CodeBad, "that goes down only")
}

func reply(m *uplink.Message, answer agentmsg.Message) error {
	b, err := agentmsg.Marshal(answer)
	if err != nil {
		return err
	}
	return m.Reply(topic.AgentDown, "", b)
}

// hello stores what the agent tells of itself, and answers what the hub has of its streams.
func (l *Links) hello(g *gateway, m *uplink.Message, in *agentmsg.Hello) error {
	info, err := codec.Marshal(codec.JSON, infoOf(in))
	if err != nil {
		return err
	}
	m.Stage(putAgent.Op(m.DeviceID, string(info), m.Came.UnixMilli()))
	if !g.greeted.Swap(true) {
		l.agents.Add(1)
	}
	g.patient.Store(slices.Contains(in.Caps, capBusy))
	if in.Config != nil {
		if err := l.told(m, in.Config); err != nil {
			return err
		}
	}
	l.callAfter(m, in.Caps)
	if !in.Ask {
		return reply(m, &agentmsg.Retry{Window: l.Window()})
	}
	answer := &agentmsg.Ranges{Hub: l.cfg.Version, Caps: Caps, MaxBytes: l.cfg.MaxBytes, RetryWindow: l.Window()}
	known, err := l.load(g.device)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.streams
	g.streams = make(map[agentmsg.Place]*stream, len(in.Streams))
	for i := range in.Streams {
		s := &in.Streams[i]
		place := agentmsg.Place{Stream: strings.Clone(s.Stream), Epoch: agentmsg.Epoch(strings.Clone(string(s.Epoch)))}
		st := known[place]
		delete(known, place)
		if old := before[place]; old != nil {
			st = old // a second hello: what is under way stays so
		} else if st == nil {
			st = &stream{Place: place}
		}
		st.fresh = s.Next
		st.have.AddAll(s.Settled)
		g.streams[place] = st
		if err := l.note(g, m, st, st.have); err != nil {
			return err
		}
		answer.Streams = append(answer.Streams, agentmsg.StreamRanges{Place: place, Ranges: first(st.have, agentmsg.MaxRanges)})
	}
	for _, st := range known { // of epochs that are over
		m.Stage(st.drop(g.device)...)
	}
	return reply(m, answer)
}

func first(s agentmsg.Set, n int) agentmsg.Set { return s[:min(len(s), n)] }

// note stages what a stream has.
func (l *Links) note(g *gateway, m *uplink.Message, st *stream, touched agentmsg.Set) error {
	ops, err := st.write(g.device, m.Came.UnixMilli(), touched)
	m.Stage(ops...)
	return err
}

// event is what rules see of a gap, and what is kept of it.
type event struct {
	Type   string
	Stream string
	Epoch  string
	From   uint64
	To     uint64
	Count  uint64
	Reason string
	Bytes  int64
}

// gap takes losses: they become events, and their numbers are waited for no longer.
func (l *Links) gap(g *gateway, m *uplink.Message, in *agentmsg.Gap) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	written := make(map[*stream]bool)
	for i := range in.Gaps {
		loss := &in.Gaps[i]
		settled := loss.Settled
		if len(settled) == 0 {
			settled = agentmsg.Set{{loss.From, loss.To}}
		}
		st := g.streams[loss.Place]
		if st != nil {
			if covers(st.have, settled) && l.known(m.DeviceID, loss) {
				continue // it came before, and the acknowledgement was lost
			}
			st.have.AddAll(settled)
			written[st] = true
		}
		e := event{"gap", loss.Stream, string(loss.Epoch), loss.From, loss.To, settled.Count(), loss.Reason, loss.Bytes}
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		l.metrics.gaps.Inc()
		m.Emit(topic.AgentEvent, b)
		m.Stage(putGap.Op(m.DeviceID, loss.Stream, string(loss.Epoch), int64(loss.From), int64(loss.To), loss.Reason, loss.Bytes, m.Came.UnixMilli()))
		if m.Journaled() {
			m.Hop(uplink.Hop{Name: "gap", Result: uplink.Failed, Reason: loss.Reason,
				Detail: fmt.Sprintf("%d records of %s are lost, of the numbers %d to %d", e.Count, loss.Stream, loss.From, loss.To)})
		}
	}
	for st := range written {
		if err := l.note(g, m, st, st.have); err != nil {
			return err
		}
	}
	m.Stage(pruneGaps.Op(m.DeviceID, m.DeviceID, l.cfg.Gaps-1))
	return nil
}

func covers(have, want agentmsg.Set) bool {
	for _, p := range want {
		if len(have.Missing(p[0], p[1])) > 0 {
			return false
		}
	}
	return true
}

// known reports whether a gap is one that is stored.
func (l *Links) known(device int64, g *agentmsg.Loss) bool {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.StoreWait)
	defer cancel()
	var n int
	err := l.Store.QueryRow(ctx, `SELECT COUNT(*) FROM agent_gap WHERE device = ? AND stream = ? AND epoch = ? AND from_seq = ? AND to_seq = ?`,
		device, g.Stream, string(g.Epoch), int64(g.From), int64(g.To)).Scan(&n)
	return err == nil && n > 0
}
