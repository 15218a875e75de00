package uplink

import (
	"encoding/json"
	"sync"

	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
)

// keyPlain, with the epoch behind, is where the numbers are kept that the hub has, or will not get, otherwise than over the agent channel.
const keyPlain = "plain/"

// plainBook is these numbers. It begins with the first greeting of a hub that speaks the channel: then all that is gone is in it.
type plainBook struct {
	keep Keeper
	buf  *buffer.Stream
	key  string

	// mu guards the fields below.
	mu    sync.Mutex
	begun bool
	set   agentmsg.Set
}

func openPlain(keep Keeper, buf *buffer.Stream) *plainBook {
	epoch, _ := buf.Place()
	b := &plainBook{keep: keep, buf: buf, key: keyPlain + string(agentmsg.EpochOf(epoch))}
	if text := keep.Get(b.key); text != nil {
		b.begun = json.Unmarshal(text, &b.set) == nil
	}
	return b
}

// settled are the numbers, for the hub.
func (b *plainBook) settled() agentmsg.Set {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.begun {
		b.begun = true
		for _, s := range b.buf.Settled(1, 1<<63-1) {
			b.set.Add(s.From, s.To)
		}
		for _, g := range b.buf.Gaps() { // those are told for themselves
			b.set.Remove(agentmsg.Set{{g.From, g.To}})
		}
		b.saveLocked()
	}
	return b.set.Clone()
}

// add notes a number.
func (b *plainBook) add(seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun {
		b.set.Add(seq, seq)
		b.saveLocked()
	}
}

// saveLocked keeps the lowest spans: what is left out may come twice when a hub is restored.
func (b *plainBook) saveLocked() {
	b.set = b.set[:min(len(b.set), agentmsg.MaxRanges)]
	if text, err := json.Marshal(b.set); err == nil {
		b.keep.Put(b.key, text)
	}
}
