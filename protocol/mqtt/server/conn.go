package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// conn is one network connection. Its goroutine reads and handles packets, one after the other; any goroutine
// may append to what goes out. Idle, it holds no buffer: there may be very many of them, so its numbers are no larger than they must be.
type conn struct {
	srv       *Server
	nc        net.Conn
	try       tryConn   // nc's non-blocking side, nil when it has none
	addr      *net.Addr // the client's as a proxy says, nil without
	transport *string   // its listener's
	five      *five     // what only MQTT 5.0 has; nil for others

	// What was read and not handled: in.buf[r:w]. Only the connection's goroutine touches these, down to limits.
	in    *chunk
	small *[16]byte // what a transport without a non-blocking side reads into while idle, nil for others
	will  *Will
	inbox *inbound // the session's, once a QoS 2 publish has come
	r, w  int32
	need  int32 // size of the packet that begins at r, 0 = unknown
	ahead int32 // bytes from r on whose pings are answered
	early int32 // pings answered and still to come

	expiryMax  uint32 // most seconds of session expiry, 0 = no bound
	keepAlive  uint16 // seconds, as judged
	version    byte
	lastHeader uint8 // length of the fixed header of the packet that was read last
	full       bool
	assigned   bool          // the client id is ours
	driven     bool          // idle, the connection needs no goroutine: its transport calls ready
	awake      bool          // bytes may have come before the transport knew whom to tell
	begun      bool          // the handshake is over
	served     bool          // the owner was told
	more       bool          // a read is worth trying: see readable
	silence    int32         // ticks without a byte that end the connection, 0 = none; set before CONNACK
	state      atomic.Uint32 // whether a goroutine is at work

	limits atomic.Pointer[limits] // nil without any; what it points to is the connection's goroutine's

	lastRead atomic.Int64 // tick of the last byte read

	timed timed // the connection's place in the wheel

	mu       sync.Mutex // guards the fields below; taken after Session.mu
	s        *Session   // nil until CONNECT was accepted
	out      *outbuf    // bytes to write, nil when there are none
	wake     chan struct{}
	acks     *ackRing // nil until the first publish
	writerFn func()   // c.writer, made once: starting it allocates nothing
	unavail  int64    // tick at which an unavailable store ends the connection, 0 = store available
	wakeAt   int32    // it wants to be woken when pending is at most this
	window   int32
	sendMax  int32 // QoS 1 and 2 messages that may be unacknowledged at once: ours and the client's bound
	pending  int32 // publishes with the owner
	owed1    int32 // PUBACKs owed
	writing  bool  // a writer goroutine is at work and will take out when it is done
	corked   bool  // the connection's goroutine is handling packets and will flush before it reads
	dirty    bool  // in the flusher's list
	closed   bool
	draining bool
	welcomed bool // CONNACK is out: the connect deadline is over
	waiting  bool // the connection's goroutine waits on wake
	cause    Cause
}

// tryConn is what a transport can do without blocking.
type tryConn interface {
	// fill reads into c's chunk, waiting for bytes without holding one.
	fill(c *conn) (int, error)
	// fillNow reads into c's chunk what there is, without waiting.
	fillNow(c *conn) (int, error)
	// tryWrite writes what the transport takes at once; 0 bytes without an error means none.
	tryWrite(b []byte) (int, error)
}

// telling is a transport that calls ready when there may be bytes. Once c parks, fill does not wait but ends with errIdle.
type telling interface {
	tryConn
	// tell has c told from now on; it returns true when there may have been bytes before.
	tell(c *conn) bool
}

func newConn(s *Server, nc net.Conn, transport *string) *conn {
	c := &conn{srv: s, nc: nc, transport: transport, window: int32(s.cfg.Window), corked: true}
	c.timed.what = c
	if _, ok := nc.(*proxyConn); !ok { // else when its header is read
		c.use(nc)
	}
	c.lastRead.Store(s.wheel.now.Load())
	return c
}

// use sets what nc can do beside net.Conn.
func (c *conn) use(nc net.Conn) {
	c.try = newTryConn(nc)
	t, ok := c.try.(telling)
	if !ok {
		t = tellingBelow(nc)
	}
	if t != nil && c.srv.cfg.Driver == DriverAuto {
		c.driven = true
		c.awake = t.tell(c)
	}
}

// start has the connection served: from its first byte on where the transport tells of that.
func (c *conn) start() {
	if c.driven {
		if c.awake || !c.state.CompareAndSwap(stateRunning, stateParked) {
			c.srv.workers.run(c)
		}
		return
	}
	go c.run()
}

// run is a connection's first goroutine when it has one for its life: it shakes hands, and goes on in a fresh one, so that the deep stack of
// a TLS handshake or an owner's login is not kept for the life of the connection.
func (c *conn) run() {
	err := c.handshake()
	if err != nil {
		c.end(err)
		return
	}
	c.begun = true
	if c.driven { // since a proxy's header was read
		c.srv.workers.run(c)
		return
	}
	go c.serve()
}

// serve handles packets until the connection ends.
func (c *conn) serve() {
	err := c.attached()
	for err == nil {
		err = c.step()
	}
	c.end(err)
}

// step handles one packet.
func (c *conn) step() error {
	h, body, err := c.next()
	if err != nil {
		return err
	}
	return c.handle(h, body)
}

// ending is an error that names the cause of the connection's end.
type ending struct {
	cause Cause
	code  packet.Code // what a client of 5.0 is told; 0 = what the cause says
	err   error
}

func (e *ending) Error() string {
	if e.err == nil {
		return e.cause.String()
	}
	return e.cause.String() + ": " + e.err.Error()
}

func (e *ending) Unwrap() error { return e.err }

func endWith(cause Cause, err error) error { return &ending{cause: cause, err: err} }

func endCode(cause Cause, code packet.Code, err error) error { return &ending{cause, code, err} }

// causeOf finds why err ends a connection.
func causeOf(err error) Cause {
	var e *ending
	var r packet.Reason
	switch {
	case errors.As(err, &e):
		return e.cause
	case errors.As(err, &r):
		return CauseMalformed
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return CauseEOF
	}
	return CauseNetwork
}

// close ends the connection from any goroutine; the first cause counts.
func (c *conn) close(cause Cause) {
	c.mu.Lock()
	c.closeLocked(cause)
	c.mu.Unlock()
}

func (c *conn) closeLocked(cause Cause) {
	if c.closed {
		return
	}
	c.closeTellingLocked(cause, cause.code())
}

// closeTellingLocked closes, and tells a client of 5.0 why.
func (c *conn) closeTellingLocked(cause Cause, code packet.Code) {
	c.closed, c.cause = true, cause
	c.signalLocked()
	if !c.partLocked(code) {
		abort(c.nc)
	}
	c.ready()
}

// drain asks the connection's goroutine to stop reading, wait for acknowledgements in hand and end.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.welcomed {
		c.closeLocked(CauseShutdown)
		return
	}
	c.draining = true
	c.signalLocked()
	if c.driven {
		c.ready()
		return
	}
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// end is the last thing a connection's goroutine does. Who says goodbye may come back when the socket has closed, and must then find
// the session as it left it: so the owner is told before.
func (c *conn) end(err error) {
	cause := causeOf(err)
	c.settle(cause)
	c.mu.Lock()
	late := !c.closed && (cause == CauseDisconnect || cause == CauseDisconnectWill)
	switch {
	case late:
		c.closed, c.cause = true, cause
	case !c.closed:
		c.closeTellingLocked(cause, codeOf(cause, err))
	}
	cause = c.cause
	if c.out != nil && !c.writing {
		c.srv.pools.putOut(c.out)
		c.out = nil
	}
	c.mu.Unlock()
	c.parted()
	c.srv.wheel.remove(&c.timed)
	c.count(cause, err)
	if late {
		c.leave(cause)
		abort(c.nc)
	}
	if t, ok := c.nc.(*tls.Conn); ok {
		_ = t.Close() // the socket is closed already; this frees what TLS holds
	}
	if c.in != nil {
		c.srv.pools.release(c.in)
		c.in = nil
	}
	if !late {
		c.leave(cause)
	}
	c.srv.open.Add(-1)
	c.srv.mu.Lock()
	delete(c.srv.conns, c)
	c.srv.mu.Unlock()
	c.srv.wg.Done()
}

// leave ends the session's connection, if there is a session.
func (c *conn) leave(cause Cause) {
	c.mu.Lock()
	s := c.s
	c.mu.Unlock()
	if s != nil {
		s.end(c, cause)
	}
}

// settle writes out what a graceful end still owes the client: the CONNACK of a refusal, acknowledgements in hand at shutdown.
func (c *conn) settle(cause Cause) {
	switch cause {
	case CauseShutdown:
		_ = c.waitUntil(0, func() bool { return c.pending == 0 || c.unavail != 0 })
	case CauseRefused:
	case CauseMalformed, CauseProtocol: // a refusing CONNACK may be in hand; a client that sends such things is not waited for
		c.mu.Lock()
		c.flushLocked()
		c.mu.Unlock()
		return
	case CauseDisconnect, CauseDisconnectWill:
		c.mu.Lock()
		c.flushLocked() // acknowledgements that the client may still read; nobody waits for it
		c.mu.Unlock()
		return
	default:
		return
	}
	c.mu.Lock()
	c.flushLocked()
	c.mu.Unlock()
	_ = c.waitUntil(never, func() bool { return c.out == nil && !c.writing })
}

func (c *conn) count(cause Cause, err error) {
	c.srv.stats.closed[cause].Add(1)
	var r packet.Reason
	if errors.As(err, &r) {
		c.srv.stats.broken[r].Add(1)
	}
	identity := ""
	if c.s != nil {
		identity = c.s.identity
	}
	c.srv.log.Debug("connection ended", "identity", identity, "remote", c.remote(), "transport", *c.transport,
		"cause", cause.String(), "err", err)
}

func (c *conn) remote() string {
	a := c.nc.RemoteAddr()
	if c.addr != nil {
		a = *c.addr
	}
	if a != nil {
		return a.String()
	}
	return ""
}

// checkDeadline is called by the wheel; it returns the tick of the next look, 0 for none.
func (c *conn) checkDeadline(now int64) (next int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0
	case !c.welcomed:
		c.closeLocked(CauseConnectTimeout)
		return 0
	case c.unavail != 0:
		if now >= c.unavail {
			c.closeLocked(CauseUnavailable)
			return 0
		}
		return c.unavail
	case c.silence == 0:
		return 0
	}
	last := c.lastRead.Load()
	if c.waiting || c.corked {
		last = now // it is we who are not reading
	}
	if now > last+int64(c.silence) {
		c.closeLocked(CauseKeepAlive)
		return 0
	}
	return last + int64(c.silence) + 1
}

// late is called by the wheel when it was held up: bytes that were read meanwhile may have come at its end.
func (c *conn) late(from, now int64) { c.lastRead.CompareAndSwap(from, now) }

// never is a wakeAt that no number of pending publishes reaches.
const never = -1

// signalLocked wakes the connection's goroutine if it waits.
func (c *conn) signalLocked() {
	if !c.waiting {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// waitUntil blocks the connection's goroutine until ok, judged under mu, or the connection is closed, which is its error.
// Bytes in hand are written first. It is woken when pending is at most wakeAt, and by writer, close and drain.
func (c *conn) waitUntil(wakeAt int32, ok func() bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waitUntilLocked(wakeAt, ok)
}

func (c *conn) waitUntilLocked(wakeAt int32, ok func() bool) error {
	if !c.closed && !ok() {
		c.flushLocked()
	}
	for !c.closed && !ok() {
		if c.wake == nil {
			c.wake = make(chan struct{}, 1)
		}
		c.waiting, c.wakeAt, c.corked = true, wakeAt, false
		c.mu.Unlock()
		<-c.wake
		c.mu.Lock()
		c.waiting, c.corked = false, true
	}
	if c.closed {
		return endWith(c.cause, nil)
	}
	return nil
}

// readError says what the failure of a read means.
func (c *conn) readError(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return endWith(c.cause, nil)
	case c.draining && errors.Is(err, os.ErrDeadlineExceeded):
		return endWith(CauseShutdown, nil)
	}
	return err
}
