package uplink

import "github.com/hawser-iot/hawser/edge-agent/buffer"

// lanes are the two ways through the buffer while the hub speaks the agent channel: what waited when the connection was made, and what came since. When both have
// records the newer ones get 70 of 100.
type lanes struct {
	backlog, live lane
	debt          int // above 0: it is the backlog's turn
}

// share of 100 that the live lane gets.
const share = 70

// lane is the records from a number on, up to another.
type lane struct {
	after uint64 // the last record that was looked at; with newest, none is behind top
	until uint64 // records from it on are not the lane's; 0: there is no end
	top   uint64 // with newest, the records from it on were looked at
	back  bool   // newest first
	live  bool
}

func newLanes(boundary uint64, newest bool) *lanes {
	return &lanes{backlog: lane{until: boundary, top: boundary, back: newest}, live: lane{after: boundary - 1, live: true}}
}

// order is which lane is tried first.
func (l *lanes) order() [2]*lane {
	if l.debt > 0 {
		return [2]*lane{&l.backlog, &l.live}
	}
	return [2]*lane{&l.live, &l.backlog}
}

// spent notes that a lane has sent n records; alone, because the other one had none.
func (l *lanes) spent(w *lane, n int, alone bool) {
	switch {
	case alone:
		l.debt = 0
	case w.live:
		l.debt += n * (100 - share)
	default:
		l.debt -= n * share
	}
}

// window is how many numbers a backward lane looks at a time.
const window = 256

// read returns the lane's next records, oldest first within them, and marks them as looked at.
func (l *lane) read(s *buffer.Stream, limit int) ([]buffer.Record, error) {
	if l.back {
		return l.readBack(s)
	}
	recs, err := s.Read(l.after, limit)
	for i, r := range recs {
		if l.until != 0 && r.Seq >= l.until {
			recs = recs[:i]
			break
		}
	}
	if n := len(recs); n > 0 {
		l.after = recs[n-1].Seq
	}
	return recs, err
}

func (l *lane) readBack(s *buffer.Stream) ([]buffer.Record, error) {
	for l.top > 1 {
		from := uint64(0)
		if l.top > window {
			from = l.top - window
		}
		recs, err := s.Read(max(from, 1)-1, window)
		if err != nil {
			return nil, err
		}
		for i, r := range recs {
			if r.Seq >= l.top {
				recs = recs[:i]
				break
			}
		}
		l.top = max(from, 1)
		if len(recs) > 0 {
			return recs, nil
		}
	}
	return nil, nil
}
