package ota

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
)

// live is what this node knows of a campaign that goes on: refreshed every second from the store, so that offers need no look at it. Its limits
// hold over all nodes, but for what other nodes offer within that second.
type live struct {
	campaign *Campaign
	size     int64 // bytes of the firmware
	meter    rollout.Meter
	grant    int64     // offers that may still be made
	offers   int64     // that were made by all nodes, as of the last refresh
	own      int64     // that this node made since
	idle     time.Time // nobody is looked up to push to before
	shown    string    // what watchers were told last
}

// lives are the campaigns that go on.
type lives struct {
	mu   sync.Mutex // guards the fields below, and what the lives hold
	byID map[int64]*live
}

// get is the campaign with that id as this node knows it; nil if it does not.
func (l *lives) get(id int64) *Campaign {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v := l.byID[id]; v != nil {
		return v.campaign
	}
	return nil
}

// take takes the leave to make an offer. A deployment of no campaign needs none.
func (l *lives) take(d *deployment) bool {
	if d.Wave == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.byID[d.Task]
	if c == nil || c.campaign.Status != Running || c.grant <= 0 {
		return false
	}
	c.grant--
	c.own++
	c.meter.Spend(1, c.size)
	return true
}

// put replaces what is known of a campaign at once, for this node.
func (l *lives) put(c *Campaign) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if have := l.byID[c.ID]; have != nil {
		have.campaign = c
	}
}

// look tells how many devices a campaign may look up now; 0 is none. Until poll has passed it does not do so again, unless stirred: a look at all
// who are away is not free. That is set before the look, so that who stirs meanwhile is not forgotten.
func (l *lives) look(v *live, now time.Time, poll time.Duration) (id, limit int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit = min(v.grant, pushBatch); limit <= 0 || now.Before(v.idle) {
		return v.campaign.ID, 0
	}
	v.idle = now.Add(poll)
	return v.campaign.ID, limit
}

// stir has a campaign look again, not before at, for devices that may be offered something.
func (l *lives) stir(id int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v := l.byID[id]; v != nil && at.Before(v.idle) {
		v.idle = at
	}
}

// drop forgets a campaign that has ended.
func (l *lives) drop(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byID, id)
}

// keep forgets the campaigns that are not listed: another node has ended them.
func (l *lives) keep(list []*Campaign) {
	on := make(map[int64]bool, len(list))
	for _, c := range list {
		on[c.ID] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.byID, func(id int64, _ *live) bool { return !on[id] })
}

// maxGrant bounds what one second may offer without a rate.
const maxGrant = 5000

// refresh makes the grant of the next second.
func (l *lives) refresh(c *Campaign, size int64, p Progress, now time.Time) *live {
	var offers int64
	for _, count := range p {
		offers += count.Offers
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.byID[c.ID]
	if v == nil {
		v = &live{offers: offers}
		l.byID[c.ID] = v
	}
	if others := offers - v.offers - v.own; others > 0 {
		v.meter.Spend(others, size)
	}
	if v.campaign == nil || v.campaign.Released != c.Released || v.campaign.Status != c.Status {
		v.idle = time.Time{}
	}
	v.campaign, v.size, v.offers, v.own = c, size, offers, 0
	v.grant = 0
	if c.Status == Running {
		v.grant = v.meter.Grant(c.Rate, now, now.Sub(c.Started), p.Running(), size, maxGrant)
	}
	return v
}

// policy is the campaign of a deployment; nil for a task. It is read when this node does not know it yet.
func (o *OTA) policy(ctx context.Context, d *deployment) (*Campaign, error) {
	if d.Wave == 0 {
		return nil, nil
	}
	if c := o.lives.get(d.Task); c != nil {
		return c, nil
	}
	return o.Campaign(ctx, d.Device.Product, d.Task)
}

// failed is what becomes of d when the device gives up: another try later if the campaign says so, else the end.
func (o *OTA) failed(d *deployment, as State, class string, code int64) change {
	if k := d.campaign; k != nil && (as == Failed || as == Rejected) && k.Status < Aborted {
		if wait, ok := k.Retry.After(stockFailure(class), d.tries(), rand.Float64()); ok {
			c := d.now()
			c.state, c.class, c.code, c.percent, c.deadline, c.nextAt = Initial, class, code, 0, k.queuedUntil(o.now()), o.now().Add(wait)
			return c
		}
	}
	return d.end(as, class, code)
}
