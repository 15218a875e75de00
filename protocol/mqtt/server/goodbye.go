package server

import (
	"errors"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// partWait is how long a DISCONNECT to a client that does not read is waited for, where writing may block.
const partWait = time.Second

// codeOf finds the reason code that tells of an end.
func codeOf(cause Cause, err error) packet.Code {
	var e *ending
	var r packet.Reason
	switch {
	case errors.As(err, &e) && e.code != 0:
		return e.code
	case errors.As(err, &r):
		return r.Code()
	}
	return cause.code()
}

// partLocked tells a client of 5.0 why its connection ends. It returns true when that may take a while: then the writer aborts the
// connection.
func (c *conn) partLocked(code packet.Code) (later bool) {
	if c.version != packet.V5 || !c.welcomed || code == 0 || c.writing && c.try != nil {
		return false
	}
	o := c.outLocked()
	o.b = packet.AppendReason5(o.b, packet.DISCONNECT, code, nil)
	if c.try != nil {
		if n, err := c.try.tryWrite(o.b); err == nil {
			c.srv.stats.bytesOut.Add(uint64(n))
		}
		return false
	}
	c.five.parted = make(chan struct{})
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // the connection's goroutine ends its read
	_ = c.nc.SetWriteDeadline(time.Now().Add(partWait))
	if !c.writing {
		c.writing = true
		go c.writer()
	}
	return true
}

// partingLocked tells whether the writer has to write although the connection is closed.
func (c *conn) partingLocked() bool { return c.five != nil && c.five.parted != nil }

// parted waits until DISCONNECT is written.
func (c *conn) parted() {
	if c.five == nil {
		return
	}
	c.mu.Lock()
	done := c.five.parted
	c.mu.Unlock()
	if done != nil {
		<-done
	}
}

// disconnect acts on the client's DISCONNECT.
func (c *conn) disconnect(body []byte) error {
	if c.version != packet.V5 {
		if err := packet.DecodeEmpty(body); err != nil {
			return err
		}
		return endWith(CauseDisconnect, nil)
	}
	code, p, err := packet.DecodeReason5(packet.DISCONNECT, body)
	if err != nil {
		return err
	}
	if expiry, ok := p.Int(packet.SessionExpiry); ok {
		if c.five.expiry == 0 && expiry != 0 {
			return endWith(CauseProtocol, errors.New("session expiry in DISCONNECT of a session that had none"))
		}
		c.s.expiry.Store(c.boundExpiry(expiry))
	}
	if code != packet.Success {
		return endWith(CauseDisconnectWill, nil)
	}
	return endWith(CauseDisconnect, nil)
}

// boundExpiry is a session expiry within the server's bound.
func (c *conn) boundExpiry(asked uint32) uint32 {
	if most := c.expiryMax; most != 0 {
		return min(asked, most)
	}
	return asked
}
