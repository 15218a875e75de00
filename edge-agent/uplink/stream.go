package uplink

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Stream is a stream of the buffer beside the first one.
type Stream struct {
	Buffer *buffer.Stream
	// Topics are the filters of what goes here instead of into the first stream.
	Topics []string
}

// stream is a Stream with what is known of it over connections.
type stream struct {
	Stream
	name  string
	plain *plainBook
}

func (u *Uplink) addStream(s Stream) {
	u.streams = append(u.streams, &stream{s, s.Buffer.Name(), openPlain(u.keep, s.Buffer)})
}

// streamOf is where messages of a topic go.
func (u *Uplink) streamOf(name string) *buffer.Stream {
	for _, s := range u.streams[1:] {
		if slices.ContainsFunc(s.Topics, func(f string) bool { return topic.Match(f, name) }) {
			return s.Buffer
		}
	}
	return u.buf
}

// feed is a stream on one connection.
type feed struct {
	*stream
	// The carrier's sending goroutine owns these.
	after uint64 // the last record that was looked at
	held  bool   // records were passed over
	turns int    // batches sent
	lanes *lanes
	mine  agentmsg.Set // what the hub has, or has been sent

	telling atomic.Bool // losses are on their way

	// With a hub that speaks the agent channel:
	place agentmsg.Place
	fresh uint64 // the number that was given next at the greeting

	// mu guards the fields below.
	mu      sync.Mutex
	refused agentmsg.Set // by the hub, of batches that are not acknowledged yet
	back    agentmsg.Set // refused, and not known to the carrier yet
	rate    float64      // records a second, until slow ends
	slow    time.Time
}

// feeds are the streams for a new connection, the most important one first.
func (u *Uplink) feeds() (list []*feed) {
	for _, s := range u.streams {
		f := &feed{stream: s}
		epoch, next := s.Buffer.Place()
		f.place, f.fresh = agentmsg.Place{Stream: s.name, Epoch: agentmsg.EpochOf(epoch)}, next
		list = append(list, f)
	}
	byPriority(list)
	return list
}

// byPriority puts feeds in the order in which they are asked for records: by priority, and of one priority the one that has had the fewest turns.
func byPriority(list []*feed) {
	slices.SortStableFunc(list, func(x, y *feed) int {
		return cmp.Or(cmp.Compare(y.Buffer.Priority(), x.Buffer.Priority()), cmp.Compare(x.turns, y.turns))
	})
}

// watch wakes the carrier when a stream has more, until ctx ends.
func (u *Uplink) watch(ctx context.Context, s *buffer.Stream) {
	changed := s.Changed()
	for {
		select {
		case <-changed:
			changed = s.Changed() // before the carrier looks
			u.wake()
		case <-ctx.Done():
			return
		}
	}
}

// drop removes a record that does not go over the agent channel, or not any more.
func (f *feed) drop(seq uint64) {
	f.plain.add(seq)
	f.Buffer.Remove(seq)
}

// takeBack notes the numbers that the hub has refused since the last time: they are looked at again.
func (f *feed) takeBack() {
	f.mu.Lock()
	back := f.back
	f.back = nil
	f.mu.Unlock()
	if len(back) > 0 {
		f.mine.Remove(back)
		f.held = true
	}
}

// settled removes what a batch has brought.
func (f *feed) settled(seqs agentmsg.Set) {
	f.mu.Lock()
	defer f.mu.Unlock()
	good := seqs.Clone()
	good.Remove(f.refused)
	f.refused.Remove(seqs)
	for _, p := range good {
		f.Buffer.RemoveSpan(p[0], p[1])
	}
}

// wait is for how long n records are held back because the hub has asked for it.
func (f *feed) wait(n int) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := time.Until(f.slow)
	if d > 0 {
		d = min(d, time.Duration(float64(n)/f.rate*float64(time.Second)))
	}
	return d
}
