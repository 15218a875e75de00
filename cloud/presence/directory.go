package presence

import (
	"hash/maphash"
	"sync"

	"github.com/hawser-iot/hawser/protocol/ident"
)

const shards = 64

// directory finds this node's sessions by device. It is sharded, so that logins do not wait for each other.
type directory [shards]shard

type shard struct {
	mu  sync.RWMutex // guards all
	all map[ident.Device]*Session
}

var seed = maphash.MakeSeed()

func (d *directory) shard(dev ident.Device) *shard {
	return &d[maphash.Comparable(seed, dev)%shards]
}

func (d *directory) get(dev ident.Device) (*Session, bool) {
	sh := d.shard(dev)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	s, ok := sh.all[dev]
	return s, ok
}

func (d *directory) put(s *Session) {
	sh := d.shard(s.Device.Identity)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.all == nil {
		sh.all = map[ident.Device]*Session{}
	}
	sh.all[s.Device.Identity] = s
}

// remove takes s out, unless another session has its place already.
func (d *directory) remove(s *Session) {
	sh := d.shard(s.Device.Identity)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.all[s.Device.Identity] == s {
		delete(sh.all, s.Device.Identity)
	}
}

func (d *directory) each(f func(*Session) bool) {
	var list []*Session
	for i := range d {
		sh := &d[i]
		list = list[:0]
		sh.mu.RLock()
		for _, s := range sh.all {
			list = append(list, s)
		}
		sh.mu.RUnlock()
		for _, s := range list {
			if !f(s) {
				return
			}
		}
	}
}

func (d *directory) len() int {
	n := 0
	for i := range d {
		d[i].mu.RLock()
		n += len(d[i].all)
		d[i].mu.RUnlock()
	}
	return n
}
