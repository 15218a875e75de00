package registry

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"sync"
	"time"
)

// epoch is where device ids begin to count milliseconds.
var epoch = time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)

// idRandomBits is how much of an id is not time.
const idRandomBits = 22

// idSource makes device ids: positive, unique, ordered by creation on this
// node. An id is milliseconds since 2015 and 22 random bits; two nodes that hit
// the same one are told apart by the primary key, and the caller takes another.
type idSource struct {
	now func() time.Time

	mu   sync.Mutex // guards last
	last int64
}

func newIDSource(floor int64, now func() time.Time) *idSource {
	return &idSource{now: now, last: floor}
}

// take returns the first of n consecutive ids.
func (s *idSource) take(n int) int64 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand crashes the program instead
	ms := s.now().Sub(epoch).Milliseconds()
	// The highest random bit stays 0, so that a batch has room above.
	first := ms<<idRandomBits | int64(binary.LittleEndian.Uint32(b[:])&(1<<(idRandomBits-1)-1))
	s.mu.Lock()
	defer s.mu.Unlock()
	first = max(first, s.last+1)
	s.last = first + int64(n) - 1
	return first
}

// timeOfID is the moment at which a device's id was drawn, to the millisecond.
func timeOfID(id int64) time.Time {
	return epoch.Add(time.Duration(id>>idRandomBits) * time.Millisecond)
}

// firstID is the lowest id of a device created at t or later.
func firstID(t time.Time) int64 {
	since := t.Sub(epoch)
	ms := int64(since / time.Millisecond)
	if since%time.Millisecond > 0 {
		ms++
	}
	return min(max(0, ms), math.MaxInt64>>idRandomBits) << idRandomBits
}
