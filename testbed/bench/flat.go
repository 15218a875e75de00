package main

import (
	"bufio"
	"encoding/binary"
	"sync"
)

// burst is how many messages a publisher of a flat-out load has unacknowledged.
const burst = 32

// startFlat has every publisher send bursts, the next one when all of the last are acknowledged.
func startFlat(spec loadSpec, clients []*client, count *counters) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, c := range clients {
		if !c.spec.publishes() {
			continue
		}
		c.credit = make(chan struct{}, 1)
		wg.Go(func() {
			var b []byte
			for {
				select {
				case <-done:
					return
				default:
				}
				b = b[:0]
				for i := range burst {
					b = appendPublish(b, c.spec.Publish, uint16(i+1), spec.Payload)
				}
				count.sent.Add(burst)
				if _, err := c.conn.Write(b); err != nil {
					return
				}
				<-c.credit
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

func appendPublish(b []byte, topic string, id uint16, payload string) []byte {
	b = binary.AppendUvarint(append(b, 0x32), uint64(4+len(topic)+len(payload)))
	b = binary.BigEndian.AppendUint16(appendString(b, topic), id)
	return append(b, payload...)
}

// receiveFlat reads packets with as few calls as there can be.
func (c *client) receiveFlat(count *counters) error {
	r := bufio.NewReaderSize(c.conn, 64<<10)
	var acks []byte
	acked := 0
	for {
		h, err := r.ReadByte()
		if err != nil {
			return err
		}
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return err
		}
		body, err := r.Peek(int(n))
		if err != nil {
			return err
		}
		switch h >> 4 {
		case 4: // PUBACK
			if acked++; acked == burst {
				acked = 0
				count.acked.Add(burst)
				c.credit <- struct{}{}
			}
		case 3: // PUBLISH
			count.received.Add(1)
			at := 2 + int(binary.BigEndian.Uint16(body))
			acks = append(acks, 0x40, 2, body[at], body[at+1])
		}
		_, _ = r.Discard(int(n)) // it was peeked at
		if len(acks) > 0 && (r.Buffered() == 0 || len(acks) > 4000) {
			if _, err := c.conn.Write(acks); err != nil {
				return err
			}
			acks = acks[:0]
		}
	}
}
