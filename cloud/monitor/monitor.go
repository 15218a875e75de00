// Package monitor is the live feed of what goes on in the hub: accepted
// messages, presence, changes of shadows and properties, commands, firings of
// rules. The API serves it as server-sent events.
//
// It promises that publishing never blocks and costs next to nothing while
// nobody looks, that ids only grow, that each subscriber gets its events in the
// order of their ids, and that what a slow subscriber misses is counted: its
// queue is bounded and the oldest event goes first. A subscriber that comes back with
// the last id it saw gets what happened since, as far as the ring still has it.
// The feed is for eyes: nothing durable may depend on it. It leaves to others
// who may see what.
package monitor

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/protocol/message"
)

// The types of Event.
const (
	TypeMessage  = "message"
	TypePresence = "presence"
	TypeShadow   = "shadow"
	TypeProperty = "property"
	TypeEvent    = "event"
	TypeCommand  = "command"
	TypeRule     = "rule"
	TypeOTA      = "ota"
	TypeCampaign = "campaign" // how many devices of a campaign are where; it has no Device
)

// Event is something that happened. Data is valid JSON or nil; whoever
// publishes an Event must not change Data afterwards.
type Event struct {
	ID        int64 // set by Publish
	Time      time.Time
	Type      string // one of the Type constants
	Product   string // ProductSN
	Device    string // DeviceSN
	Topic     string
	MessageID message.ID
	Data      json.RawMessage
	// Seq counts what a subscription takes, from 1 on: where it jumps, the subscriber was too slow.
	Seq int64
}

// Filter narrows a subscription; the zero Filter takes everything.
type Filter struct {
	Product string
	Device  string
	Types   []string // nil: all
	// After is the last id the subscriber has seen: what the ring still holds
	// above it comes first. 0 starts with the next event.
	After int64
}

func (f *Filter) takes(e *Event) bool {
	if f.Product != "" && f.Product != e.Product || f.Device != "" && f.Device != e.Device {
		return false
	}
	if f.Types == nil {
		return true
	}
	for _, t := range f.Types {
		if t == e.Type {
			return true
		}
	}
	return false
}

// Config bounds the feed's memory.
type Config struct {
	Ring  int // events kept for those who come back
	Queue int // events that wait for one subscriber
}

// DefaultConfig keeps the last 1024 events and queues 256 for a subscriber.
func DefaultConfig() Config { return Config{Ring: 1024, Queue: 256} }

// Feed is safe for concurrent use.
type Feed struct {
	cfg Config

	watched atomic.Int32 // number of subscribers, for Watched
	dropped atomic.Uint64

	mu    sync.Mutex // guards the fields below
	first int64      // ids up to this one are of another life
	last  int64
	ring  []Event // the event with id i is at i % len(ring)
	subs  map[*subscriber]struct{}
}

type subscriber struct {
	filter Filter
	ch     chan Event // written under Feed.mu only
	taken  int64      // events that were offered
}

// New returns a Feed. Its ids start at the present time in microseconds, so
// that they grow over a restart too and an id from before it is not taken for
// one of this life.
func New(cfg Config) *Feed {
	def := DefaultConfig()
	if cfg.Ring <= 0 {
		cfg.Ring = def.Ring
	}
	if cfg.Queue <= 0 {
		cfg.Queue = def.Queue
	}
	now := time.Now().UnixMicro()
	return &Feed{cfg: cfg, first: now, last: now, ring: make([]Event, cfg.Ring), subs: make(map[*subscriber]struct{})}
}

// Watched tells whether somebody is subscribed. An expensive Data need not be
// made when nobody is; the ring then lacks it.
func (f *Feed) Watched() bool { return f.watched.Load() > 0 }

// Dropped counts the events that slow subscribers missed.
func (f *Feed) Dropped() uint64 { return f.dropped.Load() }

// Publish gives e an id and hands it to the subscribers that want it. It never
// blocks: a subscriber whose queue is full loses its oldest event.
func (f *Feed) Publish(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	e.ID = f.last
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	f.ring[e.ID%int64(len(f.ring))] = e
	for s := range f.subs {
		if s.filter.takes(&e) {
			f.offerLocked(s, e)
		}
	}
}

// offerLocked puts e into the queue of s. Only holders of mu send, so after one
// receive there is room.
func (f *Feed) offerLocked(s *subscriber, e Event) {
	s.taken++
	e.Seq = s.taken
	for {
		select {
		case s.ch <- e:
			return
		default:
		}
		select {
		case <-s.ch:
			f.dropped.Add(1)
		default:
		}
	}
}

// Subscribe returns the events that filter takes and a cancel that closes the
// channel; cancel may be called more than once. A jump in Seq shows what was
// missed.
func (f *Feed) Subscribe(filter Filter) (<-chan Event, func()) {
	events, _, cancel := f.Resume(filter)
	return events, cancel
}

// Resume is Subscribe for one who may come back; whole tells that nothing above
// filter.After is missing.
func (f *Feed) Resume(filter Filter) (events <-chan Event, whole bool, cancel func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	oldest := max(f.first, f.last-int64(len(f.ring))) // the ring has what is above
	whole = filter.After <= 0 || filter.After >= oldest && filter.After <= f.last
	var missed []Event
	if filter.After > 0 {
		missed = f.sinceLocked(max(filter.After, oldest), &filter)
	}
	s := &subscriber{filter: filter, ch: make(chan Event, f.cfg.Queue+len(missed))}
	for _, e := range missed {
		f.offerLocked(s, e)
	}
	f.subs[s] = struct{}{}
	f.watched.Add(1)
	return s.ch, whole, func() { f.cancel(s) }
}

// sinceLocked are the events above after that filter takes.
func (f *Feed) sinceLocked(after int64, filter *Filter) []Event {
	var list []Event
	for id := after + 1; id <= f.last; id++ {
		e := &f.ring[id%int64(len(f.ring))]
		if e.ID == id && filter.takes(e) {
			list = append(list, *e)
		}
	}
	return list
}

func (f *Feed) cancel(s *subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.subs[s]; !ok {
		return
	}
	delete(f.subs, s)
	f.watched.Add(-1)
	close(s.ch)
}
