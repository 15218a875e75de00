package metric

import (
	"strconv"

	"github.com/hawser-iot/hawser/cloud/monitor/meter"
)

// point is what was counted in a time; set has a bit for each gauge that is told.
type point struct {
	n   [names]int64
	set uint32
}

func (p *point) gauge(n Name, v int64) {
	p.n[n] += v
	p.set |= 1 << n
}

// cursor is how far somebody has read the counters.
type cursor struct {
	products map[string]meter.Values
	rules    map[int64]Rule
}

func newCursor() cursor {
	return cursor{make(map[string]meter.Values), make(map[int64]Rule)}
}

// Of is the scope of a rule.
func Of(rule int64) string { return "#" + strconv.FormatInt(rule, 10) }

// points are what was counted, by scope.
type points map[string]*point

func (ps points) at(scope string) *point {
	p := ps[scope]
	if p == nil {
		p = &point{}
		ps[scope] = p
	}
	return p
}

// delta is what was counted since the last time. The hub is always in it.
func (h *History) delta(c *cursor) points {
	ps := points{Hub: {}}
	ps.at(Hub).gauge(Connections, int64(h.Connections()))
	for product, counts := range h.Meter.Products() {
		now, last := counts.Values(), c.products[product]
		if now == last {
			continue
		}
		c.products[product] = now
		of := []*point{ps.at(Hub)}
		if project := h.Project(product); project != "" {
			of = append(of, ps.at(Project(project)), ps.at(Product(product)))
		}
		for k := range now {
			for _, p := range of {
				p.n[kinds[k]] += now[k] - last[k]
			}
		}
	}
	h.Rules(func(r Rule) { ps.rule(r, c) })
	return ps
}

// rule adds what a rule has done. Of the hub and its project what is not counted by product.
func (ps points) rule(r Rule, c *cursor) {
	last := c.rules[r.ID]
	c.rules[r.ID] = r
	since := func(now, last int64) int64 {
		if now < last {
			return now // it has begun anew
		}
		return now - last
	}
	failed, retries := since(r.Failed, last.Failed), since(r.Retries, last.Retries)
	for _, scope := range []string{Hub, Project(r.Project)} {
		if failed+retries+r.Waiting+last.Waiting != 0 || scope == Hub {
			p := ps.at(scope)
			p.n[RuleFailed] += failed
			p.n[RuleRetries] += retries
			p.gauge(RuleWaiting, r.Waiting)
		}
	}
	own := point{}
	own.n[RuleMatched], own.n[RuleDelivered] = since(r.Matched, last.Matched), since(r.Delivered, last.Delivered)
	own.n[RuleDead], own.n[RuleDropped] = since(r.Dead, last.Dead), since(r.Dropped, last.Dropped)
	own.n[RuleFailed], own.n[RuleRetries] = failed, retries
	if own.n != [names]int64{} || r.Waiting != 0 || last.Waiting != 0 {
		own.gauge(RuleWaiting, r.Waiting)
		ps[Of(r.ID)] = &own
	}
}
