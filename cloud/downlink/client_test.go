package downlink

import (
	"slices"
	"testing"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

func TestClientText(t *testing.T) {
	for _, c := range []Client{{}, {Via: 7}, {Buffer: 8192}, {Via: 1 << 60, Buffer: 1}} {
		if got := ParseClient(c.String()); got != c {
			t.Errorf("%q reads as %+v, want %+v", c.String(), got, c)
		}
	}
	if got := ParseClient("later=1;buf=9;junk"); got != (Client{Buffer: 9}) {
		t.Errorf("unknown keys: %+v", got)
	}
}

func TestFilters(t *testing.T) {
	list := []Filter{{Filter: "/a/b"}, {Filter: "#", QoS: 1, Options: packet.NoLocal | packet.RetainNever, ID: 300}, {Filter: string(make([]byte, 300)), QoS: 2}}
	got, err := DecodeFilters(EncodeFilters(list))
	if err != nil || !slices.Equal(got, list) {
		t.Errorf("got %v, %v", got, err)
	}
	old := []byte{1, 2, 1, '#'} // as it was before MQTT 5.0
	if got, err := DecodeFilters(old); err != nil || !slices.Equal(got, []Filter{{Filter: "#", QoS: 2}}) {
		t.Errorf("version 1: got %v, %v", got, err)
	}
	for _, b := range [][]byte{{3}, {2, 0, 0}, {2, 0}, {2, 3, 0, 0}, {2, 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0}, {1, 3, 0}, {1, 0}, {1, 0, 5, 'a'}, {1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		if _, err := DecodeFilters(b); err == nil {
			t.Errorf("%v was read", b)
		}
	}
}

func FuzzDecodeFilters(f *testing.F) {
	f.Add(EncodeFilters([]Filter{{Filter: "/a/b", QoS: 1}, {Filter: "#", ID: 9}}))
	f.Add([]byte{})
	f.Add([]byte{1, 0, 200, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := DecodeFilters(b)
		if err != nil {
			return
		}
		again, err := DecodeFilters(EncodeFilters(list))
		if err != nil || !slices.Equal(again, list) {
			t.Errorf("%v reads as %v, then as %v (%v)", b, list, again, err)
		}
	})
}
