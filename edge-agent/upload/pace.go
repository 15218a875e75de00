package upload

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

// minRate is the slowest rate that can be asked for, bytes a second: slower, and the hub takes a request for one that has stalled.
const minRate = 1 << 10

var (
	errQuota = errors.New("upload: the day's bytes are sent")
	errBusy  = errors.New("upload: other messages wait to be sent")
)

const (
	// busyLook is how often it is looked whether others still wait, busyMost how long a request is held for them: then it is given up and tried again.
	busyLook = 100 * time.Millisecond
	busyMost = 20 * time.Second
)

// pace waits until n more bytes may be sent.
func (u *Upload) pace(ctx context.Context, n int) error {
	now := u.now()
	if u.day.left(now) < int64(n) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.stop != nil {
			u.stop(errQuota)
		}
		return errQuota
	}
	for began := now; u.cfg.Busy != nil && u.cfg.Busy(); {
		if time.Since(began) > busyMost {
			return errBusy
		}
		if err := wait(ctx, busyLook); err != nil {
			return err
		}
	}
	if err := wait(ctx, u.rate.take(n, time.Now())); err != nil {
		return err
	}
	u.day.spend(n, now)
	u.speed.add(n, time.Now())
	return nil
}

// meter says how fast bytes went of late. The zero meter is ready.
type meter struct {
	mu    sync.Mutex
	since time.Time
	bytes int64
	last  float64 // bytes a second before since
}

// meterTime is what is of late: the rate of one such time is told until the next one has passed.
const meterTime = 5 * time.Second

func (m *meter) add(n int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turnLocked(now)
	m.bytes += int64(n)
}

func (m *meter) turnLocked(now time.Time) {
	took := now.Sub(m.since)
	switch {
	case m.since.IsZero() || took >= 3*meterTime: // it was quiet between
		m.last = 0
	case took >= meterTime:
		m.last = float64(m.bytes) / took.Seconds()
	default:
		return
	}
	m.since, m.bytes = now, 0
}

// rate is in bytes a second.
func (m *meter) rate(now time.Time) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turnLocked(now)
	if took := now.Sub(m.since); m.last == 0 && took >= time.Second {
		return int64(float64(m.bytes) / took.Seconds())
	}
	return int64(m.last)
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bucket is a token bucket of one second.
type bucket struct {
	rate int64 // bytes a second; 0 is no bound
	mu   sync.Mutex
	free time.Time // when what was taken is paid for
}

// take takes n bytes and returns how long to wait for them.
func (b *bucket) take(n int, now time.Time) time.Duration {
	if b.rate == 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free.Before(now) {
		b.free = now
	}
	pause := b.free.Sub(now)
	b.free = b.free.Add(time.Duration(float64(n) / float64(b.rate) * float64(time.Second)))
	return pause
}

// quota counts the bytes of a day (UTC) over restarts.
type quota struct {
	most  int64 // 0 is no bound
	state State

	// mu guards the fields below.
	mu    sync.Mutex
	day   string
	bytes int64
	saved int64
}

// quotaStep is after how many bytes the count is written: what a crash forgets at most.
const quotaStep = 1 << 20

const quotaKey = "day"

type dayRecord struct {
	Day   string
	Bytes int64
}

func openQuota(s State, most int64) *quota {
	q := &quota{most: most, state: s}
	var r dayRecord
	if json.Unmarshal(s.Get(quotaKey), &r) == nil {
		q.day, q.bytes, q.saved = r.Day, r.Bytes, r.Bytes
	}
	return q
}

func (q *quota) turnLocked(now time.Time) {
	if day := now.UTC().Format(time.DateOnly); day != q.day {
		q.day, q.bytes, q.saved = day, 0, 0
	}
}

// left is how many bytes may be sent today.
func (q *quota) left(now time.Time) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turnLocked(now)
	if q.most == 0 {
		return 1 << 62
	}
	return q.most - q.bytes
}

func (q *quota) spend(n int, now time.Time) {
	q.mu.Lock()
	q.turnLocked(now)
	q.bytes += int64(n)
	due := q.most > 0 && q.bytes-q.saved >= quotaStep
	q.mu.Unlock()
	if due {
		q.save()
	}
}

func (q *quota) save() {
	q.mu.Lock()
	r := dayRecord{q.day, q.bytes}
	same := q.bytes == q.saved || q.most == 0
	q.saved = q.bytes
	q.mu.Unlock()
	if same {
		return
	}
	if b, err := json.Marshal(r); err == nil { // it has a text and a number
		q.state.Put(quotaKey, b)
	}
}
