package delta

import (
	"encoding/binary"
	"fmt"
	"math"
)

// reader reads the varints of a format: each in its shortest spelling and no larger than the caller allows.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint(most uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.err = fmt.Errorf("%w: a number is cut off, too long or not in its shortest form", ErrFormat)
		return 0
	}
	if v > most {
		r.err = fmt.Errorf("%w: %d, where the most is %d", ErrLimit, v, most)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// length is a number that fits an int on every machine.
func (r *reader) length(most int) int { return int(r.uvarint(uint64(most))) }

// varint is a number of either sign, in zigzag form, whose absolute value is at most most.
func (r *reader) varint(most int64) int64 {
	u := r.uvarint(math.MaxUint64)
	v := int64(u>>1) ^ -int64(u&1)
	if r.err == nil && (v > most || v < -most) {
		r.err = fmt.Errorf("%w: %d, where the most is %d", ErrLimit, v, most)
		return 0
	}
	return v
}

func (r *reader) byte() byte {
	if r.err == nil && len(r.b) == 0 {
		r.err = fmt.Errorf("%w: cut off", ErrFormat)
	}
	if r.err != nil {
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}
