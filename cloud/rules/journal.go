package rules

import "time"

// Journal keeps what became of the records of rules; *messagelog.Log does so by way of the hub. It must not block.
type Journal interface{ Delivery(Delivery) }

// Delivery is what came of one record at one sink.
type Delivery struct {
	Record *Record // must not be kept
	Rule   string  // its name; "" when it was deleted meanwhile
	Action int64
	Sink   string        // the kind of sink
	Took   time.Duration // that the sink took
	Waited time.Duration // since the message came
	Err    error         // nil: it was delivered
	Dead   bool          // it is a dead letter; otherwise what failed is tried again
}

// journal tells of records that a sink has taken or not.
func (ln *lane) journal(records []Record, took time.Duration, err error, dead bool) {
	r := ln.shard.rules
	if r.Deps.Journal == nil {
		return
	}
	d := Delivery{Action: ln.action.id, Sink: ln.action.kind, Took: took, Err: err, Dead: dead}
	if c := r.set.Load().rule(ln.action.rule); c != nil {
		d.Rule = c.Name
	}
	now := r.now()
	for i := range records {
		d.Record, d.Waited = &records[i], now.Sub(records[i].Time)
		r.Deps.Journal.Delivery(d)
	}
}
