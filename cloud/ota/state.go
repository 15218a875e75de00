package ota

import (
	"slices"
	"strconv"
)

// State is where a deployment is. The numbers are stored.
type State uint8

// The states. A stock device goes from Pending over Downloading and Burning to an end; one that verifies manifests says more.
const (
	Initial     State = iota // queued: nothing was sent yet
	Pending                  // offered
	Downloading              // the device says so
	Burning                  // a stock device writes what it has downloaded
	Succeeded
	Failed
	Cancelled  // by an operator
	RolledBack // the device went back to what it had
	Accepted   // the device will do it; its class says what it waits for, if it does
	Staged     // it is in the other slot, read back and found right
	Armed      // the next boot is into it
	Rebooting
	Trial      // it runs, and is not confirmed yet
	Rejected   // the device will not do it
	TimedOut   // silent for too long, in the state that its class names
	Superseded // another deployment for the module took its place
	states     // their number
)

var stateNames = [states]string{"queued", "offered", "downloading", "burning", "succeeded", "failed", "cancelled", "rolled_back",
	"accepted", "staged", "armed", "rebooting", "trial", "rejected", "timed_out", "superseded"}

func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return "state " + strconv.Itoa(int(s))
}

// ParseState is the inverse of String.
func ParseState(text string) (State, bool) {
	i := slices.Index(stateNames[:], text)
	return State(max(i, 0)), i >= 0
}

// States are all states, in the order of their numbers.
func States() []State {
	list := make([]State, states)
	for i := range list {
		list[i] = State(i)
	}
	return list
}

// stockNames are the states in the words of those who know stock devices only: tasks, rules and the upstream protocol.
var stockNames = [states]string{"initial", "pending", "downloading", "burning", "succeeded", "failed", "cancelled", "rolled_back",
	"pending", "burning", "burning", "burning", "burning", "failed", "failed", "cancelled"}

// Stock is the state in the eight words of the stock protocol.
func (s State) Stock() string {
	if s < states {
		return stockNames[s]
	}
	return s.String()
}

// ParseStock are the states that have this stock name; none for a name that there is not.
func ParseStock(text string) (list []State) {
	for i, name := range stockNames {
		if name == text {
			list = append(list, State(i))
		}
	}
	return list
}

// StockClass is a class in the words of tasks: what the states TimedOut and Superseded say by themselves is a class there.
func StockClass(s State, class string) string {
	switch {
	case s == TimedOut && class == Initial.String():
		return classExpired
	case s == TimedOut:
		return classTimeout
	case s == Superseded:
		return classReplaced
	}
	return class
}

// Open tells whether a deployment in this state goes on.
func (s State) Open() bool { return s < Succeeded || s >= Accepted && s <= Trial }

// Running tells whether the device has been offered the firmware and has not ended yet.
func (s State) Running() bool { return s > Initial && s.Open() }

// runningStates is Running in SQL.
const runningStates = `(1, 2, 3, 8, 9, 10, 11, 12)`

// ends are the states that every running deployment may end in.
var ends = []State{Succeeded, Failed, Cancelled, RolledBack, Rejected, TimedOut, Superseded}

// next are the states that may follow each. Initial follows itself when an offer is put off, and a running one when the offer did not reach the device, or is to be made
// once more later; Pending follows what comes behind it when a device begins anew; Downloading follows Staged when what was read back
// is not right. States may be left out: the hub may not have heard of them.
var next = [states][]State{
	Initial:     {Initial, Pending, Succeeded, Failed, Cancelled, TimedOut, Superseded},
	Pending:     append([]State{Initial, Pending, Accepted, Downloading, Burning, Staged, Armed, Rebooting, Trial}, ends...),
	Accepted:    append([]State{Initial, Pending, Accepted, Downloading, Staged, Armed, Rebooting, Trial}, ends...),
	Downloading: append([]State{Initial, Pending, Downloading, Burning, Staged, Armed, Rebooting, Trial}, ends...),
	Burning:     append([]State{Initial, Pending, Burning}, ends...),
	Staged:      append([]State{Initial, Pending, Downloading, Staged, Armed, Rebooting, Trial}, ends...),
	Armed:       append([]State{Initial, Armed, Rebooting, Trial}, ends...),
	Rebooting:   append([]State{Initial, Rebooting, Trial}, ends...),
	Trial:       append([]State{Initial, Trial}, ends...),
}

// May tells whether a deployment may go from s to t.
func (s State) May(t State) bool { return s < states && slices.Contains(next[s], t) }

// The classes of failures that are the hub's own finding.
const (
	classTimeout  = "timed_out"     // silent for too long; stock name of a state
	classExpired  = "expired"       // never there while the task waited; stock name of a state
	classVersion  = "wrong_version" // a success of another version
	classAttempts = "too_many_attempts"
	classReplaced = "superseded"    // by a newer task; stock name of a state
	classGone     = "firmware_gone" // deleted under the task
	classNoWay    = "no_way"        // the firmware needs another one first, which is not there
	classWentBack = "went_back"     // no failure: its owner has had the device go back to what it ran before
	classUnknown  = "unknown"
	classReverted = "rolled_back"
)

// classes are what the codes of report_fail mean.
var classes = map[int64]string{
	-1: "url_unreachable", -2: "url_expired", -3: "download_timeout", -4: "checksum", -5: "flash_failed", -6: classUnknown,
	-101: "bad_signature", -102: "wrong_device", -103: "not_newer", -104: "no_space", codeReverted: classReverted,
}

// codeReverted is the code of a device that booted the new version and went back.
const codeReverted = -105

func classOf(code int64) string {
	if c, ok := classes[code]; ok {
		return c
	}
	return classUnknown
}
