package rules

import (
	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/cloud/uplink"
)

// matched counts the records that a rule has made of a message, unless they were counted the last time that it was handled.
func (r *Rules) matched(c *compiled, m *uplink.Message, n int) {
	if n == 0 || !m.First() {
		return
	}
	c.faults.matched.Add(int64(n))
	r.Deps.Meter.Of(m.Device.Product).Add(meter.Matched, n)
}

// meter counts what became of parcels for the products of their devices.
func (p *pack) meter(k meter.Kind) {
	m := p.lane.shard.rules.Deps.Meter
	for i := range p.parcels {
		m.Of(p.parcels[i].record.Device.Product).Add(k, 1)
	}
}

// failed tells of parcels that were given up, as errors of the rule.
func (p *pack) failedFor(rule string) {
	m := p.lane.shard.rules.Deps.Meter
	for i := range p.parcels {
		m.Fail(meter.Error{Where: "rule", Product: p.parcels[i].record.Device.Product, What: rule})
	}
}

// Activity is what one rule has done on this node since the rule was put in force here; it only grows, or begins anew.
type Activity struct {
	Rule, Project                            string
	ID                                       int64
	Matched, Delivered, Dead, Dropped, Fails int64
	Retries                                  int64
	Waiting                                  int64 // records that are not settled on this node
}

// Activities calls f for each rule that is in force.
func (r *Rules) Activities(f func(Activity)) {
	for id, c := range r.set.Load().rules.all() {
		a := Activity{ID: id, Rule: c.Name, Project: c.Project, Matched: c.faults.matched.Load(), Fails: c.faults.failed.Load()}
		for act := range c.all() {
			t := act.books.settled()
			a.Delivered, a.Dead, a.Retries = a.Delivered+t.Delivered, a.Dead+t.Dead, a.Retries+t.Retries
			a.Dropped += t.Expired + t.Full + t.Damaged
			a.Waiting += act.books.left()
		}
		f(a)
	}
}
