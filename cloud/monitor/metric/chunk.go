package metric

import (
	"encoding/binary"
	"errors"
)

// chunk is a row's points: of each slot (a minute of an hour, or a quarter of an hour of a day) whether something was written, and the
// values of the metrics that have any. Encoded:
//
//	1        version (1)
//	uvarint  slots
//	bytes    a bit for each slot that was written, the first in the lowest bit
//	uvarint  metrics
//	for each: its number, and for each slot that was written the difference to the one before as zigzag uvarint;
//	          a difference of 0 is 0 and how many of them follow as uvarint
type chunk struct {
	slots   int
	written []uint64
	values  map[Name][]int64 // each of slots
}

const (
	chunkVersion = 1
	maxSlots     = 1440
)

// errChunk is a row that this program cannot read.
var errChunk = errors.New("metric: chunk is damaged or newer than this program")

func newChunk(slots int) *chunk {
	return &chunk{slots: slots, written: make([]uint64, (slots+63)/64), values: make(map[Name][]int64)}
}

func (c *chunk) has(slot int) bool { return c.written[slot/64]&(1<<(slot%64)) != 0 }

func (c *chunk) mark(slot int) { c.written[slot/64] |= 1 << (slot % 64) }

// column is a metric's values, made when it has none.
func (c *chunk) column(n Name) []int64 {
	v := c.values[n]
	if v == nil {
		v = make([]int64, c.slots)
		c.values[n] = v
	}
	return v
}

// add adds to a counter's slot, or sets a gauge's.
func (c *chunk) add(slot int, n Name, v int64) {
	c.mark(slot)
	switch {
	case n.Info().Gauge:
		if v != 0 || c.values[n] != nil {
			c.column(n)[slot] = v
		}
	case v != 0:
		c.column(n)[slot] += v
	}
}

func (c *chunk) encode() []byte {
	b := binary.AppendUvarint([]byte{chunkVersion}, uint64(c.slots))
	for i := 0; i < c.slots; i += 8 {
		b = append(b, byte(c.written[i/64]>>(i%64)))
	}
	b = binary.AppendUvarint(b, uint64(len(c.values)))
	for n := range names {
		v, ok := c.values[n]
		if !ok {
			continue
		}
		b = append(b, byte(n))
		last, run := int64(0), 0
		end := func() {
			if run > 0 {
				b = binary.AppendUvarint(append(b, 0), uint64(run-1))
				run = 0
			}
		}
		for i := range v {
			if !c.has(i) {
				continue
			}
			d := v[i] - last
			last = v[i]
			if d == 0 {
				run++
				continue
			}
			end()
			b = binary.AppendVarint(b, d)
		}
		end()
	}
	return b
}

func decodeChunk(b []byte) (*chunk, error) {
	if len(b) == 0 || b[0] != chunkVersion {
		return nil, errChunk
	}
	slots, w := binary.Uvarint(b[1:])
	if w <= 0 || slots == 0 || slots > maxSlots {
		return nil, errChunk
	}
	c, b := newChunk(int(slots)), b[1+w:]
	if len(b) < (c.slots+7)/8 {
		return nil, errChunk
	}
	for i := 0; i < c.slots; i += 8 {
		c.written[i/64] |= uint64(b[i/8]) << (i % 64)
	}
	if rest := c.slots % 64; rest != 0 && c.written[len(c.written)-1]>>rest != 0 {
		return nil, errChunk
	}
	b = b[(c.slots+7)/8:]
	columns, w := binary.Uvarint(b)
	if w <= 0 || columns > 64 {
		return nil, errChunk
	}
	b = b[w:]
	for range columns {
		if len(b) == 0 {
			return nil, errChunk
		}
		n := Name(b[0])
		var ok bool
		v := make([]int64, c.slots)
		if b, ok = c.decodeColumn(b[1:], v); !ok || c.values[n] != nil {
			return nil, errChunk
		}
		if n < names { // others are a newer program's
			c.values[n] = v
		}
	}
	if len(b) != 0 {
		return nil, errChunk
	}
	return c, nil
}

// decodeColumn reads one metric's differences.
func (c *chunk) decodeColumn(b []byte, v []int64) (rest []byte, ok bool) {
	last, run := int64(0), uint64(0)
	for i := range v {
		if !c.has(i) {
			continue
		}
		if run > 0 {
			run--
			v[i] = last
			continue
		}
		d, w := binary.Varint(b)
		if w <= 0 {
			return b, false
		}
		if b = b[w:]; d == 0 {
			if run, w = binary.Uvarint(b); w <= 0 || run >= maxSlots {
				return b, false
			}
			b = b[w:]
		}
		last += d
		v[i] = last
	}
	return b, run == 0
}
