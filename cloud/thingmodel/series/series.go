// Package series keeps what devices reported of their properties over time, in a segment log: written behind the path,
// compressed, thrown away by age and size (Trim: by age and number of each device's values), read by device, property and time, raw or down-sampled.
//
// It promises that Add never waits, and that what cannot be kept is dropped and counted; that a reader sees what was added
// before it asked; and that values are returned in the order of their times, however late they came in. It leaves to the
// thing model what a value may be, and to its callers how far back a product's values are shown and kept.
//
// A record of the log is one report of one device at one time: its key is the device's id, its data are
//
//	1        version (1)
//	uvarint  how many properties
//	for each: uvarint length, identifier, uvarint length, value as JSON
//
// A log is one node's: a hub of several nodes has in each what that node took in, and asks all of them (nodes.go).
package series

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/segment"
)

const version = 1

// Series is safe for concurrent use.
type Series struct {
	log     *segment.Log
	reports sync.Pool
	max     int // values that one question may look at
	age     time.Duration
	peers   Peers
	out     *slog.Logger
}

// Config says where the log is and how much it keeps.
type Config struct {
	Dir string
	// MaxAge and MaxBytes bound what is kept of all devices together.
	MaxAge   time.Duration
	MaxBytes int64
	// MaxScan bounds how many values one question may look at; 0 is 20 million.
	MaxScan int
	Peers   Peers
}

// Open opens the log; Run must follow.
func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Series, error) {
	c := segment.DefaultConfig(cfg.Dir)
	c.MaxAge, c.MaxBytes = cfg.MaxAge, cfg.MaxBytes
	l, err := segment.Open(c, log)
	if err != nil {
		return nil, fmt.Errorf("open the history of properties: %w", err)
	}
	s := &Series{log: l, max: cfg.MaxScan, age: cfg.MaxAge, peers: cfg.Peers, out: log}
	if s.max == 0 {
		s.max = 20_000_000
	}
	s.reports.New = func() any { return &Report{series: s} }
	if reg != nil {
		reg.MustRegister(collector{l})
	}
	return s, nil
}

// Run writes, and answers other nodes, until ctx ends, and then writes what is left.
func (s *Series) Run(ctx context.Context) error {
	if s.peers.Bus == nil {
		return s.log.Run(ctx)
	}
	stop, err := s.serve(ctx)
	if err != nil {
		return fmt.Errorf("series: %w", err)
	}
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { s.announce(ctx) })
	err = s.log.Run(ctx)
	wg.Wait()
	return err
}

// Report is what a device reports in one message. It is made while the message is handled and kept, or not, when the
// message has ended.
type Report struct {
	series *Series
	device int64
	buf    []byte
	room   []byte
	parts  []part
}

// part is the values of one time: buf[at:end] without the head.
type part struct {
	time    time.Time
	n       int
	at, end int
}

// Begin begins a report of a device. Keep or Drop must follow.
func (s *Series) Begin(device int64) *Report {
	r := s.reports.Get().(*Report)
	r.device, r.buf, r.parts = device, r.buf[:0], r.parts[:0]
	return r
}

// Room is memory to put the next value of Add into.
func (r *Report) Room() []byte { return r.room[:0] }

// Add adds a value in JSON. Values of one time should come one after the other.
func (r *Report) Add(identifier string, unixMilli int64, json []byte) {
	at := time.UnixMilli(unixMilli)
	if n := len(r.parts); n == 0 || !r.parts[n-1].time.Equal(at) {
		r.parts = append(r.parts, part{time: at, at: len(r.buf)})
	}
	p := &r.parts[len(r.parts)-1]
	p.n++
	r.buf = binary.AppendUvarint(r.buf, uint64(len(identifier)))
	r.buf = append(r.buf, identifier...)
	r.buf = binary.AppendUvarint(r.buf, uint64(len(json)))
	r.buf = append(r.buf, json...)
	p.end = len(r.buf)
	r.room = json
}

// End keeps the report of a message that ended with err, or drops it. A nil Report is none.
func (r *Report) End(err error) {
	switch {
	case r == nil:
	case err == nil:
		r.Keep()
	default:
		r.Drop()
	}
}

// Keep hands the report to the log. It does not wait; what the log does not take is counted there.
func (r *Report) Keep() {
	for i := range r.parts {
		p := &r.parts[i]
		// The head goes in front of the values: into the room of the scratch behind them.
		head := len(r.buf)
		r.buf = append(r.buf, version)
		r.buf = binary.AppendUvarint(r.buf, uint64(p.n))
		r.buf = append(r.buf, r.buf[p.at:p.end]...)
		_ = r.series.log.Append(p.time, r.buf[head:], uint64(r.device)) // a drop is counted by the log
		r.buf = r.buf[:head]
	}
	r.Drop()
}

// Drop forgets the report.
func (r *Report) Drop() {
	if cap(r.buf)+cap(r.room) > 64<<10 { // a rare large one does not stay in the pool
		r.buf, r.room = nil, nil
	}
	r.series.reports.Put(r)
}

// errRecord is a record that this program cannot read.
var errRecord = errors.New("series: record is damaged or newer than this program")

// each calls f for the values of a record, which are valid until f returns; backward calls it for the last one first.
func each(data []byte, values []value, f func(value) bool, backward bool) ([]value, bool, error) {
	values = values[:0]
	if len(data) == 0 || data[0] != version {
		return values, true, errRecord
	}
	n, w := binary.Uvarint(data[1:])
	if w <= 0 || n > uint64(len(data)) {
		return values, true, errRecord
	}
	data = data[1+w:]
	for range n {
		var v value
		var ok bool
		if v.identifier, data, ok = cut(data); ok {
			v.json, data, ok = cut(data)
		}
		if !ok {
			return values, true, errRecord
		}
		values = append(values, v)
	}
	for i := range values {
		if backward {
			i = len(values) - 1 - i
		}
		if !f(values[i]) {
			return values, false, nil
		}
	}
	return values, true, nil
}

type value struct {
	identifier, json []byte
	at               time.Time // of its record
}

// cut takes a length and so many bytes off data.
func cut(data []byte) (b, rest []byte, ok bool) {
	n, w := binary.Uvarint(data)
	if w <= 0 || n > uint64(len(data)-w) {
		return nil, nil, false
	}
	return data[w : w+int(n)], data[w+int(n):], true
}
