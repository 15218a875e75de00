package broker_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// five is a client of MQTT 5.0 that reads what it is told to.
type five struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dialFive(t *testing.T, s *brokertest.Stack, d *registry.Device, clean bool, keepAlive uint16, props packet.Properties) (*five, bool, packet.Properties) {
	t.Helper()
	conn, err := s.Listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &five{t: t, conn: conn, r: bufio.NewReader(conn)}
	l := brokertest.Of(d)
	c.send(packet.AppendConnect(nil, &packet.Connect{Level: packet.V5, Clean: clean, KeepAlive: keepAlive, ClientID: []byte(d.Identity.ClientID()),
		Properties: props, HasUserName: true, UserName: []byte(d.Identity.Product + "|" + d.Identity.SN + "|1"), HasPassword: true, Password: []byte(l.Password)}))
	present, code, props, err := packet.DecodeConnack5(c.want(packet.CONNACK))
	if err != nil || code != packet.Success {
		t.Fatalf("CONNACK %s, %v", code, err)
	}
	return c, present, props
}

func (c *five) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// next reads a packet.
func (c *five) next() (packet.Header, []byte) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(brokertest.Wait))
	head, err := c.r.Peek(2)
	if err == nil && head[1]&0x80 != 0 {
		head, err = c.r.Peek(3)
	}
	if err != nil {
		c.t.Fatalf("no packet: %v", err)
	}
	h, n, err := packet.ParseHeader(head)
	if err != nil || n == 0 {
		c.t.Fatalf("header % x: %v", head, err)
	}
	b := make([]byte, n+h.Remaining)
	if _, err := io.ReadFull(c.r, b); err != nil {
		c.t.Fatal(err)
	}
	return h, b[n:]
}

// want reads packets until one of the type comes, and returns its body. A PUBLISH on the way is left out.
func (c *five) want(typ packet.Type) []byte {
	c.t.Helper()
	for {
		h, body := c.next()
		if h.Type == typ {
			return body
		}
		if h.Type != packet.PUBLISH {
			c.t.Fatalf("got %s % x, want %s", h.Type, body, typ)
		}
	}
}

// message reads and acknowledges a PUBLISH at QoS 1.
func (c *five) message() (p packet.Publish) {
	c.t.Helper()
	h, body := c.next()
	if err := packet.DecodePublish5(h.Flags, body, &p); h.Type != packet.PUBLISH || err != nil {
		c.t.Fatalf("got %s % x, %v, want a PUBLISH", h.Type, body, err)
	}
	c.send(packet.AppendID(nil, packet.PUBACK, p.ID))
	return p
}

// TestFive: a device of MQTT 5.0 hears what the others cannot be told.
func TestFive(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d, other := s.New(t), s.New(t)
	expiry := packet.AppendInt(nil, packet.SessionExpiry, 1000)
	c, present, props := dialFive(t, s, d, false, 5, expiry)
	if ka, _ := props.Int(packet.ServerKeepAlive); ka != 30 || present {
		t.Errorf("server keep alive %d, present %v", ka, present)
	}
	name, foreign := topic.Name(d.Identity, "upload"), topic.Name(other.Identity, "upload")
	for _, p := range []struct {
		topic string
		want  packet.Code
	}{{name, packet.Success}, {foreign, packet.Unauthorized}, {name + "?parse=true", packet.ImplementationSpecific}} {
		c.send(packet.AppendPublish5(nil, p.topic, []byte(`{}`), 1, 3, false, false, nil))
		if _, code, _, err := packet.DecodeAck5(packet.PUBACK, c.want(packet.PUBACK)); err != nil || code != p.want {
			t.Errorf("%s: PUBACK %s, %v, want %s", p.topic, code, err, p.want)
		}
	}
	set := topic.Name(d.Identity, "set")
	c.send(packet.AppendSubscribe5(nil, 1, packet.AppendInt(nil, packet.SubscriptionID, 300), []packet.Filter{{Filter: set, QoS: 1}, {Filter: foreign, QoS: 1}}))
	if _, _, codes, err := packet.DecodeSuback5(packet.SUBACK, c.want(packet.SUBACK)); err != nil || !slices.Equal(codes, []byte{1, 0x87}) {
		t.Errorf("SUBACK %v, %v", codes, err)
	}
	send(t, s, d, "live")
	var p packet.Publish
	if err := packet.DecodePublish5(2, c.want(packet.PUBLISH), &p); err != nil || string(p.Payload) != "live" {
		t.Errorf("%q, %v", p.Payload, err)
	}
	second, present, _ := dialFive(t, s, d, false, 60, expiry)
	if code, _, err := packet.DecodeReason5(packet.DISCONNECT, c.want(packet.DISCONNECT)); err != nil || code != packet.TakenOver || !present {
		t.Errorf("DISCONNECT %s, %v; present %v", code, err, present)
	}
	_ = second
	if _, present, _ = dialFive(t, s, d, true, 60, expiry); present {
		t.Error("a clean start found a session")
	}
}

// refusing is a parser that refuses with a code.
type refusing packet.Code

func (r refusing) Parse(_ context.Context, _ *uplink.Message, done func([]byte, error)) {
	refusal := uplink.Refuse(message.CodeBad, "no")
	refusal.Five = &server.Rejection{Code: packet.Code(r), Reason: "no"}
	done(nil, refusal)
}

// TestFiveHearsOfParsing: the code that a parser gives is in the acknowledgement.
func TestFiveHearsOfParsing(t *testing.T) {
	s := stack(t, brokertest.Config{Parser: func(*brokertest.Stack) uplink.Parser { return refusing(packet.PayloadFormatInvalid) }})
	d := s.New(t)
	c, _, _ := dialFive(t, s, d, true, 60, nil)
	for qos, typ := range map[byte]packet.Type{1: packet.PUBACK, 2: packet.PUBREC} {
		c.send(packet.AppendPublish5(nil, topic.Name(d.Identity, "upload")+"?parse=true", []byte(`x`), qos, uint16(qos), false, false, nil))
		if _, code, _, err := packet.DecodeAck5(typ, c.want(typ)); err != nil || code != packet.PayloadFormatInvalid {
			t.Errorf("QoS %d: %s, %v", qos, code, err)
		}
	}
}

// TestGoodbyeAndBack: who ends its session with DISCONNECT and comes back when its socket has closed finds none.
func TestGoodbyeAndBack(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d := s.New(t)
	for n := range 30 {
		c, present, _ := dialFive(t, s, d, false, 60, packet.AppendInt(nil, packet.SessionExpiry, 1000))
		if present {
			t.Fatalf("connection %d found the session that had ended", n)
		}
		c.send(packet.AppendSubscribe5(nil, 1, nil, []packet.Filter{{Filter: topic.Name(d.Identity, "set"), QoS: 1}}))
		c.want(packet.SUBACK)
		c.send(packet.AppendReason5(nil, packet.DISCONNECT, packet.Success, packet.AppendInt(nil, packet.SessionExpiry, 0)))
		if _, err := io.Copy(io.Discard, c.r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRequestOverNodes: a device of MQTT 5.0 finds in a request where to answer and with what, whichever node the request is made on.
func TestRequestOverNodes(t *testing.T) {
	db := storetest.SQLite(t)
	b, err := bus.Open(t.Context(), bus.Config{Name: "both"}, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	near := stack(t, brokertest.Config{Store: db, Bus: b})
	far := stack(t, brokertest.Config{Store: db, Bus: b, Node: "b", Number: 2})
	d := near.New(t)
	c, _, _ := dialFive(t, near, d, true, 60, nil)
	set, upload := topic.Name(d.Identity, "set"), topic.Name(d.Identity, "upload")
	c.send(packet.AppendSubscribe5(nil, 1, nil, []packet.Filter{{Filter: set, QoS: 1}}))
	c.want(packet.SUBACK)
	for name, s := range map[string]*brokertest.Stack{"the device's": near, "another": far} {
		end := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), brokertest.Wait)
			defer cancel()
			_, err := s.Downlink.Request(ctx, downlink.Message{Device: d.Identity, Topic: set, Payload: []byte("ask"), QoS: 1}, upload)
			end <- err
		}()
		p := c.message()
		to, _ := p.Properties.Bytes(packet.ResponseTopic)
		data, with := p.Properties.Bytes(packet.CorrelationData)
		if string(to) != upload || !with {
			t.Errorf("on %s node: asked to answer on %q with %q", name, to, data)
		}
		answer := packet.AppendBytes(nil, packet.CorrelationData, string(data))
		c.send(packet.AppendPublish5(nil, upload, []byte(`"answer"`), 1, 3, false, false, answer))
		c.want(packet.PUBACK)
		if err := <-end; err != nil {
			t.Errorf("on %s node: %v", name, err)
		}
	}
}
