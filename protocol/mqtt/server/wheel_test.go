package server

import (
	"testing"
	"testing/synctest"
	"time"
)

// seen is something with a deadline that notes when it is looked at.
type seen struct {
	timed
	stamp, next int64
	looks       []int64
}

func (s *seen) checkDeadline(now int64) int64 {
	s.looks = append(s.looks, now)
	if now >= s.next {
		return 0
	}
	return s.next
}

func (s *seen) late(from, now int64) {
	if s.stamp == from {
		s.stamp = now
	}
}

// TestWheelThatIsLate: what was noted under the last tick before a stop of the machine counts as of its end, a deadline that is set behind it is not
// too early, and what was due meanwhile is looked at.
func TestWheelThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wheel{}
		w.init(Config{ConnectTimeout: 8 * time.Second, StoreTimeout: 8 * time.Second})
		due, quiet := &seen{}, &seen{}
		due.what, quiet.what = due, quiet
		w.turning, w.turned = true, time.Now().Add(-5500*time.Millisecond) // it stood for five ticks
		quiet.stamp = w.now.Load()
		w.add(&due.timed, 3)
		w.add(&quiet.timed, 200)
		if at := w.after(2 * time.Second); at != 1+5+2+1 {
			t.Errorf("two seconds end at tick %d, want 9", at)
		}
		w.catchUp()
		if now := w.now.Load(); now != 6 || quiet.stamp != 6 || len(quiet.looks) != 0 {
			t.Errorf("tick %d, stamp %d, looks %v, want 6, 6 and none", now, quiet.stamp, quiet.looks)
		}
		if len(due.looks) != 1 || due.looks[0] != 6 || due.in {
			t.Errorf("what was due was looked at at %v, still in it: %t", due.looks, due.in)
		}
		if since := time.Since(w.turned); since != 500*time.Millisecond {
			t.Errorf("the rest of a tick is lost: %s", since)
		}
	})
}

// TestWheelKeepsTime: an hour takes an hour, with a look now and then.
func TestWheelKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wheel{}
		w.init(Config{ConnectTimeout: 8 * time.Second, StoreTimeout: 8 * time.Second})
		s, begin := &seen{}, time.Now()
		s.what = s
		at := w.after(time.Hour)
		s.next = at
		w.add(&s.timed, at)
		<-w.last // it ends when nothing is in it any more
		if d := time.Since(begin); d < time.Hour || d > time.Hour+3*time.Second {
			t.Errorf("an hour took %s", d)
		}
		if n := len(s.looks); n != 15 || s.looks[n-1] != at { // every 255 ticks, and at the end
			t.Errorf("looked at %v, want 15 times, at last at %d", s.looks, at)
		}
	})
}
