package packet_test

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet/packettest"
)

// recode decodes one packet and encodes what it found.
func recode(b []byte) ([]byte, error) {
	h, n, err := packet.ParseHeader(b)
	if err != nil {
		return nil, err
	}
	if n == 0 || len(b) < n+h.Remaining {
		return nil, errShort
	}
	body := b[n : n+h.Remaining]
	switch h.Type {
	case packet.AUTH:
		return nil, h.Check(n, packet.V311)
	case packet.CONNECT:
		var c packet.Connect
		err = packet.DecodeConnect(body, &c)
		return packet.AppendConnect(nil, &c), err
	case packet.CONNACK:
		present, code, err := packet.DecodeConnack(body)
		return packet.AppendConnack(nil, present, code), err
	case packet.PUBLISH:
		var p packet.Publish
		err = packet.DecodePublish(h.Flags, body, &p)
		return packet.AppendPublish(nil, p.Topic, p.Payload, p.QoS, p.ID, p.Dup, p.Retain), err
	case packet.SUBSCRIBE:
		id, f, err := packet.DecodeSubscribe(body)
		return packet.AppendSubscribe(nil, id, collect(f)), err
	case packet.UNSUBSCRIBE:
		id, f, err := packet.DecodeUnsubscribe(body)
		var names []string
		for _, f := range collect(f) {
			names = append(names, f.Filter)
		}
		return packet.AppendUnsubscribe(nil, id, names), err
	case packet.SUBACK:
		id, codes, err := packet.DecodeSuback(body)
		return packet.AppendSuback(nil, id, codes), err
	case packet.PINGREQ, packet.PINGRESP, packet.DISCONNECT:
		return packet.AppendEmpty(nil, h.Type), packet.DecodeEmpty(body)
	}
	id, err := packet.DecodeID(body)
	return packet.AppendID(nil, h.Type, id), err
}

// recode5 is recode for what 5.0 writes differently.
func recode5(b []byte) ([]byte, error) {
	h, n, err := packet.ParseHeader(b)
	if err != nil {
		return nil, err
	}
	if n == 0 || len(b) < n+h.Remaining {
		return nil, errShort
	}
	if err := h.Check(n, packet.V5); err != nil {
		return nil, err
	}
	body := b[n : n+h.Remaining]
	switch h.Type {
	case packet.CONNACK:
		present, code, p, err := packet.DecodeConnack5(body)
		return packet.AppendConnack5(nil, present, code, p), err
	case packet.PUBLISH:
		var p packet.Publish
		err = packet.DecodePublish5(h.Flags, body, &p)
		return packet.AppendPublish5(nil, p.Topic, p.Payload, p.QoS, p.ID, p.Dup, p.Retain, p.Properties), err
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		id, code, p, err := packet.DecodeAck5(h.Type, body)
		return packet.AppendAck5(nil, h.Type, id, code, p), err
	case packet.SUBSCRIBE:
		id, p, f, err := packet.DecodeSubscribe5(body)
		return packet.AppendSubscribe5(nil, id, p, collect(f)), err
	case packet.UNSUBSCRIBE:
		id, p, f, err := packet.DecodeUnsubscribe5(body)
		var names []string
		for _, f := range collect(f) {
			names = append(names, f.Filter)
		}
		return packet.AppendUnsubscribe5(nil, id, p, names), err
	case packet.SUBACK, packet.UNSUBACK:
		id, p, codes, err := packet.DecodeSuback5(h.Type, body)
		return packet.AppendSuback5(nil, h.Type, id, p, codes), err
	case packet.DISCONNECT, packet.AUTH:
		code, p, err := packet.DecodeReason5(h.Type, body)
		return packet.AppendReason5(nil, h.Type, code, p), err
	}
	return recode(b)
}

var errShort = errors.New("short")

func collect(f packet.Filters) (all []packet.Filter) {
	for {
		name, qos, ok := f.Next()
		if !ok {
			return all
		}
		all = append(all, packet.Filter{Filter: string(name), QoS: qos})
	}
}

func TestGolden(t *testing.T) {
	for _, c := range packettest.Golden() {
		t.Run(c.Name, func(t *testing.T) {
			got, err := recodeOf(c.Version)(c.Bytes)
			switch {
			case !c.Malformed && err != nil:
				t.Fatalf("decode % x: %v", c.Bytes, err)
			case !c.Malformed && !bytes.Equal(got, c.Bytes):
				t.Errorf("encode = % x, want % x", got, c.Bytes)
			case c.Malformed && !errors.Is(err, c.Reason):
				t.Errorf("decode % x: error %v, want %v", c.Bytes, err, c.Reason)
			}
		})
	}
}

func recodeOf(version byte) func([]byte) ([]byte, error) {
	if version == packet.V5 {
		return recode5
	}
	return recode
}

func TestGoldenCut(t *testing.T) {
	for _, c := range packettest.Golden() {
		if c.Malformed {
			continue
		}
		for n := range len(c.Bytes) {
			if _, err := recodeOf(c.Version)(c.Bytes[:n]); !errors.Is(err, errShort) {
				t.Errorf("%s cut to %d bytes: error %v, want short", c.Name, n, err)
			}
		}
	}
}

func TestLengthBoundaries(t *testing.T) {
	for _, size := range []int{0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152} {
		payload := make([]byte, max(0, size-3))
		b := packet.AppendPublish(nil, "t", payload, 0, 0, false, false)
		h, n, err := packet.ParseHeader(b)
		if err != nil || h.Remaining != len(payload)+3 || n+h.Remaining != len(b) {
			t.Errorf("payload %d: header %+v, %d bytes, %v of %d", len(payload), h, n, err, len(b))
		}
		if total, _ := packet.PublishSize(1, len(payload), 0); total != len(b) {
			t.Errorf("PublishSize(%d) = %d, want %d", len(payload), total, len(b))
		}
	}
}

func TestSetPublishID(t *testing.T) {
	for _, size := range []int{1, 200, 20_000} {
		payload := bytes.Repeat([]byte{'x'}, size)
		b := packet.AppendPublish(nil, "a/b", payload, 1, 1, false, true)
		packet.SetPublishID(b, 0x1234, true)
		if want := packet.AppendPublish(nil, "a/b", payload, 1, 0x1234, true, true); !bytes.Equal(b, want) {
			t.Errorf("size %d: % x, want % x", size, b[:12], want[:12])
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{packet.PUBREL.String(), "PUBREL"}, {packet.Type(20).String(), "20"},
		{packet.BadCredentials.String(), "bad user name or password"}, {packet.ConnackCode(9).String(), "connack code 9"},
		{packet.BadTopic.String(), "bad_topic"}, {packet.Reason(200).String(), "unknown"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// FuzzRecode holds that whatever decodes encodes to the same bytes (but for a longer spelling of the remaining length, which 3.1.1
// allows) and that decoding allocates no more than the input's size explains.
func FuzzRecode(f *testing.F) {
	for _, c := range packettest.Golden() {
		f.Add(c.Bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := recode(b)
		if err != nil {
			return
		}
		h, n, _ := packet.ParseHeader(b)
		_, gotN, _ := packet.ParseHeader(got)
		if !bytes.Equal(got[gotN:], b[n:n+h.Remaining]) || got[0] != b[0] {
			t.Errorf("% x encodes to % x", b, got)
		}
		if again, err := recode(got); err != nil || !bytes.Equal(again, got) {
			t.Errorf("second decode: %v", err)
		}
	})
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	pub := packet.AppendPublish(nil, "/product/device/upload", make([]byte, 200), 1, 7, false, false)
	con := packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte("c"), HasUserName: true, UserName: []byte("u")})
	var p packet.Publish
	var c packet.Connect
	if n := testing.AllocsPerRun(100, func() {
		h, n, _ := packet.ParseHeader(pub)
		if packet.DecodePublish(h.Flags, pub[n:], &p) != nil || packet.DecodeConnect(con[2:], &c) != nil {
			t.Fatal("decode")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkDecodePublish(b *testing.B) {
	pub := packet.AppendPublish(nil, "/product/device/upload", make([]byte, 200), 1, 7, false, false)
	var p packet.Publish
	b.ReportAllocs()
	for b.Loop() {
		h, n, _ := packet.ParseHeader(pub)
		if err := packet.DecodePublish(h.Flags, pub[n:], &p); err != nil {
			b.Fatal(err)
		}
	}
}

// TestValidTopic compares with the plain reading, byte by byte, for each byte at each place of topics of many lengths.
func TestValidTopic(t *testing.T) {
	for size := range 26 {
		for at := range max(size, 1) {
			for c := range 256 {
				b := bytes.Repeat([]byte{'a'}, size)
				if size > 0 {
					b[at] = byte(c)
				}
				want := size > 0 && c != 0 && c != '+' && c != '#' && c < utf8.RuneSelf
				if got := packet.ValidTopic(b); got != want {
					t.Fatalf("%q: got %v, want %v", b, got, want)
				}
			}
		}
	}
	for topic, want := range map[string]bool{"/räume/küche/übersicht": true, "12345678ü": true, "12345678\xff": false, "ü2345678/#": false,
		"ü2345678\x00": false, "€€€€€€€€/a": true} {
		if got := packet.ValidTopic([]byte(topic)); got != want {
			t.Errorf("%q: got %v, want %v", topic, got, want)
		}
	}
}
