package rollout

import (
	"fmt"
	"math"
)

// Action is what a stop rule or a gate does.
type Action string

// The actions.
const (
	Pause    Action = "pause"
	Abort    Action = "abort"
	RollBack Action = "rollback" // abort, and bring the devices of the wave back
)

// Stop ends a campaign that does harm. It looks at the devices that have settled.
type Stop struct {
	// Limit is the failure rate in percent; the campaign stops when it is surely above, that is with the lower bound of the Wilson interval
	// of 95 %. 0 is no limit.
	Limit   float64 `json:"limit,omitempty"`
	Minimum int64   `json:"minimum,omitempty"` // devices that must have settled before Limit counts; 0 is 5
	// Reverted stops when that many devices went back to what they had, or fell silent on trial. 0 is no limit.
	Reverted int64  `json:"reverted,omitempty"`
	Action   Action `json:"action,omitempty"` // "" is pause
}

// Check names what is wrong.
func (s Stop) Check() error {
	switch {
	case !(s.Limit >= 0 && s.Limit < 100):
		return fmt.Errorf("limit must be 0 to 100, and less than it")
	case s.Minimum < 0 || s.Reverted < 0:
		return fmt.Errorf("minimum and reverted must not be negative")
	case s.Action != "" && s.Action != Pause && s.Action != Abort && s.Action != RollBack:
		return fmt.Errorf("action must be pause, abort or rollback")
	}
	return nil
}

// Tally is how devices have settled. Failed holds Weighty and Reverted, too.
type Tally struct {
	Succeeded, Failed int64
	Weighty           int64 // of Failed: a new firmware that did not boot or was not well, which counts twice
	Reverted          int64 // went back, or silent on trial
}

// Since is t without what an earlier tally had.
func (t Tally) Since(earlier Tally) Tally {
	return Tally{max(t.Succeeded-earlier.Succeeded, 0), max(t.Failed-earlier.Failed, 0), max(t.Weighty-earlier.Weighty, 0), max(t.Reverted-earlier.Reverted, 0)}
}

// AtMost is t, but nowhere more than another tally.
func (t Tally) AtMost(other Tally) Tally {
	return Tally{min(t.Succeeded, other.Succeeded), min(t.Failed, other.Failed), min(t.Weighty, other.Weighty), min(t.Reverted, other.Reverted)}
}

// Verdict is why a campaign must stop; "" when it need not.
func (s Stop) Verdict(t Tally) string {
	if s.Reverted > 0 && t.Reverted >= s.Reverted {
		return fmt.Sprintf("%d devices went back or fell silent on trial, the limit is %d", t.Reverted, s.Reverted)
	}
	least := s.Minimum
	if least == 0 {
		least = 5
	}
	settled := t.Succeeded + t.Failed
	if s.Limit == 0 || settled < least {
		return ""
	}
	failed := t.Failed + t.Weighty
	if low := WilsonLow(failed, t.Succeeded+failed); low*100 > s.Limit {
		return fmt.Sprintf("%d of %d devices failed: surely more than %.1f %%, the limit is %g %%", t.Failed, settled, low*100, s.Limit)
	}
	return ""
}

// WilsonLow is the lower bound of the 95 % Wilson interval of the rate of k in n; 0 for none.
func WilsonLow(k, n int64) float64 {
	if n <= 0 {
		return 0
	}
	const z = 1.959964
	total, p := float64(n), float64(k)/float64(n)
	center := p + z*z/(2*total)
	spread := z * math.Sqrt(p*(1-p)/total+z*z/(4*total*total))
	return max((center-spread)/(1+z*z/total), 0)
}

// Health is what updated devices may do worse than those that have not been updated yet.
type Health struct {
	// Reconnects is by which factor they may connect anew more often; at least one more an hour and device is always allowed. 0: not looked at.
	Reconnects float64 `json:"reconnects,omitempty"`
	// Offline is by how many percent points more of them may be offline. 0: not looked at.
	Offline float64 `json:"offline,omitempty"`
	// Silent is by how many percent points more of them may have sent nothing since the wave was through. 0: not looked at.
	Silent float64 `json:"silent,omitempty"`
	Action Action  `json:"action,omitempty"` // "" is pause
}

// Check names what is wrong.
func (h *Health) Check() error {
	switch {
	case h == nil:
		return nil
	case !(h.Reconnects >= 0) || !(h.Offline >= 0 && h.Offline <= 100) || !(h.Silent >= 0 && h.Silent <= 100):
		return fmt.Errorf("health: reconnects must not be negative, offline and silent are 0 to 100")
	case h.Action != "" && h.Action != Pause && h.Action != Abort && h.Action != RollBack:
		return fmt.Errorf("health: action must be pause, abort or rollback")
	}
	return nil
}

// Vitals are what is seen of a group of devices over the time that was watched.
type Vitals struct {
	Devices, Reconnects, Offline, Silent int64
	Hours                                float64
}

func (v Vitals) share(n int64) float64 { return 100 * float64(n) / float64(max(v.Devices, 1)) }

func (v Vitals) reconnects() float64 {
	return float64(v.Reconnects) / float64(max(v.Devices, 1)) / max(v.Hours, 1.0/60)
}

// Verdict is why the updated devices are not well; "" when they are, or when there is nobody to compare them with.
func (h *Health) Verdict(updated, others Vitals) string {
	if h == nil || updated.Devices == 0 || others.Devices == 0 {
		return ""
	}
	if u, o := updated.reconnects(), others.reconnects(); h.Reconnects > 0 && u > o*h.Reconnects && u > o+1 {
		return fmt.Sprintf("updated devices connect anew %.1f times an hour, others %.1f times", u, o)
	}
	if u, o := updated.share(updated.Offline), others.share(others.Offline); h.Offline > 0 && u > o+h.Offline {
		return fmt.Sprintf("%.1f %% of updated devices are offline, of others %.1f %%", u, o)
	}
	if u, o := updated.share(updated.Silent), others.share(others.Silent); h.Silent > 0 && u > o+h.Silent {
		return fmt.Sprintf("%.1f %% of updated devices have sent nothing, of others %.1f %%", u, o)
	}
	return ""
}
