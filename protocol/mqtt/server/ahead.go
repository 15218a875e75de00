package server

import (
	"crypto/tls"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// A connection whose publishes are held back, by a full window or its rate, still answers pings: a client that gets no
// PINGRESP gives the connection up, although nothing is wrong with it. So while it waits, the connection reads a
// bounded piece ahead and answers the pings that it finds there. They are not answered again when their turn comes.
const (
	// aheadLimit is how many bytes are read ahead at most.
	aheadLimit = 64 << 10
	// aheadPause is the time between looks.
	aheadPause = 500 * time.Millisecond
)

// holdBack is waitUntil for a publish that has to wait; ok is judged under mu.
func (c *conn) holdBack(wakeAt int32, ok func() bool) error {
	c.srv.stats.paused.Add(1)
	looked := time.Now()
	c.answerPings()
	timer := time.AfterFunc(aheadPause, func() {
		c.mu.Lock()
		c.signalLocked()
		c.mu.Unlock()
	})
	defer timer.Stop()
	for {
		due := false
		err := c.waitUntil(wakeAt, func() bool {
			due = time.Since(looked) >= aheadPause
			return due || ok()
		})
		if err != nil || !due {
			return err
		}
		c.readAhead()
		c.answerPings()
		looked = time.Now()
		timer.Reset(aheadPause)
	}
}

// answerPings answers pings among the bytes that were read and not handled.
func (c *conn) answerPings() {
	for c.r+c.ahead < c.w {
		h, n, err := packet.ParseHeader(c.in.buf[c.r+c.ahead : c.w])
		if err != nil || n == 0 {
			return // whatever is wrong is found in its turn
		}
		if h.Type == packet.PINGREQ {
			c.early++
			c.reply(packet.PINGRESP, 0)
		}
		c.ahead += int32(n + h.Remaining)
	}
}

// readAhead reads what there is without waiting. An error comes again when the reading goes on.
func (c *conn) readAhead() {
	held := c.w - c.r
	if held >= aheadLimit {
		return
	}
	c.need = min(2*held+minRead, aheadLimit)
	n := 0
	t, secure := c.nc.(*tls.Conn)
	switch {
	case c.try != nil:
		n, _ = c.try.fillNow(c)
	case secure:
		// TLS has no reading without waiting; a deadline leaves its state intact.
		_ = t.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, _ = t.Read(c.room())
		_ = t.SetReadDeadline(time.Time{})
	}
	c.need = 0
	c.w += int32(n)
	c.srv.stats.bytesIn.Add(uint64(n))
}
