package uplink

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// A clock that says a time before this one was never set.
var earliest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// clock is the time of messages: the machine's, or where that was never set the hub's, once it was asked.
type clock struct {
	machine func() time.Time
	started time.Time

	// mu guards the fields below.
	mu     sync.Mutex
	asked  time.Time // of the machine's clock; zero: not asked
	offset time.Duration
}

func (c *clock) begin(now func() time.Time) {
	if c.machine = now; now == nil {
		c.machine = time.Now
	}
	c.started = c.machine()
}

// now is the time; a machine without one says its own until the hub was asked.
func (c *clock) now() time.Time {
	t := c.machine()
	if !t.Before(earliest) {
		return t
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(c.offset)
}

// setClock asks the hub for the time when the machine has none.
func (u *Uplink) setClock(ctx context.Context) {
	c := &u.clock
	if !c.machine().Before(earliest) {
		return
	}
	c.mu.Lock()
	c.asked = c.machine()
	asked := c.asked
	c.mu.Unlock()
	own := u.link.Device()
	body, err := codec.Marshal(codec.JSON, message.NTPRequest{DeviceSendTime: asked.UnixMilli()})
	if err == nil {
		err = u.link.SubscribeOnce(ctx, topic.System(own, topic.NTPResponse), 1)
	}
	if err == nil {
		_, err = u.link.Send(ctx, link.Message{Topic: topic.System(own, topic.NTPRequest), Payload: body, QoS: 1})
	}
	if err != nil && ctx.Err() == nil {
		u.log.Warn("this machine's clock is not set, and the hub was not asked for the time", "err", err)
	}
}

// answer takes the hub's time; false when nobody asked.
func (c *clock) answer(payload []byte) bool {
	var r message.NTPResponse
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked.IsZero() || codec.Unmarshal(payload, &r) != nil {
		return false
	}
	now := c.machine()
	way := now.Sub(c.asked) / 2
	c.offset = time.UnixMilli(r.ServerSendTime).Add(way).Sub(now)
	c.asked = time.Time{}
	return true
}

// timeOf is the time of a record that the buffer holds: one that was taken in this run, before the hub had told the time, gets it now.
func (u *Uplink) timeOf(t time.Time) time.Time {
	c := &u.clock
	if !t.Before(earliest) || t.Before(c.started.Truncate(time.Millisecond)) {
		return t
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(c.offset)
}

// keyTime is where the last known time is kept, in Unix seconds.
const keyTime = "time"

// keepTime notes the time, for a start without one.
func (u *Uplink) keepTime() {
	if t := u.clock.now(); !t.Before(earliest) {
		u.keep.Put(keyTime, strconv.AppendInt(nil, t.Unix(), 10))
	}
}

// judge is the time that certificates are judged by: where the machine has none, the last one that was known, or that of this program.
func (u *Uplink) judge() time.Time {
	if t := u.clock.now(); !t.Before(earliest) {
		return t
	}
	if n, err := strconv.ParseInt(string(u.keep.Get(keyTime)), 10, 64); err == nil {
		return time.Unix(n, 0)
	}
	return written
}

// written is when this was.
var written = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
