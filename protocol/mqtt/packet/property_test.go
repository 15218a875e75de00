package packet_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet/packettest"
)

func TestProperties(t *testing.T) {
	var p packet.Properties
	p = packet.AppendInt(p, packet.PayloadFormat, 1)
	p = packet.AppendInt(p, packet.MessageExpiry, 0x01020304)
	p = packet.AppendInt(p, packet.TopicAlias, 0x0506)
	p = packet.AppendInt(p, packet.SubscriptionID, 300)
	p = packet.AppendInt(p, packet.SubscriptionID, 1)
	p = packet.AppendBytes(p, packet.ContentType, "text")
	p = packet.AppendPair(p, "k", "v")
	p = packet.AppendPair(p, "k", "w")
	if !packet.ValidProperties(p, packet.PUBLISH) || packet.ValidProperties(p, packet.SUBSCRIBE) {
		t.Error("validity")
	}
	for id, want := range map[packet.PropertyID]uint32{packet.PayloadFormat: 1, packet.MessageExpiry: 0x01020304, packet.TopicAlias: 0x0506, packet.SubscriptionID: 300} {
		if got, ok := p.Int(id); !ok || got != want {
			t.Errorf("property %#x = %d, %v, want %d", id, got, ok, want)
		}
	}
	if v, ok := p.Bytes(packet.ContentType); !ok || string(v) != "text" {
		t.Errorf("content type %q, %v", v, ok)
	}
	if _, ok := p.Bytes(packet.ResponseTopic); ok {
		t.Error("response topic found")
	}
	if _, ok := p.Int(packet.SessionExpiry); ok {
		t.Error("session expiry found")
	}
	var again packet.Properties
	for rest := p; len(rest) > 0; {
		var one packet.Property
		one, rest = rest.Next()
		again = packet.AppendRaw(again, one)
	}
	if !bytes.Equal(again, p) {
		t.Errorf("copied: % x, want % x", again, p)
	}
}

func TestSetPublishExpiry(t *testing.T) {
	p := packet.AppendInt(packet.AppendPair(nil, "a", "b"), packet.MessageExpiry, 100)
	for _, qos := range []byte{0, 1} {
		b := packet.AppendPublish5(nil, "a/b", []byte("x"), qos, 7, false, false, p)
		packet.SetPublishExpiry(b, 42)
		want := packet.AppendPublish5(nil, "a/b", []byte("x"), qos, 7, false, false, packet.AppendInt(packet.AppendPair(nil, "a", "b"), packet.MessageExpiry, 42))
		if !bytes.Equal(b, want) {
			t.Errorf("QoS %d: % x, want % x", qos, b, want)
		}
	}
	plain := packet.AppendPublish5(nil, "a/b", []byte("x"), 1, 7, false, false, nil)
	same := bytes.Clone(plain)
	if packet.SetPublishExpiry(plain, 42); !bytes.Equal(plain, same) {
		t.Error("a packet without expiry was changed")
	}
}

func TestShare(t *testing.T) {
	for in, want := range map[string][3]any{
		"a/b":          {"", "a/b", false},
		"$share/g/a/b": {"g", "a/b", true},
		"$share/g//":   {"g", "/", true},
		"$shared/g/a":  {"", "$shared/g/a", false},
	} {
		group, rest, shared, ok := packet.Share(in)
		if !ok || group != want[0] || rest != want[1] || shared != want[2] {
			t.Errorf("%s: %q %q %v %v", in, group, rest, shared, ok)
		}
	}
}

func TestCodes(t *testing.T) {
	for c := range packet.ConnackCode(6) {
		if got := c.Code().Connack(); got != c {
			t.Errorf("%s is %s is %s", c, c.Code(), got)
		}
		if !c.Code().Allowed(packet.CONNACK) {
			t.Errorf("%s is no code of CONNACK", c.Code())
		}
	}
	for r := range packet.Reason(packet.Reasons) {
		if c := r.Code(); !c.Allowed(packet.CONNACK) || c != packet.UnsupportedVersion && !c.Allowed(packet.DISCONNECT) {
			t.Errorf("%s has the code %s", r, c)
		}
	}
	if got := packet.Code(0xff).String(); got != "reason code 0xff" {
		t.Error(got)
	}
}

// FuzzRecode5 holds that what decodes in 5.0 encodes to something that decodes the same: acknowledgements have two spellings.
func FuzzRecode5(f *testing.F) {
	for _, c := range packettest.Golden() {
		f.Add(c.Bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := recode5(b)
		if err != nil {
			return
		}
		again, err := recode5(got)
		if err != nil || !bytes.Equal(again, got) || got[0] != b[0] {
			t.Errorf("% x encodes to % x, that to % x (%v)", b, got, again, err)
		}
		if h, n, _ := packet.ParseHeader(b); len(got) > n+h.Remaining {
			t.Errorf("% x grows to % x", b, got)
		}
	})
}

// TestDecode5DoesNotAllocate: neither do properties.
func TestDecode5DoesNotAllocate(t *testing.T) {
	pub := packettest.Bytes("5 publish properties")
	con := packettest.Bytes("5 connect will with all properties")
	sub := packettest.Bytes("5 subscribe shared")
	var p packet.Publish
	var c packet.Connect
	if n := testing.AllocsPerRun(100, func() {
		if packet.DecodePublish5(0x2, pub[2:], &p) != nil || packet.DecodeConnect(con[2:], &c) != nil {
			t.Fatal("decode")
		}
		if _, _, _, err := packet.DecodeSubscribe5(sub[2:]); err != nil {
			t.Fatal(err)
		}
		_, _ = p.Properties.Int(packet.MessageExpiry)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestVersionRules: what only 5.0 forbids, 3.1.1 allows.
func TestVersionRules(t *testing.T) {
	long := []byte{0xc0, 0x80, 0x00}
	h, n, err := packet.ParseHeader(long)
	if err != nil || n != 3 || h.Check(n, packet.V311) != nil || !errors.Is(h.Check(n, packet.V5), packet.BadLength) {
		t.Errorf("long form of a length: %+v, %d, %v", h, n, err)
	}
}
