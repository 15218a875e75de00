package message

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"
)

// ID is a MessageID: sortable by time and unique over the cluster. From its highest bit down it holds milliseconds since
// 2015-01-01 (41 bits, enough until 2084), the node's leased number (10 bits) and a counter (12 bits).
type ID int64

// MaxNode is the largest node number.
const MaxNode = 1<<nodeBits - 1

const (
	nodeBits    = 10
	counterBits = 12
)

// epoch is 2015-01-01T00:00:00Z in Unix milliseconds. It may never change: it is in every stored MessageID.
const epoch = 1_420_070_400_000

// ErrID is returned by ParseID.
var ErrID = errors.New("message: bad MessageID, want 18 or 19 digits")

// ParseID reads a decimal of 18 or 19 digits, as String writes it.
func ParseID(s string) (ID, error) {
	if len(s) < 18 || len(s) > 19 || s[0] < '1' || s[0] > '9' {
		return 0, ErrID
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, ErrID
	}
	return ID(n), nil
}

// String returns the decimal digits: 18 or 19 of them for every ID made after February 2016.
func (i ID) String() string { return strconv.FormatInt(int64(i), 10) }

// Append appends what String returns to dst.
func (i ID) Append(dst []byte) []byte { return strconv.AppendInt(dst, int64(i), 10) }

// MarshalText gives the digits, so that in JSON a MessageID is a string: it does not fit a double.
func (i ID) MarshalText() ([]byte, error) { return i.Append(nil), nil }

// UnmarshalText is the inverse of MarshalText.
func (i *ID) UnmarshalText(b []byte) (err error) {
	*i, err = ParseID(string(b))
	return err
}

// Time returns when the ID was made, to the millisecond. After a step back of the clock it may be later than that.
func (i ID) Time() time.Time {
	return time.UnixMilli(int64(i)>>(nodeBits+counterBits) + epoch)
}

// FirstID is the smallest ID that is made at t or later, as long as no clock steps back.
func FirstID(t time.Time) ID { return ID((t.UnixMilli() - epoch) << (nodeBits + counterBits)) }

// Node returns the number of the node that made the ID.
func (i ID) Node() uint16 { return uint16(i>>counterBits) & MaxNode }

// IDs makes the MessageIDs of one node. It is safe for concurrent use, and Next allocates nothing.
type IDs struct {
	node int64
	now  func() time.Time
	last atomic.Int64 // milliseconds since epoch and counter of the last ID
}

// NewIDs returns a source of IDs for the node with that leased number, of which the low 10 bits count. Every ID is
// greater than floor, the last ID known to be persisted by a node of that number (0 for none). now is the clock,
// time.Now outside of tests.
func NewIDs(node uint16, floor ID, now func() time.Time) *IDs {
	s := &IDs{node: int64(node) & MaxNode, now: now}
	ms := int64(floor) >> (nodeBits + counterBits)
	s.last.Store(ms<<counterBits | (1<<counterBits - 1)) // the next one is in the following millisecond
	return s
}

// Next returns an ID greater than all before it from this source. When the clock stands, steps back, or more than 4,096
// are asked for in a millisecond, it counts on from the last one.
func (s *IDs) Next() ID {
	for {
		last := s.last.Load()
		next := max(last+1, (s.now().UnixMilli()-epoch)<<counterBits)
		if s.last.CompareAndSwap(last, next) {
			const counter = 1<<counterBits - 1
			return ID(next>>counterBits<<(nodeBits+counterBits) | s.node<<counterBits | next&counter)
		}
	}
}
