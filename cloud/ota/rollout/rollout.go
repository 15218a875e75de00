// Package rollout holds what a campaign decides, as functions of numbers: in which order devices come, how many of them a wave has, whether a
// campaign must stop, how fast it may go, which failures are tried again, and which versions a range takes.
//
// It promises that a device's place depends on the campaign and the device alone, so that a percentage only ever grows along it: whoever was
// among the first 5 % is among the first 25 %. It knows no store, no clock and no device; ota keeps the rows.
package rollout

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Rank is a device's place in a campaign, not negative: the first 63 bits of HMAC-SHA256 under the campaign's id in decimal over
// "product.device". Devices come in the order of their ranks.
func Rank(campaign int64, product, sn string) int64 {
	h := hmac.New(sha256.New, strconv.AppendInt(nil, campaign, 10))
	h.Write([]byte(product))
	h.Write([]byte{'.'})
	h.Write([]byte(sn))
	return int64(binary.BigEndian.Uint64(h.Sum(nil)) >> 1)
}

// CanaryRank is the place of a device that is to come before all that Rank places.
func CanaryRank(rank int64) int64 { return rank - math.MaxInt64 - 1 }

// Wave is one step of a campaign: so many devices, counted from the first along the rank, then a time to watch them.
type Wave struct {
	Percent float64 `json:"percent,omitempty"` // of all targets; either this or Count
	Count   int64   `json:"count,omitempty"`   // devices
	// Settled is how many percent of the wave's devices must have ended before it is through; 0 is 90, and 100 for the last wave.
	Settled float64 `json:"settled,omitempty"`
	// Soak is how long the campaign watches after that, in seconds.
	Soak int64 `json:"soakSeconds,omitempty"`
	// Hold waits for somebody to resume before the next wave.
	Hold   bool    `json:"hold,omitempty"`
	Health *Health `json:"health,omitempty"` // nil: not looked at
}

// Through is how many percent of a wave's devices must have ended.
func (w Wave) Through(last bool) float64 {
	switch {
	case w.Settled > 0:
		return w.Settled
	case last:
		return 100
	}
	return 90
}

// End is how many devices of total have come when the wave is out: never fewer than before it, never more than there are, and at least one
// more for a percentage above none.
func (w Wave) End(total, before int64) int64 {
	n := w.Count
	if w.Percent > 0 {
		n = int64(math.Ceil(float64(total)*w.Percent/100 - 1e-9))
	}
	return min(max(n, before), total)
}

// MaxWaves bounds a plan: it is looked at every second.
const MaxWaves = 100

// CheckWaves names what is wrong with a plan: the last wave must be 100 percent, and none may be smaller than the one before it.
func CheckWaves(waves []Wave) error {
	var percent float64
	var count int64
	for i, w := range waves {
		switch {
		case (w.Percent > 0) == (w.Count > 0):
			return fmt.Errorf("wave %d: wants percent or count", i+1)
		case !(w.Percent >= 0 && w.Percent <= 100) || w.Count < 0:
			return fmt.Errorf("wave %d: percent must be above 0 and at most 100", i+1)
		case w.Percent > 0 && w.Percent <= percent || w.Count > 0 && w.Count <= count:
			return fmt.Errorf("wave %d: must be larger than the one before it", i+1)
		case w.Count > 0 && percent > 0:
			return fmt.Errorf("wave %d: counts come before percentages", i+1)
		case w.Soak < 0 || w.Soak > 30*86400:
			return fmt.Errorf("wave %d: soakSeconds must be 0 to %d", i+1, 30*86400)
		case !(w.Settled >= 0 && w.Settled <= 100):
			return fmt.Errorf("wave %d: settled must be 0 to 100", i+1)
		}
		percent, count = max(percent, w.Percent), max(count, w.Count)
	}
	if len(waves) > MaxWaves {
		return fmt.Errorf("%d waves, at most %d", len(waves), MaxWaves)
	}
	if len(waves) == 0 || waves[len(waves)-1].Percent != 100 {
		return fmt.Errorf("the last wave must be 100 percent")
	}
	return nil
}

// Rate bounds how fast devices are offered the firmware; a zero is no bound.
type Rate struct {
	PerMinute      float64 `json:"perMinute,omitempty"`      // offers
	Growth         float64 `json:"growth,omitempty"`         // factor a minute, 1 and 0 are none
	MaxPerMinute   float64 `json:"maxPerMinute,omitempty"`   // what it grows to
	Concurrent     int64   `json:"concurrent,omitempty"`     // devices that are at it at a time
	BytesPerSecond int64   `json:"bytesPerSecond,omitempty"` // on average: an offer counts as a download of the whole size
}

// Check names what is wrong.
func (r Rate) Check() error {
	switch {
	case !(r.PerMinute >= 0 && r.PerMinute <= 1e6) || !(r.MaxPerMinute >= 0 && r.MaxPerMinute <= 1e6):
		return fmt.Errorf("perMinute and maxPerMinute must be 0 to 1000000")
	case r.Growth != 0 && !(r.Growth >= 1 && r.Growth <= 10):
		return fmt.Errorf("growth must be 1 to 10")
	case r.Concurrent < 0 || r.BytesPerSecond < 0:
		return fmt.Errorf("concurrent and bytesPerSecond must not be negative")
	}
	return nil
}

// At is how many offers a minute are allowed when the campaign has run for so long; 0 is any.
func (r Rate) At(running time.Duration) float64 {
	n := r.PerMinute
	if n == 0 {
		return 0
	}
	if r.Growth > 1 {
		n = min(n*math.Pow(r.Growth, math.Floor(running.Minutes())), 1e6)
	}
	if r.MaxPerMinute > 0 {
		n = min(n, max(r.MaxPerMinute, r.PerMinute))
	}
	return n
}

// Meter gives out offers under a Rate. It is not safe for concurrent use; the zero Meter begins with nothing to give.
type Meter struct {
	last          time.Time
	tokens, bytes float64
}

// Grant is how many offers may be made now, when running devices are at it and each downloads size bytes; at most limit.
func (m *Meter) Grant(r Rate, now time.Time, since time.Duration, running, size, limit int64) int64 {
	dt := 0.0
	if !m.last.IsZero() {
		dt = max(now.Sub(m.last).Seconds(), 0)
	}
	m.last = now
	n := limit
	if perMinute := r.At(since); perMinute > 0 {
		m.tokens = min(m.tokens+perMinute/60*dt, max(1, perMinute/30)) // two seconds' worth: what was not used is not saved up
		n = min(n, int64(m.tokens+1e-9))
	}
	if r.BytesPerSecond > 0 && size > 0 {
		m.bytes = min(m.bytes+float64(r.BytesPerSecond)*dt, max(float64(size), float64(r.BytesPerSecond)*2))
		n = min(n, int64(m.bytes/float64(size)+1e-9))
	}
	if r.Concurrent > 0 {
		n = min(n, r.Concurrent-running)
	}
	return max(n, 0)
}

// Spend takes n offers of size bytes each.
func (m *Meter) Spend(n, size int64) {
	m.tokens -= float64(n)
	m.bytes -= float64(n * size)
}
