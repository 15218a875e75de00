// Package state is the agent's small state on the disk: what it must know again after a restart, in one bbolt file of named buckets.
//
// It promises: what Put took is on the disk within a second, what PutNow returned for is on it, each whole, whenever the power is cut; readers see
// what was put last at once. One goroutine writes, and one transaction takes all that came in its second. A file that is more than four times as
// large as what lives in it is written anew at the start. A file that is damaged is set aside, with a line in the log, and an empty one takes its place: whoever keeps
// something here must be able to do without it. So messages are not here but in buffer, and neither is what an update must not forget (device-sdk/update keeps it in files of its own).
package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// Every is how long a change may wait for company.
const Every = time.Second

// Errors of Open and of writes.
var (
	// ErrInUse: another process has the file open.
	ErrInUse = errors.New("state: the file is in use by another process")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("state: closed")
)

// Store is an open file. Run writes what waits; without it Flush and Close do.
type Store struct {
	path  string
	log   *slog.Logger
	every time.Duration

	// writing is held while a transaction is made; mu, which is never held meanwhile, guards the fields below. Lock order: writing, mu.
	writing sync.Mutex
	mu      sync.Mutex
	db      *bbolt.DB // nil when closed
	pending changes   // not on the disk yet
	going   changes   // being written
	poke    chan struct{}
	failed  time.Time // when a failure was logged last
}

// changes are new values, nil for a removal, by bucket and key.
type changes map[string]map[string][]byte

// Bucket is a part of the store with keys of its own.
type Bucket struct {
	s    *Store
	name string
}

// Bucket returns the bucket of that name. It needs not be made.
func (s *Store) Bucket(name string) *Bucket { return &Bucket{s, name} }

// Get returns a copy of the value of a key, nil when it has none.
func (b *Bucket) Get(key string) []byte {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	for _, c := range []changes{b.s.pending, b.s.going} {
		if v, ok := c[b.name][key]; ok {
			return slices.Clone(v)
		}
	}
	var out []byte
	b.s.viewLocked(b.name, func(in *bbolt.Bucket) { out = slices.Clone(in.Get([]byte(key))) })
	return out
}

// Keys returns the keys that have a value, in order.
func (b *Bucket) Keys() []string {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	all := make(map[string]bool)
	b.s.viewLocked(b.name, func(in *bbolt.Bucket) {
		_ = in.ForEach(func(k, _ []byte) error { all[string(k)] = true; return nil })
	})
	for _, c := range []changes{b.s.going, b.s.pending} {
		for k, v := range c[b.name] {
			if all[k] = v != nil; v == nil {
				delete(all, k)
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// viewLocked reads a bucket of the file, if it is there. What can't be read is not there: Open has checked the file, and a medium that fails
// later must not end the agent.
func (s *Store) viewLocked(name string, read func(*bbolt.Bucket)) {
	if s.db == nil {
		return
	}
	err := guarded(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			if in := tx.Bucket([]byte(name)); in != nil {
				read(in)
			}
			return nil
		})
	})
	if err != nil {
		s.log.Error("the agent's state can't be read", "file", s.path, "err", err)
	}
}

// Put sets a key; nil removes it. It is on the disk within Every.
func (b *Bucket) Put(key string, value []byte) {
	b.s.mu.Lock()
	b.s.putLocked(b.name, key, value)
	b.s.mu.Unlock()
	select {
	case b.s.poke <- struct{}{}:
	default:
	}
}

func (s *Store) putLocked(bucket, key string, value []byte) {
	if s.pending[bucket] == nil {
		s.pending[bucket] = make(map[string][]byte)
	}
	if value != nil {
		value = append([]byte{}, value...)
	}
	s.pending[bucket][key] = value
}

// PutNow sets a key and returns when that is on the disk, with all that waited.
func (b *Bucket) PutNow(key string, value []byte) error {
	b.s.mu.Lock()
	b.s.putLocked(b.name, key, value)
	b.s.mu.Unlock()
	return b.s.Flush()
}

// Flush writes what waits. After an error it waits on.
func (s *Store) Flush() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	db := s.db
	if len(s.pending) == 0 {
		s.mu.Unlock()
		return nil
	}
	if db == nil {
		s.mu.Unlock()
		return ErrClosed
	}
	s.going, s.pending = s.pending, make(changes)
	s.mu.Unlock()
	err := guarded(func() error { return db.Update(s.going.apply) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		for bucket, keys := range s.going {
			for k, v := range keys {
				if _, newer := s.pending[bucket][k]; !newer {
					s.putLocked(bucket, k, v)
				}
			}
		}
		err = fmt.Errorf("state: write %s: %w", s.path, err)
	}
	s.going = nil
	return err
}

func (c changes) apply(tx *bbolt.Tx) error {
	for bucket, keys := range c {
		b, err := tx.CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		for k, v := range keys {
			if v == nil {
				err = b.Delete([]byte(k))
			} else {
				err = b.Put([]byte(k), v)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Run writes what Put took until ctx ends, and then the rest.
func (s *Store) Run(ctx context.Context) error {
	for {
		select {
		case <-s.poke:
		case <-ctx.Done():
			s.write()
			return nil
		}
		wait := time.NewTimer(s.every)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
		}
		s.write()
	}
}

// write is Flush of what nobody waits for. It is tried again with the next change.
func (s *Store) write() {
	err := s.Flush()
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.failed.IsZero() || now.Sub(s.failed) > 10*time.Second {
		s.failed = now
		s.log.Warn("the agent's state can't be written; it is tried again", "err", err)
	}
}

// Close writes what waits and closes the file; call it after Run has ended.
func (s *Store) Close() error {
	s.mu.Lock()
	db := s.db
	s.mu.Unlock()
	if db == nil {
		return nil
	}
	err := s.Flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db = nil
	return errors.Join(err, db.Close())
}
