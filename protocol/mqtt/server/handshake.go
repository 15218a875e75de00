package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// handshake goes from an accepted connection to a session with its CONNACK written.
func (c *conn) handshake() error {
	ctx, cancel := context.WithTimeout(c.srv.base, c.srv.cfg.ConnectTimeout)
	defer cancel()
	if t, ok := c.nc.(*tls.Conn); ok {
		if err := t.HandshakeContext(ctx); err != nil {
			return endWith(CauseTLS, err)
		}
	}
	con, err := c.readConnect()
	if err != nil {
		return err
	}
	if err := c.checkConnect(con); err != nil {
		return err
	}
	welcome, err := c.srv.owner.Connect(ctx, con)
	if err != nil {
		return c.refused(con, err)
	}
	c.srv.stats.connects.Add(1)
	s, present := c.srv.attach(c, con, &welcome)
	return s.welcome(c, present && c.version != packet.V31)
}

// readConnect reads the first packet, which must be CONNECT.
func (c *conn) readConnect() (*Connect, error) {
	h, body, err := c.next()
	if err != nil {
		return nil, err
	}
	if h.Type != packet.CONNECT {
		return nil, endWith(CauseProtocol, fmt.Errorf("first packet is %s", h.Type))
	}
	var p packet.Connect
	err = packet.DecodeConnect(body, &p)
	c.version = p.Level
	if err == nil && p.Level == packet.V5 {
		err = packet.BadProtocolLevel
	}
	if errors.Is(err, packet.BadProtocolLevel) {
		return nil, c.refuse(packet.BadVersion, err)
	}
	if err != nil {
		return nil, err
	}
	con := &Connect{
		ClientID: string(p.ClientID), UserName: string(p.UserName), Clean: p.Clean, KeepAlive: p.KeepAlive,
		Version: p.Level, Remote: c.remote(), Transport: c.transport, TLS: tlsState(c.nc),
	}
	if p.HasPassword {
		con.Password = append([]byte{}, p.Password...)
	}
	if p.HasWill {
		con.Will = &Will{Topic: string(p.WillTopic), Payload: append([]byte{}, p.WillPayload...), QoS: p.WillQoS, Retain: p.WillRetain}
		c.will = con.Will
	}
	return con, nil
}

// tlsState finds the TLS state of a connection, that of the HTTP request for a WebSocket.
func tlsState(nc any) *tls.ConnectionState {
	switch t := nc.(type) {
	case *tls.Conn:
		state := t.ConnectionState()
		return &state
	case *wsConn:
		return t.tls
	}
	return nil
}

// checkConnect applies the rules that need no owner.
func (c *conn) checkConnect(con *Connect) error {
	cfg := &c.srv.cfg
	ka := con.KeepAlive
	switch {
	case con.ClientID == "" && !con.Clean:
		return c.refuse(packet.IdentifierRejected, errors.New("empty client id with a persistent session"))
	case ka < cfg.KeepAliveMin, cfg.KeepAliveMax != 0 && (ka == 0 || ka > cfg.KeepAliveMax):
		return c.refuse(packet.IdentifierRejected, fmt.Errorf("keep-alive %d s is not in %d..%d", ka, cfg.KeepAliveMin, cfg.KeepAliveMax))
	}
	return nil
}

// refused answers an owner's error.
func (c *conn) refused(con *Connect, err error) error {
	var r *Refusal
	code := packet.ServerUnavailable
	if errors.As(err, &r) && r.Code != packet.Accepted {
		code = r.Code
	} else {
		c.srv.log.Error("connect could not be judged", "client", con.ClientID, "remote", con.Remote, "err", err)
	}
	return c.refuse(code, err)
}

// refuse puts a refusing CONNACK into the write buffer; end writes it.
func (c *conn) refuse(code packet.ConnackCode, err error) error {
	if int(code) < len(c.srv.stats.refused) {
		c.srv.stats.refused[code].Add(1)
	}
	c.mu.Lock()
	o := c.outLocked()
	if c.version == packet.V5 {
		o.b = packet.AppendConnack5(o.b, false, packet.UnsupportedVersion, nil)
	} else {
		o.b = packet.AppendConnack(o.b, false, code)
	}
	c.mu.Unlock()
	c.srv.log.Info("connection refused", "remote", c.remote(), "transport", c.transport, "code", code.String(), "err", err)
	return endWith(CauseRefused, err)
}

// attach makes the session of an accepted CONNECT the one of its identity. A connection that had the identity is ended
// first, its owner told; what is kept of a persistent session moves over, or is dropped for a clean one.
func (s *Server) attach(c *conn, con *Connect, w *Welcome) (_ *Session, present bool) {
	n := &Session{srv: s, identity: w.Identity, data: w.Data, clean: con.Clean, remote: con.Remote, c: c}
	if n.identity == "" {
		n.identity = con.ClientID
	}
	if n.identity == "" {
		n.identity = "auto-" + rand.Text()
	}
	sh := s.shard(n.identity)
	for {
		sh.mu.Lock()
		old := sh.sessions[n.identity]
		if old == nil || n.inherit(old, &present) {
			break
		}
		sh.mu.Unlock()
		old.kick(CauseTakenOver)
		<-old.over()
	}
	if !n.clean && w.Present {
		present = true
		n.filters = append([]Subscription(nil), w.Subscriptions...)
	}
	sh.sessions[n.identity] = n
	sh.mu.Unlock()
	c.prepare(n, con, w)
	return n, present
}

// prepare sets what an accepted CONNECT says about the connection.
func (c *conn) prepare(s *Session, con *Connect, w *Welcome) {
	keepAlive := con.KeepAlive
	if w.KeepAlive != 0 {
		keepAlive = w.KeepAlive
	}
	msgs, bytes := c.srv.cfg.Rate, c.srv.cfg.ByteRate
	if w.Rate != 0 {
		msgs = w.Rate
	}
	if w.ByteRate != 0 {
		bytes = w.ByteRate
	}
	c.rate = newRate(msgs, bytes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s = s
	if w.Window > 0 {
		c.window = w.Window
	}
	if keepAlive > 0 {
		// 1.5 times the keep-alive (section 3.1.2.10), in a type that has room for it.
		c.silence = c.srv.wheel.ticks(time.Duration(keepAlive) * 1500 * time.Millisecond)
	}
}

// attached tells the owner, unless the connection is already over.
func (c *conn) attached() error {
	c.mu.Lock()
	s, closed, cause := c.s, c.closed, c.cause
	silence := c.silence
	c.mu.Unlock()
	if closed {
		return endWith(cause, nil)
	}
	if silence > 0 {
		c.srv.wheel.add(c, c.srv.wheel.now.Load()+silence+1)
	}
	c.srv.owner.Attached(s)
	return nil
}
