package ota

import (
	"sync"
	"time"
)

// soonest is the earliest of some moments; the zero value has none. It is safe for concurrent use.
type soonest struct {
	mu   sync.Mutex // guards the field below
	next time.Time  // zero: none
}

// at adds a moment.
func (s *soonest) at(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next.IsZero() || t.Before(s.next) {
		s.next = t
	}
}

// due tells whether a moment has come. It is forgotten then.
func (s *soonest) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next.IsZero() || now.Before(s.next) {
		return false
	}
	s.next = time.Time{}
	return true
}
