package registry

import (
	"container/list"
	"sync"

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
// does.
type deviceCache struct {
	max int

	mu  sync.Mutex // guards the fields below
	gen uint64     // counts changes
	// changed is a ring of the last changes, the g-th at g % changesKept, so
	// that a read that began before a change of its device is not kept.
	changed [changesKept]changedDevice
	byID    map[int64]*list.Element
	byIdent map[ident.Device]*list.Element
	order   *list.List // of *Device, newest first
}

func newDeviceCache(limit int) *deviceCache {
	return &deviceCache{max: limit, byID: make(map[int64]*list.Element), byIdent: make(map[ident.Device]*list.Element), order: list.New()}
}

func (c *deviceCache) get(id ident.Device) (*Device, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.useLocked(c.byIdent[id])
}

func (c *deviceCache) getID(id int64) (*Device, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.useLocked(c.byID[id])
}

func (c *deviceCache) useLocked(e *list.Element) (*Device, bool) {
	if e == nil {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*Device), true
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
	if c.order.Len() >= c.max {
		c.removeLocked(c.order.Back())
	}
	e := c.order.PushFront(d)
	c.byID[d.ID], c.byIdent[d.Identity] = e, e
}

func (c *deviceCache) noteLocked(d changedDevice) {
	c.changed[c.gen%changesKept] = d
	c.gen++
}

func (c *deviceCache) touch(id int64, change func(*Device)) *Device {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLocked(changedDevice{id: id})
	e := c.byID[id]
	if e == nil {
		return nil
	}
	d := *e.Value.(*Device)
	change(&d)
	e.Value = &d
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
	c.removeLocked(c.byIdent[id])
}

func (c *deviceCache) removeProduct(sn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLocked(changedDevice{ident: ident.Device{Product: sn}})
	for id, e := range c.byIdent {
		if id.Product == sn {
			c.removeLocked(e)
		}
	}
}

func (c *deviceCache) removeLocked(e *list.Element) {
	if e == nil {
		return
	}
	d := c.order.Remove(e).(*Device)
	delete(c.byID, d.ID)
	delete(c.byIdent, d.Identity)
}
