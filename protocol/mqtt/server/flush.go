package server

import (
	"sync"
	"time"
)

// flusher writes for connections whose bytes came from another goroutine than their own: acknowledgements of a
// group commit. They gather for Config.AckDelay. Its goroutine exists only while there is something to write.
type flusher struct {
	mu      sync.Mutex // taken after conn.mu
	list    []*conn
	spare   []*conn
	running bool
}

// flushSoonLocked has c flushed within AckDelay. c.mu is held.
func (c *conn) flushSoonLocked() {
	if c.corked || c.writing || c.dirty {
		return
	}
	if c.srv.cfg.AckDelay <= 0 {
		c.flushLocked()
		return
	}
	c.dirty = true
	f := &c.srv.flush
	f.mu.Lock()
	f.list = append(f.list, c)
	if !f.running {
		f.running = true
		go f.run(c.srv.cfg.AckDelay)
	}
	f.mu.Unlock()
}

func (f *flusher) run(delay time.Duration) {
	for {
		time.Sleep(delay)
		f.mu.Lock()
		if len(f.list) == 0 {
			f.running = false
			f.mu.Unlock()
			return
		}
		list := f.list
		f.list = f.spare[:0]
		f.mu.Unlock()
		for i, c := range list {
			c.mu.Lock()
			c.dirty = false
			if !c.corked {
				c.flushLocked()
			}
			c.mu.Unlock()
			list[i] = nil
		}
		f.mu.Lock()
		f.spare = list
		f.mu.Unlock()
	}
}
