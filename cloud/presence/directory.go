package presence

import (
	"sync"

	"github.com/hawser-iot/hawser/cloud/registry/roster"
	"github.com/hawser-iot/hawser/protocol/ident"
)

const shards = 64

// directory finds this node's sessions by device. It is sharded, so that logins do not wait for each other.
type directory [shards]shard

type shard struct {
	mu  sync.RWMutex // guards all
	all roster.Roster[*Session]
}

// Of implements roster.Member.
func (s *Session) Of() ident.Device { return s.Device.Identity }

func (d *directory) get(dev ident.Device) (*Session, bool) {
	hash := roster.Hash(dev)
	sh := &d[hash%shards]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.all.Get(hash, dev)
}

func (d *directory) put(s *Session) {
	hash := roster.Hash(s.Of())
	sh := &d[hash%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.all.Put(hash, s)
}

// remove takes s out, unless another session has its place already.
func (d *directory) remove(s *Session) {
	hash := roster.Hash(s.Of())
	sh := &d[hash%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.all.Remove(hash, s)
}

func (d *directory) each(f func(*Session) bool) {
	var list []*Session
	for i := range d {
		sh := &d[i]
		list = list[:0]
		sh.mu.RLock()
		for s := range sh.all.All() {
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
		n += d[i].all.Len()
		d[i].mu.RUnlock()
	}
	return n
}
