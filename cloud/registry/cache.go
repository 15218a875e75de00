package registry

import (
	"sync"

	"github.com/hawser-iot/hawser/cloud/registry/roster"
	"github.com/hawser-iot/hawser/protocol/ident"
)

const changesKept = 256

// changedDevice names a device by what the change knew of it; a product alone
// means all of its devices.
type changedDevice struct {
	id    int64
	ident ident.Device
}

func (c changedDevice) is(d *Device) bool {
	return c.id == d.ID || c.ident == d.Identity || c.ident == ident.Device{Product: d.Identity.Product}
}

// deviceCache holds the snapshots of the devices used last, by identity and by
// id. It is asked at logins and by the API, not for every message, so one lock
// does. Every connected device has its place in it, which is therefore small.
type deviceCache struct {
	max int

	mu  sync.Mutex // guards the fields below
	gen uint64     // counts changes
	// changed is a ring of the last changes, the g-th at g % changesKept, so
	// that a read that began before a change of its device is not kept.
	changed [changesKept]changedDevice
	byID    map[int64]*place
	byIdent roster.Roster[*place]
	order   place // of the ring of all places: next is the one used last, prev the one unused for longest
}

// place is a device's in the cache.
type place struct {
	device     *Device
	prev, next *place
}

// Of implements roster.Member.
func (p *place) Of() ident.Device { return p.device.Identity }

func (p *place) unlink() { p.prev.next, p.next.prev = p.next, p.prev }

func (p *place) linkAfter(q *place) {
	p.prev, p.next = q, q.next
	q.next.prev, q.next = p, p
}

func newDeviceCache(limit int) *deviceCache {
	c := &deviceCache{max: limit, byID: make(map[int64]*place)}
	c.order.prev, c.order.next = &c.order, &c.order
	return c
}

func (c *deviceCache) get(id ident.Device) (*Device, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, _ := c.byIdent.Get(roster.Hash(id), id)
	return c.useLocked(p)
}

func (c *deviceCache) getID(id int64) (*Device, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.useLocked(c.byID[id])
}

func (c *deviceCache) useLocked(p *place) (*Device, bool) {
	if p == nil {
		return nil, false
	}
	p.unlink()
	p.linkAfter(&c.order)
	return p.device, true
}

// ticket is taken before the store is read; fill keeps what was read unless
// something changed since.
func (c *deviceCache) ticket() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gen
}

func (c *deviceCache) fill(ticket uint64, d *Device) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gen-ticket > changesKept || c.byID[d.ID] != nil {
		return
	}
	for g := ticket; g < c.gen; g++ {
		if c.changed[g%changesKept].is(d) {
			return
		}
	}
	if len(c.byID) >= c.max {
		c.removeLocked(c.order.prev)
	}
	p := &place{device: d}
	p.linkAfter(&c.order)
	c.byID[d.ID] = p
	c.byIdent.Put(roster.Hash(d.Identity), p)
}

func (c *deviceCache) noteLocked(d changedDevice) {
	c.changed[c.gen%changesKept] = d
	c.gen++
}

func (c *deviceCache) touch(id int64, change func(*Device)) *Device {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLocked(changedDevice{id: id})
	p := c.byID[id]
	if p == nil {
		return nil
	}
	d := *p.device
	change(&d)
	p.device = &d
	return &d
}

func (c *deviceCache) invalidate(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLocked(changedDevice{id: id})
	c.removeLocked(c.byID[id])
}

func (c *deviceCache) remove(id ident.Device) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLocked(changedDevice{ident: id})
	p, _ := c.byIdent.Get(roster.Hash(id), id)
	c.removeLocked(p)
}

func (c *deviceCache) removeProduct(sn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLocked(changedDevice{ident: ident.Device{Product: sn}})
	for _, p := range c.byID {
		if p.device.Identity.Product == sn {
			c.removeLocked(p)
		}
	}
}

func (c *deviceCache) removeLocked(p *place) {
	if p == nil {
		return
	}
	p.unlink()
	delete(c.byID, p.device.ID)
	c.byIdent.Remove(roster.Hash(p.device.Identity), p)
}
