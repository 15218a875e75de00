package metric

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestChunk(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, slots := range []int{1, 8, 60, 64, 65, 96, 1440} {
		c := newChunk(slots)
		for i := range slots {
			if r.IntN(5) == 0 {
				continue
			}
			c.add(i, MessagesUp, int64(r.IntN(1000)))
			c.add(i, BytesUp, r.Int64())
			c.add(i, DevicesOnline, 7)
			if i%9 == 0 {
				c.add(i, ErrorsUp, 1)
			}
		}
		b := c.encode()
		got, err := decodeChunk(b)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("%d slots: %v, got %v want %v", slots, err, got, c)
		}
		if !bytes.Equal(got.encode(), b) {
			t.Errorf("%d slots: encoded otherwise the second time", slots)
		}
		for cut := range min(len(b), 200) {
			if _, err := decodeChunk(b[:cut]); err == nil {
				t.Errorf("%d slots: the first %d bytes of %d are taken", slots, cut, len(b))
			}
		}
	}
}

func TestQuietChunkIsSmall(t *testing.T) {
	c := newChunk(60)
	for i := range 60 {
		c.add(i, DevicesOnline, 120)
		c.add(i, DevicesRegistered, 1000)
		c.add(i, MessagesUp, 0)
	}
	if n := len(c.encode()); n > 24 {
		t.Errorf("an hour in which nothing changes has %d bytes", n)
	}
}

func FuzzChunk(f *testing.F) {
	c := newChunk(60)
	c.add(3, MessagesUp, 12)
	c.add(4, DevicesOnline, 1)
	f.Add(c.encode())
	f.Add([]byte{1, 1, 1, 1, 0, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeChunk(b)
		if err != nil {
			return
		}
		again, err := decodeChunk(c.encode())
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("not the same after encoding: %v", err)
		}
	})
}
