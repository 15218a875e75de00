package rules

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/monitor/meter"
)

// parcel is a record on its way to a sink.
type parcel struct {
	record Record
	size   int // in the outbox
}

// pack is parcels of one lane that are sent together, and what became of that so far.
type pack struct {
	lane    *lane
	parcels []parcel
	late    bool // they come from the outbox, not from memory
	tries   int
	failed  []Failure // the first and the last ones
}

// Failure is why a record was not delivered, one time.
type Failure struct {
	At    time.Time `json:"time"`
	Error string    `json:"error"`
}

const maxFailures = 5

func (p *pack) waiting() waiting {
	w := waiting{shard: p.lane.shard.number, late: p.late, n: len(p.parcels)}
	for i := range p.parcels {
		w.bytes += int64(p.parcels[i].size)
	}
	return w
}

func (p *pack) records() []Record {
	list := make([]Record, len(p.parcels))
	for i := range p.parcels {
		list[i] = p.parcels[i].record
	}
	return list
}

// expire drops the parcels at the front that have become too old.
func (p *pack) expire() {
	limit := p.lane.action.service().options.expires()
	if limit <= 0 {
		return
	}
	oldest, n := p.lane.shard.rules.now().Add(-limit), 0
	for n < len(p.parcels) && p.parcels[n].record.Time.Before(oldest) {
		n++
	}
	if n == 0 {
		return
	}
	gone := pack{lane: p.lane, parcels: p.parcels[:n], late: p.late}
	p.lane.action.drop(gone.waiting(), dropExpired)
	gone.meter(meter.Dropped)
	p.parcels = p.parcels[n:]
}

// errStopped is what send returns when stop was closed before it was the pack's turn.
var errStopped = errors.New("rules: not sent")

// send tries once and keeps the books; of failures the journal is told of the first in a row.
func (p *pack) send(ctx context.Context, stop <-chan struct{}) error {
	ln := p.lane
	r, a, w := ln.shard.rules, ln.action, p.waiting()
	if err := r.keeper.trust(ctx); err != nil {
		return err
	}
	t, ok := a.breaker.enter(ctx, r.now, stop)
	if !ok {
		return errors.Join(errStopped, ctx.Err())
	}
	records := p.records()
	a.books.begin(w)
	begun := time.Now()
	err := sendSafely(ctx, a.service(), records)
	took := time.Since(begun)
	switch {
	case err == nil:
		a.delivered(w)
		p.meter(meter.Delivered)
		if a.breaker.answered(t, r.now()) {
			r.Deps.Log.Info("rule action works again", "rule", a.rule, "action", a.id, "sink", a.kind)
		}
		ln.journal(records, took, nil, false)
		return nil
	case ctx.Err() != nil:
		a.books.back(w, nil, r.now())
		a.breaker.gone(t, r.now())
		return err
	}
	p.note(t, w, records, took, err)
	return err
}

// note keeps what has gone wrong.
func (p *pack) note(t turn, w waiting, records []Record, took time.Duration, err error) {
	ln := p.lane
	r, a, now := ln.shard.rules, ln.action, ln.shard.rules.now()
	p.tries++
	if len(p.failed) == maxFailures {
		p.failed = append(p.failed[:1], p.failed[2:]...)
	}
	p.failed = append(p.failed, Failure{now.UTC().Truncate(time.Millisecond), shorten(err)})
	a.books.back(w, err, now)
	first := p.tries == 1
	if errors.Is(err, ErrUnavailable) {
		first = a.breaker.absent(t, now, func(n int) time.Duration { return r.cfg.pause(n, err) })
	} else {
		a.breaker.answered(t, now)
	}
	if p.tries == 1 && !errors.Is(err, ErrPermanent) {
		ln.journal(records, took, err, false)
	}
	if first {
		r.Deps.Log.Warn("rule action fails", "rule", a.rule, "action", a.id, "sink", a.kind, "topic", records[0].Topic,
			"message_id", records[0].MessageID, "err", err)
	}
}

// sendSafely is Send of a sink that may have a bug: one that panics costs its own records, not the hub.
func sendSafely(ctx context.Context, s Sink, records []Record) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("rules: the sink has a bug: %v\n%s", v, debug.Stack())
		}
	}()
	return s.Send(ctx, records)
}

const maxError = 1000

// shorten is an error as it is stored: what a target says may have a NUL in it, which PostgreSQL has in no text.
func shorten(err error) string {
	text := strings.ReplaceAll(err.Error(), "\x00", "\uFFFD")
	return strings.ToValidUTF8(text[:min(len(text), maxError)], "")
}

// pause is how long to wait after the n-th failure in a row.
func (cfg *Config) pause(n int, err error) time.Duration {
	d := cfg.RetryMax
	if shift := n - 1; shift < 30 {
		d = min(cfg.RetryMin<<shift, cfg.RetryMax)
	}
	d = d/2 + rand.N(d/2+1)
	var after RetryAfter
	if errors.As(err, &after) && after.RetryAfter() > 0 {
		asked := min(after.RetryAfter(), max(cfg.RetryMax, time.Minute))
		d = max(d, asked+rand.N(asked/10+1)) // not before it, and not all at once
	}
	return d
}
