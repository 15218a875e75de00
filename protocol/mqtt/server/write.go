package server

import (
	"errors"
	"os"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// highWater is how many bytes may wait for a client that does not read before its messages are queued and its packets are left unread.
const highWater = 32 << 10

// earlyFlush is how many bytes of acknowledgements gather at most while the connection's goroutine handles packets.
const earlyFlush = 4 << 10

// writeSlice is how much of a large write must be taken within Config.WriteTimeout.
const writeSlice = 4 << 10

// outLocked returns the buffer to append to.
func (c *conn) outLocked() *outbuf {
	if c.out == nil {
		c.out = c.srv.pools.out()
	}
	return c.out
}

// reply appends a packet that answers one of the client's.
func (c *conn) reply(t packet.Type, id uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	o := c.outLocked()
	if t == packet.PINGRESP {
		o.b = packet.AppendEmpty(o.b, t)
	} else {
		o.b = packet.AppendID(o.b, t, id)
	}
}

// replyCode is reply with a reason code, which clients before 5.0 do not get.
func (c *conn) replyCode(t packet.Type, id uint16, code packet.Code) {
	if c.version != packet.V5 {
		c.reply(t, id)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		o := c.outLocked()
		o.b = packet.AppendAck5(o.b, t, id, code, nil)
	}
}

// waitingBytesLocked is how much the client has not taken yet.
func (c *conn) waitingBytesLocked() int {
	if c.out == nil {
		return 0
	}
	return len(c.out.b)
}

// writableLocked reports whether a message may be appended now.
func (c *conn) writableLocked() bool {
	if c.waitingBytesLocked() >= highWater {
		c.flushLocked()
	}
	return c.waitingBytesLocked() < highWater
}

// flushUncorkedLocked flushes, unless the connection's goroutine is about to.
func (c *conn) flushUncorkedLocked() {
	if !c.corked {
		c.flushLocked()
	}
}

// flushLocked writes what the transport takes at once, and leaves the rest to a writer goroutine.
func (c *conn) flushLocked() {
	if c.out == nil || c.writing || c.closed {
		return
	}
	if c.try != nil {
		n, err := c.try.tryWrite(c.out.b)
		if n > 0 {
			c.srv.stats.writes.Add(1)
			c.srv.stats.bytesOut.Add(uint64(n))
		}
		if err != nil {
			c.closeLocked(CauseNetwork)
			return
		}
		if n == len(c.out.b) && !c.lagsLocked() {
			c.srv.pools.putOut(c.out)
			c.out = nil
			return
		}
		c.out.b = append(c.out.b[:0], c.out.b[n:]...)
	}
	c.writing = true
	if c.writerFn == nil {
		c.writerFn = c.writer
	}
	go c.writerFn()
}

// lagging is a transport that takes bytes before the socket does.
type lagging interface {
	// lags tells whether some of what was taken is not written.
	lags() bool
	// flush waits until all is; os.ErrDeadlineExceeded when that is not before by.
	flush(by time.Time) error
}

func (c *conn) lagsLocked() bool {
	l, ok := c.try.(lagging)
	return ok && l.lags()
}

// writer writes, blocking, until there is nothing left. It exists only meanwhile.
func (c *conn) writer() {
	c.mu.Lock()
	for c.out != nil && (!c.closed || c.partingLocked()) {
		o := c.out
		c.out = nil
		patience := c.srv.cfg.WriteTimeout
		if c.closed {
			patience = partWait
		}
		c.signalLocked() // there is room again for answers
		c.mu.Unlock()
		err := c.writeAll(o.b, patience)
		c.srv.pools.putOut(o)
		c.mu.Lock()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.closeLocked(CauseSlowReader)
		case err != nil:
			c.closeLocked(CauseNetwork)
		case c.s != nil && !c.closed:
			s := c.s
			c.mu.Unlock() // Session.mu comes before conn.mu
			s.pump(c)
			c.mu.Lock()
		}
	}
	c.writing = false
	if c.partingLocked() {
		abort(c.nc)
		close(c.five.parted)
	}
	if c.closed && c.out != nil {
		c.srv.pools.putOut(c.out)
		c.out = nil
	}
	c.signalLocked()
	c.mu.Unlock()
}

func (c *conn) writeAll(b []byte, patience time.Duration) error {
	if l, ok := c.try.(lagging); ok {
		return c.writeLagging(l, b, patience)
	}
	for len(b) > 0 {
		n := min(len(b), writeSlice)
		if err := c.nc.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		n, err := c.nc.Write(b[:n])
		c.srv.stats.writes.Add(1)
		c.srv.stats.bytesOut.Add(uint64(n))
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return c.nc.SetWriteDeadline(time.Time{})
}

// writeLagging is writeAll for a transport that takes all at once: it gets a slice when the one before is written.
func (c *conn) writeLagging(l lagging, b []byte, patience time.Duration) error {
	for {
		if err := l.flush(time.Now().Add(patience)); err != nil || len(b) == 0 {
			return err
		}
		n, err := c.nc.Write(b[:min(len(b), writeSlice)])
		c.srv.stats.writes.Add(1)
		c.srv.stats.bytesOut.Add(uint64(n))
		if err != nil {
			return err
		}
		b = b[n:]
	}
}
