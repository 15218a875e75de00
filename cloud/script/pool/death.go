package pool

import (
	"strings"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// death is how a process ended.
type death struct {
	late    bool  // we killed it because a call did not end
	outside bool  // somebody else killed it
	talk    error // what it said was not understood
	code    int
	errs    string // what it printed as it died
}

// why is the death in one word, "" for an end that nothing is wrong with.
func (d *death) why(calls int) string {
	switch {
	case d.late:
		return "late"
	case d.outside:
		return "killed"
	case d.talk != nil:
		return "talk"
	case d.code == wire.ExitBound:
		return "bound"
	case d.code == wire.ExitEnd && calls == 0:
		return ""
	}
	return "crash"
}

// judge says what becomes of the calls that a process died with, first come first: which are run again, which are lost because that has
// gone on for too long, and which one was guilty, with its result.
func (d *death) judge(calls []*Call, maxKills int) (again, lost []*Call, guilty *Call, r wire.Result) {
	if len(calls) == 0 {
		return nil, nil, nil, r
	}
	why := d.why(len(calls))
	switch {
	case why == "late":
		return calls[1:], nil, calls[0], wire.Result{Status: wire.Timeout, Reason: "script timeout"}
	case why == "bound": // the guilty one was answered
		return calls, nil, nil, r
	case why == "crash" && len(calls) == 1:
		return nil, nil, calls[0], d.result()
	case why == "killed" && len(calls) == 1 && calls[0].kills >= maxKills/2: // as the kernel does when memory runs out
		return nil, nil, calls[0], wire.Result{Status: wire.Memory, Reason: "its worker was killed each time, as for want of memory"}
	}
	for _, c := range calls {
		if c.kills++; c.kills > maxKills {
			lost = append(lost, c)
			continue
		}
		c.alone = c.alone || why == "crash" // one of them did it: alone, it will show
		again = append(again, c)
	}
	return again, lost, nil, r
}

// result is what is told of the call that a process died of.
func (d *death) result() wire.Result {
	switch {
	case strings.Contains(d.errs, "out of memory"), strings.Contains(d.errs, "cannot allocate"):
		return wire.Result{Status: wire.Memory, Reason: "the script takes too much memory"}
	case strings.Contains(d.errs, "stack exceeds"):
		return wire.Result{Status: wire.Recursion, Reason: "calls are nested too deep"}
	}
	return wire.Result{Status: Crashed, Reason: "the script broke its worker"}
}
