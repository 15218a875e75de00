package upload

import (
	"fmt"
	"strings"
	"time"
)

// Window is a time of the day, local time, that may lie over midnight. The zero Window is the whole day.
type Window struct{ From, To time.Duration } // since midnight

// ParseWindow reads 22:00-06:00; empty is always.
func ParseWindow(s string) (w Window, err error) {
	if s == "" {
		return w, nil
	}
	a, b, _ := strings.Cut(s, "-")
	from, err1 := time.Parse("15:04", a)
	to, err2 := time.Parse("15:04", b)
	if err1 != nil || err2 != nil || len(s) != len("22:00-06:00") {
		return w, fmt.Errorf("%q is no window such as 22:00-06:00", s)
	}
	w = Window{clock(from), clock(to)}
	if w.From == w.To {
		return w, fmt.Errorf("%q has no length", s)
	}
	return w, nil
}

// clock is the time since midnight.
func clock(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}

// ends tells whether the window is open, and when it closes.
func (w Window) ends(now time.Time) (time.Time, bool) {
	if w == (Window{}) {
		return now.Add(100 * 24 * time.Hour), true
	}
	y, m, d := now.Date()
	for day := d - 1; day <= d; day++ {
		midnight := time.Date(y, m, day, 0, 0, 0, 0, now.Location())
		from, to := midnight.Add(w.From), midnight.Add(w.To)
		if w.To < w.From {
			to = to.Add(24 * time.Hour)
		}
		if !now.Before(from) && now.Before(to) {
			return to, true
		}
	}
	return time.Time{}, false
}
