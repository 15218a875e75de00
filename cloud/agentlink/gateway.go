package agentlink

import (
	"sync"
	"sync/atomic"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/codec"
)

// gateway is one connection of an agent.
type gateway struct {
	device  int64
	epoch   int64 // the session's fence
	greeted atomic.Bool
	patient atomic.Bool  // it brings again what is refused as busy
	slowed  atomic.Int64 // when it was last asked for less, Unix ms

	// mu guards streams and what is in them. It is held over Submit, so that a stream's rows are written in the order of what they say; never on
	// the committer's goroutine.
	mu      sync.Mutex
	streams map[agentmsg.Place]*stream
}

// stream is what has come of a stream.
type stream struct {
	agentmsg.Place
	fresh   uint64       // numbers from it on cannot have come over another connection
	have    agentmsg.Set // has come, or will not come
	pending agentmsg.Set // is under way
	marks   int          // rows of agent_mark, about
}

// compactAt is how many marks may be beside the ranges.
const compactAt = 256

var (
	putStream = store.NewStmt(`INSERT INTO agent_stream (device, stream, epoch, ranges, at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (device, stream, epoch) DO UPDATE SET ranges = excluded.ranges, at = excluded.at`)
	dropStream = store.NewStmt(`DELETE FROM agent_stream WHERE device = ? AND stream = ? AND epoch = ?`)
	putMark    = store.NewStmt(`INSERT INTO agent_mark (device, stream, epoch, seq) VALUES (?, ?, ?, ?) ON CONFLICT (device, stream, epoch, seq) DO NOTHING`)
	dropMarks  = store.NewStmt(`DELETE FROM agent_mark WHERE device = ? AND stream = ? AND epoch = ? AND seq BETWEEN ? AND ?`)
	dropAll    = store.NewStmt(`DELETE FROM agent_mark WHERE device = ? AND stream = ? AND epoch = ?`)
)

func (st *stream) mark(device int64, seq uint64) store.Op {
	return putMark.Op(device, st.Stream, string(st.Epoch), int64(seq))
}

// write are the operations that store what the stream has; touched are the numbers that were added since, whose marks are not needed any more.
func (st *stream) write(device int64, at int64, touched agentmsg.Set) ([]store.Op, error) {
	keep := st.have
	if len(keep) > agentmsg.MaxRanges { // marks, or gaps: an agent opens no more. What is left out would come again
		keep = keep[:agentmsg.MaxRanges]
	}
	text, err := codec.Marshal(codec.JSON, keep)
	if err != nil {
		return nil, err
	}
	ops := []store.Op{putStream.Op(device, st.Stream, string(st.Epoch), string(text), at)}
	last := uint64(0)
	for _, p := range touched {
		run, ok := keep.Run(p[0])
		if !ok || run[0] == last {
			continue
		}
		last = run[0]
		ops = append(ops, dropMarks.Op(device, st.Stream, string(st.Epoch), int64(run[0]), int64(run[1])))
	}
	return ops, nil
}

// drop are the operations that forget a stream.
func (st *stream) drop(device int64) []store.Op {
	return []store.Op{dropStream.Op(device, st.Stream, string(st.Epoch)), dropAll.Op(device, st.Stream, string(st.Epoch))}
}
