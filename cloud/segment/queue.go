package segment

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// queue is what waits for the writer: records one behind the other in one buffer, which the writer swaps for an empty
// one. So appending costs a lock and a copy, and nothing is allocated once both buffers have grown.
//
// A record in the queue: keys (1 byte: how many), time (8), length (4), the keys (8 each), data.
type queue struct {
	limit int
	wake  chan struct{} // holds one token when there is something and the writer has not been told
	half  chan struct{} // … when it is more than half full

	fill atomic.Int64 // len(buf), to be read without the lock

	mu    sync.Mutex // guards the fields below
	buf   []byte
	spare []byte
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1), half: make(chan struct{}, 1)}
}

const queueHeader = 1 + 8 + 4

// put adds a record, or reports false when there is no room.
func (q *queue) put(t int64, data []byte, keys []uint64) bool {
	size := queueHeader + 8*len(keys) + len(data)
	q.mu.Lock()
	before := len(q.buf)
	if before+size > q.limit {
		q.mu.Unlock()
		return false
	}
	q.buf = append(q.buf, byte(len(keys)))
	q.buf = binary.LittleEndian.AppendUint64(q.buf, uint64(t))
	q.buf = binary.LittleEndian.AppendUint32(q.buf, uint32(len(data)))
	for _, k := range keys {
		q.buf = binary.LittleEndian.AppendUint64(q.buf, k)
	}
	q.buf = append(q.buf, data...)
	q.fill.Store(int64(len(q.buf)))
	q.mu.Unlock()
	if before == 0 {
		signal(q.wake)
	}
	if before <= q.limit/2 && before+size > q.limit/2 {
		signal(q.half)
	}
	return true
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take returns all that waits; give brings the buffer back.
func (q *queue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.buf
	q.buf, q.spare = q.spare[:0], nil
	q.fill.Store(0)
	return b
}

func (q *queue) give(b []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = b[:0]
}

// cut takes the first record off b.
func cut(b []byte, keys []uint64) (t int64, _ []uint64, data, rest []byte) {
	n := int(b[0])
	t = int64(binary.LittleEndian.Uint64(b[1:]))
	size := int(binary.LittleEndian.Uint32(b[9:]))
	b = b[queueHeader:]
	keys = keys[:0]
	for range n {
		keys = append(keys, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	return t, keys, b[:size], b[size:]
}

// used is how full the queue is.
func (q *queue) used() float64 { return float64(q.fill.Load()) / float64(q.limit) }
