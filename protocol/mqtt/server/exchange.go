package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

var errAuthMethod = errors.New("authentication method is not that of CONNECT")

// authenticate runs the enhanced authentication that a CONNECT of 5.0 asks for; data goes into CONNACK.
func (c *conn) authenticate(ctx context.Context, con *Connect) (data []byte, err error) {
	if con.AuthMethod == "" {
		return nil, nil
	}
	a, ok := c.srv.owner.(Authenticator)
	if !ok {
		return nil, c.refuse(packet.NotAuthorized, packet.BadAuthMethod, errors.New("enhanced authentication is not known here"))
	}
	x := &Exchange{Method: con.AuthMethod, Connect: con}
	con.Auth, c.five.auth = x, x
	data, _ = con.Properties.Bytes(packet.AuthData)
	for {
		reply, more, err := a.Authenticate(ctx, x, data)
		if err != nil {
			return nil, c.refused(con, err)
		}
		if !more {
			return reply, nil
		}
		c.sendAuth(packet.ContinueAuthentication, x.Method, reply)
		if data, err = c.nextAuth(x.Method); err != nil {
			return nil, err
		}
	}
}

// nextAuth reads the client's next step before CONNACK.
func (c *conn) nextAuth(method string) ([]byte, error) {
	h, body, err := c.next()
	if err != nil {
		return nil, err
	}
	switch h.Type {
	case packet.AUTH:
	case packet.DISCONNECT:
		return nil, endWith(CauseDisconnect, nil)
	default:
		return nil, endWith(CauseProtocol, fmt.Errorf("%s during authentication", h.Type))
	}
	code, data, err := readAuth(body, method)
	if err == nil && code != packet.ContinueAuthentication {
		err = endWith(CauseProtocol, errAuthMethod)
	}
	return data, err
}

func readAuth(body []byte, method string) (code packet.Code, data []byte, err error) {
	code, p, err := packet.DecodeReason5(packet.AUTH, body)
	if err != nil {
		return 0, nil, err
	}
	if m, _ := p.Bytes(packet.AuthMethod); string(m) != method {
		return 0, nil, endWith(CauseProtocol, errAuthMethod)
	}
	data, _ = p.Bytes(packet.AuthData)
	return code, data, nil
}

// sendAuth writes an AUTH. It is out before the next packet is read.
func (c *conn) sendAuth(code packet.Code, method string, data []byte) {
	p := packet.AppendBytes(nil, packet.AuthMethod, method)
	if data != nil {
		p = packet.AppendBytes(p, packet.AuthData, data)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		o := c.outLocked()
		o.b = packet.AppendReason5(o.b, packet.AUTH, code, p)
	}
}

// renew takes a step of an authentication anew, or starts one.
func (c *conn) renew(body []byte) error {
	if c.version != packet.V5 || c.five.auth == nil {
		return endWith(CauseProtocol, errors.New("AUTH without an authentication method"))
	}
	f := c.five
	code, data, err := readAuth(body, f.auth.Method)
	if err != nil {
		return err
	}
	switch {
	case code == packet.Reauthenticate && f.renewal == nil:
		f.renewal = &Exchange{Method: f.auth.Method, Connect: f.auth.Connect, Session: c.s}
	case code != packet.ContinueAuthentication || f.renewal == nil:
		return endWith(CauseProtocol, fmt.Errorf("AUTH with %s out of turn", code))
	}
	c.uncork() // the owner may block
	defer c.cork()
	ctx, cancel := context.WithTimeout(c.srv.base, c.srv.cfg.ConnectTimeout)
	defer cancel()
	reply, more, err := c.srv.owner.(Authenticator).Authenticate(ctx, f.renewal, data)
	switch {
	case err != nil:
		return endWith(CauseAuth, err)
	case more:
		c.sendAuth(packet.ContinueAuthentication, f.auth.Method, reply)
		return nil
	}
	f.renewal = nil
	c.sendAuth(packet.Success, f.auth.Method, reply)
	return nil
}
