package uplink

import (
	"sync"
	"sync/atomic"

	"github.com/hawser-iot/hawser/protocol/message"
)

var errNoParser = Refuse(message.CodeNoPermission, "the product has no parse script")

// parses keeps the order of a device's messages while some of them are with the parser, which answers from elsewhere and in no
// order. What the device sends behind one queues behind it. Most of the time there is none, and a message only reads one atomic.
// How many there are of a device is bounded by its door, which does not hand in any number without an end to some.
type parses struct {
	path    *Path
	open    atomic.Int32
	running sync.WaitGroup

	mu  sync.Mutex // guards all and the fields of every series and parse
	all map[int64]*series
}

// series are one device's messages in their order, the first of which is with the parser or on its way into the path.
type series struct {
	device  int64
	waiting []*parse
	working bool // a goroutine takes messages off the head
}

// parse is a message in a series; ready is what the parser has answered, or what needs no parser.
type parse struct {
	m     *Message
	raw   bool // the payload is to be replaced by json
	ready bool
	json  []byte
	err   error
}

// join gives m to the parser if it wants that, and has it wait its turn if it or an earlier message of the device does.
func (ps *parses) join(m *Message) bool {
	if !m.Topic.Parse && ps.open.Load() == 0 {
		return false
	}
	ps.mu.Lock()
	s := ps.all[m.DeviceID]
	if s == nil && !m.Topic.Parse {
		ps.mu.Unlock()
		return false
	}
	if s == nil {
		s = &series{device: m.DeviceID}
		if ps.all == nil {
			ps.all = map[int64]*series{}
		}
		ps.all[m.DeviceID] = s
		ps.open.Add(1)
	}
	one := &parse{m: m, raw: m.Topic.Parse, ready: !m.Topic.Parse}
	s.waiting = append(s.waiting, one)
	ps.mu.Unlock()
	if !one.raw {
		return true
	}
	m.Topic, m.Name = m.Topic.Parsed(m.Name)
	if ps.path.Parser == nil {
		ps.done(s, one, nil, errNoParser)
		return true
	}
	ps.path.Parser.Parse(m.ctx, m, func(json []byte, err error) { ps.done(s, one, json, err) })
	return true
}

// done notes what the parser has made of a message.
func (ps *parses) done(s *series, one *parse, json []byte, err error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	one.ready, one.json, one.err = true, json, err
	if !s.working && s.waiting[0].ready {
		s.working = true
		ps.running.Go(func() { ps.work(s) })
	}
}

// work takes messages off the head of a series into the path, until the first one that is not ready.
func (ps *parses) work(s *series) {
	for {
		one := ps.next(s)
		if one == nil {
			return
		}
		ps.path.parsed(one)
	}
}

// next takes the head off; nil when it is not ready, or when there is none and the series ends. The one before it is in the path by now,
// so that what the device sends next cannot overtake it.
func (ps *parses) next(s *series) *parse {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch {
	case len(s.waiting) == 0:
		delete(ps.all, s.device)
		ps.open.Add(-1)
		return nil
	case !s.waiting[0].ready:
		s.working = false
		return nil
	}
	one := s.waiting[0]
	s.waiting[0] = nil
	s.waiting = s.waiting[1:]
	return one
}

// wait waits for the goroutines that are at work.
func (ps *parses) wait() { ps.running.Wait() }

// parsed goes on with a message where Take left it.
func (p *Path) parsed(one *parse) {
	m := one.m
	if one.raw && one.err == nil {
		m.Payload = one.json
		_, one.err = m.Doc()
	}
	if one.raw {
		p.scripted(m, one.err)
	}
	if one.err != nil {
		p.fail(m, one.err)
		return
	}
	p.enter(m)
}

// scripted notes what the parser made of a message.
func (p *Path) scripted(m *Message, err error) {
	if !m.Journaled() {
		return
	}
	h := Hop{Name: scriptHop, Result: OK, Took: p.lap(m)}
	if err != nil {
		if r, ok := refusalOf(err); ok {
			h.Result, h.Code, h.Reason = Refused, r.Code, r.Reason
		} else {
			h.Result, h.Reason = Failed, err.Error()
		}
	}
	m.Hop(h)
}
