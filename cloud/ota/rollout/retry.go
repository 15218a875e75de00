package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
)

// Retry says which failures are tried again.
type Retry struct {
	// Attempts is how often a device is offered the firmware in all for failures that are tried again; 0 and 1 are once.
	Attempts int `json:"attempts,omitempty"`
	// Classes are tried again beside NET and SRV, after Delay.
	Classes []failure.Class `json:"classes,omitempty"`
	Delay   int64           `json:"delaySeconds,omitempty"` // before another try of Classes, doubled each time; 0 is 600
}

// never are classes that another try cannot help.
var never = []failure.Class{failure.Signature, failure.Rollback, failure.WrongDevice}

// Check names what is wrong.
func (r Retry) Check() error {
	for _, c := range r.Classes {
		switch {
		case slices.Contains(never, c):
			return fmt.Errorf("%s is never tried again", c)
		case !slices.Contains(failure.Classes(), c):
			return fmt.Errorf("there is no class %q", c)
		}
	}
	if r.Attempts < 0 || r.Attempts > 10 || r.Delay < 0 || r.Delay > 7*86400 {
		return fmt.Errorf("attempts must be 0 to 10, delaySeconds at most %d", 7*86400)
	}
	return nil
}

// After is how long to wait before a device is tried again that has failed the n-th time; ok is false when it is not. chance is a number in
// [0, 1): devices that fail together do not come back together.
func (r Retry) After(c failure.Class, n int, chance float64) (wait time.Duration, ok bool) {
	if n >= r.Attempts || slices.Contains(never, c) {
		return 0, false
	}
	switch {
	case c == failure.Network || c == failure.Server:
		wait = 10 * time.Second // at once, and yet not all at the same moment
	case slices.Contains(r.Classes, c):
		if wait = time.Duration(r.Delay) * time.Second; wait == 0 {
			wait = 10 * time.Minute
		}
		wait <<= min(n-1, 6)
	default:
		return 0, false
	}
	return wait/2 + time.Duration(chance*float64(wait)), true
}
