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
	if p, ok := c.nc.(*proxyConn); ok {
		if err := c.unwrap(p); err != nil {
			return err
		}
	}
	if t, ok := c.nc.(*tls.Conn); ok {
		if err := t.HandshakeContext(ctx); err != nil {
			return endWith(CauseTLS, err)
		}
		if c.driven {
			c.mu.Lock()
			c.try = newSecured(t)
			c.mu.Unlock()
		}
	}
	con, err := c.readConnect()
	if err != nil {
		return err
	}
	if err := c.checkConnect(con); err != nil {
		return err
	}
	authData, err := c.authenticate(ctx, con)
	if err != nil {
		return err
	}
	welcome, err := c.srv.owner.Connect(ctx, con)
	if err != nil {
		return c.refused(con, err)
	}
	c.srv.stats.connects.Add(1)
	s, present := c.srv.attach(c, con, &welcome)
	if present && c.five != nil {
		c.five.lenient = c.srv.wheel.after(resumeGrace)
	}
	return s.welcome(c, present && c.version != packet.V31, c.connackProperties(s, con, &welcome, authData))
}

// unwrap reads a proxy's header and goes on with the bare connection, so that it waits as cheaply as any.
func (c *conn) unwrap(p *proxyConn) error {
	if err := p.header(); err != nil {
		return endWith(CauseProtocol, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return endWith(c.cause, nil)
	}
	if c.nc = p.Conn; p.addr != nil {
		addr := p.addr // p is let go
		c.addr = &addr
	}
	c.use(c.nc)
	return nil
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
	switch {
	case errors.Is(err, packet.BadProtocolLevel):
		return nil, c.refuse(packet.BadVersion, packet.UnsupportedVersion, err)
	case err == nil:
		err = h.Check(int(c.lastHeader), p.Level)
	}
	if err != nil {
		return nil, c.malformedConnect(err)
	}
	return c.said(&p), nil
}

// malformedConnect tells a client of 5.0 what is wrong; others are just cut off.
func (c *conn) malformedConnect(err error) error {
	if c.version == packet.V5 {
		c.mu.Lock()
		c.five = &five{}
		o := c.outLocked()
		o.b = packet.AppendConnack5(o.b, false, codeOf(CauseMalformed, err), nil)
		c.mu.Unlock()
	}
	return err
}

// said copies what a CONNECT says.
func (c *conn) said(p *packet.Connect) *Connect {
	con := &Connect{
		ClientID: string(p.ClientID), UserName: string(p.UserName), Clean: p.Clean, KeepAlive: p.KeepAlive,
		Version: p.Level, Remote: c.remote(), Transport: *c.transport, TLS: tlsState(c.nc),
	}
	if p.HasPassword {
		con.Password = append([]byte{}, p.Password...)
	}
	if p.HasWill {
		con.Will = &Will{Topic: string(p.WillTopic), Payload: append([]byte{}, p.WillPayload...), QoS: p.WillQoS, Retain: p.WillRetain}
		c.will = con.Will
	}
	if p.Level == packet.V5 {
		c.said5(con, p)
	} else if !p.Clean {
		con.SessionExpiry = NoExpiry
	}
	return con
}

// said5 takes what only MQTT 5.0 says, and sets the connection up for it.
func (c *conn) said5(con *Connect, p *packet.Connect) {
	f := &five{}
	con.Properties = append(packet.Properties(nil), p.Properties...)
	con.SessionExpiry, _ = p.Properties.Int(packet.SessionExpiry)
	if method, ok := p.Properties.Bytes(packet.AuthMethod); ok {
		con.AuthMethod = string(method)
	}
	want, _ := p.Properties.Int(packet.RequestResponseInfo)
	con.WantsResponseInfo = want == 1
	if problems, ok := p.Properties.Int(packet.RequestProblemInfo); ok {
		f.quiet = problems == 0
	}
	most, _ := p.Properties.Int(packet.MaxPacketSize)
	f.maxPacket = int(most)
	aliases, _ := p.Properties.Int(packet.TopicAliasMax)
	f.aliasMax = min(int(aliases), int(c.srv.cfg.TopicAliasMax))
	c.sendMax = int32(c.srv.cfg.InFlight)
	if most, ok := p.Properties.Int(packet.ReceiveMax); ok {
		c.sendMax = int32(min(uint32(c.sendMax), most))
	}
	if con.Will != nil {
		con.Will.Properties = append(packet.Properties(nil), p.WillProperties...)
		con.Will.Delay, _ = p.WillProperties.Int(packet.WillDelay)
	}
	c.five = f
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
	if con.ClientID == "" {
		if con.Version != packet.V5 && !con.Clean {
			return c.refuse(packet.IdentifierRejected, 0, errors.New("empty client id with a persistent session"))
		}
		con.ClientID = "auto-" + rand.Text()
		c.assigned = true
	}
	if con.Version != packet.V5 && c.srv.cfg.clampKeepAlive(con.KeepAlive) != con.KeepAlive {
		return c.refuse(packet.IdentifierRejected, 0,
			fmt.Errorf("keep-alive %d s is not in %d..%d", con.KeepAlive, c.srv.cfg.KeepAliveMin, c.srv.cfg.KeepAliveMax))
	}
	return nil
}

// clampKeepAlive is the nearest keep-alive within the bounds.
func (c *Config) clampKeepAlive(ka uint16) uint16 {
	switch {
	case ka == 0 && c.KeepAliveMax != 0:
		return c.KeepAliveMax
	case c.KeepAliveMax != 0:
		ka = min(ka, c.KeepAliveMax)
	}
	return max(ka, c.KeepAliveMin)
}

// refused answers an owner's error.
func (c *conn) refused(con *Connect, err error) error {
	var r *Refusal
	code, code5 := packet.ServerUnavailable, packet.Code(0)
	if errors.As(err, &r) && (r.Code != packet.Accepted || r.Code5.Failed()) {
		code, code5 = r.Code, r.Code5
		if code == packet.Accepted {
			code = code5.Connack()
		}
	} else {
		c.srv.log.Error("connect could not be judged", "client", con.ClientID, "remote", con.Remote, "err", err)
	}
	return c.refuse(code, code5, err)
}

// refuse puts a refusing CONNACK into the write buffer; end writes it. code5 is for clients of 5.0, 0 = what code is there.
func (c *conn) refuse(code packet.ConnackCode, code5 packet.Code, err error) error {
	if code5 == 0 {
		code5 = code.Code()
	}
	if int(code) < len(c.srv.stats.refused) {
		c.srv.stats.refused[code].Add(1)
	}
	c.mu.Lock()
	o := c.outLocked()
	if c.version == packet.V5 {
		o.b = packet.AppendConnack5(o.b, false, code5, nil)
	} else {
		o.b = packet.AppendConnack(o.b, false, code)
	}
	c.mu.Unlock()
	c.srv.log.Info("connection refused", "remote", c.remote(), "transport", *c.transport, "code", code.String(), "err", err)
	return endWith(CauseRefused, err)
}

// attach makes the session of an accepted CONNECT the one of its identity. A connection that had the identity is ended
// first, its owner told; what is kept of a persistent session moves over, or is dropped for a clean one.
func (s *Server) attach(c *conn, con *Connect, w *Welcome) (_ *Session, present bool) {
	n := &Session{srv: s, identity: w.Identity, data: w.Data, version: con.Version,
		routed: w.Routed, queueOffline: w.QueueOffline, c: c}
	if n.identity == "" {
		n.identity = con.ClientID
	}
	c.prepare(n, con, w)
	sh := s.shard(n.identity)
	var old *Session
	var will *Will
	for {
		sh.mu.Lock()
		if old = sh.sessions[n.identity]; old == nil {
			break
		}
		var ok bool
		if present, will, ok = n.inherit(old, con.Clean); ok {
			break
		}
		sh.mu.Unlock()
		old.kick(CauseTakenOver)
		<-old.over()
	}
	if w.Present && !con.Clean && !n.Clean() {
		present = true
		n.restore(w)
	}
	sh.sessions[n.identity] = n
	sh.mu.Unlock()
	if old != nil {
		old.publishWill(will)
	}
	return n, present
}

// restore takes what the owner's store has of the session.
func (s *Session) restore(w *Welcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.filters {
		s.srv.unindex(s, s.filters[i].Filter)
	}
	s.filters = append([]Subscription(nil), w.Subscriptions...)
	for i := range s.filters {
		s.srv.index(s, s.filters[i].Filter)
	}
	switch {
	case len(w.Received) == 0:
	case s.in == nil:
		s.in = newInbound(w.Received)
	default:
		s.in.add(w.Received)
	}
}

// prepare sets what an accepted CONNECT says about the connection.
func (c *conn) prepare(s *Session, con *Connect, w *Welcome) {
	c.keepAlive = con.KeepAlive
	switch {
	case w.KeepAlive != 0:
		c.keepAlive = w.KeepAlive
	case con.Version == packet.V5:
		c.keepAlive = c.srv.cfg.clampKeepAlive(con.KeepAlive)
	}
	c.limits.Store(c.srv.limits(w.Limits))
	if c.expiryMax = c.srv.cfg.SessionExpiryMax; w.SessionExpiry != 0 {
		c.expiryMax = w.SessionExpiry
	}
	s.expiry.Store(c.boundExpiry(con.SessionExpiry))
	if c.five != nil {
		c.five.expiry = s.expiry.Load()
	} else {
		c.sendMax = int32(c.srv.cfg.InFlight)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s = s
	if w.Window > 0 {
		c.window = int32(w.Window)
	}
	if c.keepAlive > 0 {
		// 1.5 times the keep-alive (section 3.1.2.10), in a type that has room for it.
		c.silence = int32(c.srv.wheel.ticks(time.Duration(c.keepAlive) * 1500 * time.Millisecond)) // at most 20 million
	}
}

// connackProperties tells a client of 5.0 what it gets of what it asked for, and what it may do.
func (c *conn) connackProperties(s *Session, con *Connect, w *Welcome, authData []byte) (p packet.Properties) {
	if con.Version != packet.V5 {
		return nil
	}
	if expiry := s.Expiry(); expiry != con.SessionExpiry {
		p = packet.AppendInt(p, packet.SessionExpiry, expiry)
	}
	if c.assigned {
		p = packet.AppendBytes(p, packet.AssignedClientID, con.ClientID)
	}
	if c.keepAlive != con.KeepAlive {
		p = packet.AppendInt(p, packet.ServerKeepAlive, uint32(c.keepAlive))
	}
	p = packet.AppendInt(p, packet.ReceiveMax, uint32(min(c.window, 65_535)))
	p = packet.AppendInt(p, packet.MaxPacketSize, uint32(min(c.srv.cfg.MaxPacket, packet.MaxRemaining+5)))
	if c.srv.cfg.TopicAliasMax > 0 {
		p = packet.AppendInt(p, packet.TopicAliasMax, uint32(c.srv.cfg.TopicAliasMax))
	}
	if w.NoQoS2 {
		p = packet.AppendInt(p, packet.MaxQoS, 1)
	}
	if w.NoRetain {
		p = packet.AppendInt(p, packet.RetainAvailable, 0)
	}
	if con.AuthMethod != "" {
		p = packet.AppendBytes(p, packet.AuthMethod, con.AuthMethod)
		if authData != nil {
			p = packet.AppendBytes(p, packet.AuthData, authData)
		}
	}
	if con.WantsResponseInfo && w.ResponseInfo != "" {
		p = packet.AppendBytes(p, packet.ResponseInfo, w.ResponseInfo)
	}
	return append(p, w.Properties...)
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
		c.srv.wheel.add(&c.timed, c.srv.wheel.now.Load()+int64(silence)+1)
	}
	c.srv.owner.Attached(s)
	s.mu.Lock()
	s.attached = true
	if s.late != nil {
		s.refillLocked(c)
	}
	s.mu.Unlock()
	return nil
}
