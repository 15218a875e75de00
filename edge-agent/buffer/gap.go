package buffer

import "fmt"

// Reason says why records were lost.
type Reason byte

// Reasons of gaps; their numbers are on the disk and on the wire.
const (
	Quota   Reason = 1 // dropped for newer or more important records
	TTL     Reason = 2 // older than the stream's time to live
	Corrupt Reason = 3 // the disk has lost them
	Reject  Reason = 4 // refused because the buffer was full; their senders were told
	Power   Reason = 5 // of a ram stream, not on the disk when the power went: at most these
	Mixed   Reason = 6 // several gaps in one, see Gap
	// Released: the hub had them and lost them, and they are kept no more.
	Released Reason = 7
	Thinned  Reason = 8 // half of the records, see ThinOut: as many as there are numbers, from all of the time
)

var reasons = map[Reason]string{Quota: "quota", TTL: "ttl", Corrupt: "corrupt", Reject: "reject", Power: "power", Mixed: "mixed", Released: "released", Thinned: "thinned"}

func (r Reason) String() string {
	if s, ok := reasons[r]; ok {
		return s
	}
	return fmt.Sprintf("reason %d", byte(r))
}

// MarshalText implements encoding.TextMarshaler.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Gap is records that the hub will not get. A stream keeps 64 of them: when there are more, the two that are nearest to each other become one with
// reason Mixed, which then covers records between them that the hub may well have.
type Gap struct {
	Stream string `json:"stream"`
	Epoch  uint64 `json:"epoch"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Reason Reason `json:"reason"`
	Bytes  int64  `json:"bytes"` // of topics and payloads, as far as that is known
}

const maxGaps = 64

// addGap adds g to gaps, which ascend, as part of one that it continues where there is one.
func addGap(gaps []Gap, g Gap) []Gap {
	i := len(gaps)
	for i > 0 && gaps[i-1].From > g.From {
		i--
	}
	if i > 0 && gaps[i-1].Reason == g.Reason && gaps[i-1].To+1 == g.From {
		gaps[i-1].To = g.To
		gaps[i-1].Bytes += g.Bytes
		return joinNext(gaps, i-1)
	}
	gaps = joinNext(append(gaps[:i:i], append([]Gap{g}, gaps[i:]...)...), i)
	if len(gaps) <= maxGaps {
		return gaps
	}
	near := 1
	for k := 2; k < len(gaps); k++ {
		if gaps[k].From-gaps[k-1].To < gaps[near].From-gaps[near-1].To {
			near = k
		}
	}
	a, b := &gaps[near-1], gaps[near]
	if a.Reason != b.Reason {
		a.Reason = Mixed
	}
	a.To, a.Bytes = max(a.To, b.To), a.Bytes+b.Bytes
	return append(gaps[:near], gaps[near+1:]...)
}

// joinNext makes one of gap i and the next where that continues it.
func joinNext(gaps []Gap, i int) []Gap {
	if i+1 >= len(gaps) || gaps[i].Reason != gaps[i+1].Reason || gaps[i].To+1 != gaps[i+1].From {
		return gaps
	}
	gaps[i].To, gaps[i].Bytes = gaps[i+1].To, gaps[i].Bytes+gaps[i+1].Bytes
	return append(gaps[:i+1], gaps[i+2:]...)
}
