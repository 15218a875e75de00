package segment

import (
	"encoding/binary"
	"math"
	"time"
)

// builder is the block that is being filled. Its raw bytes are what gets compressed: for each record
//
//	keys (1 byte: how many), the keys (8 bytes each), time (varint: µs since the record before, the first since 0),
//	length of the data (uvarint), data
type builder struct {
	raw      []byte
	count    uint32
	min, max int64
	last     int64
	keys     map[uint64]struct{}

	filter filter // memory of the last pack
	packed []byte
}

func (b *builder) reset() {
	b.raw, b.count, b.min, b.max, b.last = b.raw[:0], 0, math.MaxInt64, math.MinInt64, 0
	if b.keys == nil {
		b.keys = map[uint64]struct{}{}
	}
	clear(b.keys)
}

func (b *builder) add(t int64, data []byte, keys []uint64) {
	b.raw = append(b.raw, byte(len(keys)))
	for _, k := range keys {
		b.raw = binary.LittleEndian.AppendUint64(b.raw, k)
		b.keys[k] = struct{}{}
	}
	b.raw = binary.AppendVarint(b.raw, t-b.last)
	b.raw = binary.AppendUvarint(b.raw, uint64(len(data)))
	b.raw = append(b.raw, data...)
	b.last, b.min, b.max = t, min(b.min, t), max(b.max, t)
	b.count++
}

// records reads the raw bytes of a block with count records and appends those that want says yes to.
func records(raw []byte, count uint32, out []Record, want func(t int64, keys []uint64) bool) ([]Record, error) {
	var t int64
	var keys [MaxKeys]uint64
	for range count {
		if len(raw) == 0 || raw[0] > MaxKeys || len(raw) < 1+8*int(raw[0]) {
			return out, errContent
		}
		n := int(raw[0])
		raw = raw[1:]
		for i := range n {
			keys[i] = binary.LittleEndian.Uint64(raw[8*i:])
		}
		raw = raw[8*n:]
		delta, used := binary.Varint(raw)
		if used <= 0 {
			return out, errContent
		}
		t += delta
		size, more := binary.Uvarint(raw[used:])
		if more <= 0 || size > MaxRecord || size > uint64(len(raw)-used-more) {
			return out, errContent
		}
		raw = raw[used+more:]
		if want(t, keys[:n]) {
			out = append(out, Record{Time: time.UnixMicro(t), Keys: append([]uint64(nil), keys[:n]...), Data: raw[:size:size]})
		}
		raw = raw[size:]
	}
	if len(raw) != 0 {
		return out, errContent
	}
	return out, nil
}
