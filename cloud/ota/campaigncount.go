package ota

import (
	"context"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/firmware/failure"
)

// Count is how many devices of a wave are in a state for a reason, and what was offered to and downloaded by those that came there.
type Count struct {
	Wave   int
	State  State
	Class  string
	N      int64
	Offers int64
	Bytes  int64
}

// Progress is where the devices of a campaign are that were let go.
type Progress []Count

// Progress reads the counters, which are kept as devices move: it costs the same for any number of them.
func (o *OTA) Progress(ctx context.Context, id int64) (p Progress, err error) {
	p, _, err = countsOf(ctx, o.Store, id)
	if err != nil {
		return nil, fmt.Errorf("ota: read counters: %w", err)
	}
	return p, nil
}

// Sum adds up the devices that which takes.
func (p Progress) Sum(which func(Count) bool) (n int64) {
	for _, c := range p {
		if which(c) {
			n += c.N
		}
	}
	return n
}

// States is how many devices are in each state.
func (p Progress) States() map[State]int64 {
	m := map[State]int64{}
	for _, c := range p {
		if m[c.State] += c.N; m[c.State] == 0 {
			delete(m, c.State)
		}
	}
	return m
}

// Classes is how many devices ended without success, by why.
func (p Progress) Classes() map[string]int64 {
	m := map[string]int64{}
	for _, c := range p {
		if c.Class == "" || c.State.Open() || c.N == 0 {
			continue
		}
		name := c.Class
		if c.State == TimedOut {
			name = "timed_out(" + c.Class + ")"
		}
		m[name] += c.N
	}
	return m
}

// Running is how many devices are at it.
func (p Progress) Running() int64 {
	return p.Sum(func(c Count) bool { return c.State.Running() })
}

// Bytes is what was downloaded, as far as devices say.
func (p Progress) Bytes() (n int64) {
	for _, c := range p {
		n += c.Bytes
	}
	return n
}

// blameless are classes that say nothing about the firmware.
func blameless(class string) bool {
	return class == string(failure.Consent) || class == string(failure.Cancelled) || class == classNoWay || class == classGone
}

// Tally is how the devices have settled, for the stop rule. A device that never was there says nothing, and neither does one that somebody
// cancelled.
func (p Progress) Tally() (t rollout.Tally) {
	for _, c := range p {
		class := stockFailure(c.Class)
		switch {
		case c.State == Succeeded:
			t.Succeeded += c.N
			continue
		case c.State == RolledBack, c.State == TimedOut && c.Class == Trial.String():
			t.Reverted += c.N
		case c.State == Failed, c.State == Rejected, c.State == TimedOut && c.Class != Initial.String():
			if blameless(c.Class) {
				continue
			}
		default:
			continue
		}
		t.Failed += c.N
		if class == failure.BootFailed || class == failure.HealthFailed {
			t.Weighty += c.N
		}
	}
	return t
}

// stockFailures are the failure classes of what stock devices report.
var stockFailures = map[string]failure.Class{
	"url_unreachable": failure.Network, "url_expired": failure.Auth, "download_timeout": failure.Network, "checksum": failure.Hash,
	"flash_failed": failure.FlashIO, "bad_signature": failure.Signature, "wrong_device": failure.WrongDevice, "not_newer": failure.Rollback,
	"no_space": failure.Space, classReverted: failure.BootFailed,
}

// stockFailure is the failure class of a class, whichever kind of device it is of.
func stockFailure(class string) failure.Class {
	if c, ok := stockFailures[class]; ok {
		return c
	}
	return failure.Class(class)
}
