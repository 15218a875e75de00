package registry

import "time"

// Moment is a time as it is stored, Unix milliseconds; 0 is never. It takes a third of a time.Time, which counts where there is one
// for each device in memory.
type Moment int64

// MomentOf returns the Moment of t, never for the zero time.
func MomentOf(t time.Time) Moment { return Moment(millis(t)) }

// IsZero tells whether it is never.
func (m Moment) IsZero() bool { return m == 0 }

// Time is the zero time for never.
func (m Moment) Time() time.Time { return fromMillis(int64(m)) }
