package server

import (
	"io"
	"runtime"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// minRead is the least room worth a read.
const minRead = 512

// next returns the next packet, reading when there is none in hand. body is valid until the next call, unless a
// reference to c.in is taken.
func (c *conn) next() (h packet.Header, body []byte, err error) {
	for {
		if c.r < c.w {
			h, n, err := packet.ParseHeader(c.in.buf[c.r:c.w])
			if err != nil {
				return h, nil, err
			}
			if n > 0 {
				if err := c.checkHeader(h, n); err != nil {
					return h, nil, err
				}
				total := n + h.Remaining
				if total > c.srv.cfg.MaxPacket {
					return h, nil, endWith(CauseTooLarge, nil)
				}
				if int(c.w-c.r) >= total {
					start, end := int(c.r)+n, int(c.r)+total
					body = c.in.buf[start:end:end]
					c.r = int32(end)
					c.need, c.lastHeader = 0, uint8(n)
					c.ahead = max(0, c.ahead-int32(total))
					return h, body, nil
				}
				c.need = int32(total)
			}
		}
		if err := c.fill(); err != nil {
			return h, nil, err
		}
	}
}

// checkHeader holds a header against the connection's version, which is not known before CONNECT.
func (c *conn) checkHeader(h packet.Header, n int) error {
	if c.version == 0 {
		return nil
	}
	return h.Check(n, c.version)
}

// fill writes what is in hand and reads at least one byte.
func (c *conn) fill() error {
	if err := c.beforeRead(); err != nil {
		return err
	}
	if c.full { // the peer sends as fast as it can: others that wait for a processor come first
		runtime.Gosched()
	}
	n, err := c.read()
	if n > 0 {
		c.w += int32(n)
		c.full = int(c.w) == len(c.in.buf)
		c.lastRead.Store(c.srv.wheel.now.Load())
		c.srv.stats.bytesIn.Add(uint64(n))
		c.mu.Lock()
		c.corked = true
		c.mu.Unlock()
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return c.readError(err)
}

// beforeRead lets go of the cork.
func (c *conn) beforeRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushLocked()
	c.corked = false
	switch {
	case c.closed:
		return endWith(c.cause, nil)
	case c.draining:
		return endWith(CauseShutdown, nil)
	}
	return nil
}

func (c *conn) read() (int, error) {
	if c.try != nil {
		return c.try.fill(c)
	}
	return c.readWaiting()
}

// readWaiting waits for bytes with no more than a few bytes of room.
func (c *conn) readWaiting() (int, error) {
	c.dropIdleChunk()
	if c.in != nil {
		return c.nc.Read(c.room())
	}
	if c.small == nil {
		c.small = new([16]byte)
	}
	n, err := c.nc.Read(c.small[:])
	if n > 0 {
		copy(c.room(), c.small[:n])
	}
	return n, err
}

// dropIdleChunk gives the chunk back when nothing of it is waiting for the rest of a packet.
func (c *conn) dropIdleChunk() {
	if c.in != nil && c.r == c.w {
		c.srv.pools.release(c.in)
		c.in, c.r, c.w = nil, 0, 0
	}
}

// room returns the free part of the chunk, taking a chunk when there is none and a larger one when a packet does not fit.
// It never takes much more than has been received: a packet that announces a size and does not come costs little.
func (c *conn) room() []byte {
	size := chunkSizes[0]
	if c.full {
		size = chunkSizes[2] // the last chunk was filled: the peer has more to say
	}
	if c.in == nil {
		c.in = c.srv.pools.chunk(size)
		c.r, c.w = 0, 0
		return c.in.buf
	}
	held, need := int(c.w-c.r), int(c.need)
	alone := c.in.refs.Load() == 1
	if held == 0 && alone {
		c.r, c.w = 0, 0
	}
	free := len(c.in.buf) - int(c.w)
	if free >= max(need-held, 1) && (free >= minRead || need > 0) {
		return c.in.buf[c.w:]
	}
	roomy := !c.full || len(c.in.buf) >= size // a peer that fills chunks gets a larger one instead of many reads
	if want := max(need, held+1); alone && c.r > 0 && want <= len(c.in.buf) && roomy {
		copy(c.in.buf, c.in.buf[c.r:c.w])
	} else {
		grown := c.srv.pools.chunk(max(min(need, 4*held), held+1, size))
		copy(grown.buf, c.in.buf[c.r:c.w])
		c.srv.pools.release(c.in)
		c.in = grown
	}
	c.r, c.w = 0, int32(held)
	return c.in.buf[c.w:]
}
