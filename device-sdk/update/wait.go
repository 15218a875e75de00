package update

import (
	"context"
	"errors"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/cron"
)

// What an update waits for.
var (
	errWindow = failure.New(failure.Window, "update: its window is not open")
	errNobody = failure.New(failure.Consent, "update: the owner is to agree, and this device has no way to ask")
)

// wait holds an update that was accepted until the window is open, the owner has agreed, and there is power and room. A connection is not needed.
func (u *Updater) wait(ctx context.Context) error {
	if u.plan.Consent && u.cfg.Consent == nil {
		return errNobody
	}
	if err := u.until(ctx, func() error { return u.mayBegin(ctx) }); err != nil {
		return err
	}
	boot, err := u.cfg.Installer.Boot(ctx)
	if err != nil {
		return flashError(err)
	}
	if !boot.Confirmed {
		return failure.New(failure.BootFailed, "update: slot %s runs on trial and was never confirmed: the other one is all there is", boot.Slot)
	}
	// From here on the other slot is not what it was.
	if err := u.leave(boot.Slot); err != nil {
		return err
	}
	if err := u.cfg.Installer.Clear(ctx); err != nil {
		return flashError(err)
	}
	return u.move(staging)
}

// holdArmed holds a staged update until it may be started: a download can last longer than a window.
func (u *Updater) holdArmed(ctx context.Context) error {
	if err := u.verified(); err != nil {
		return err
	}
	if err := u.until(ctx, func() error { return errors.Join(u.inWindow(), u.powered(ctx)) }); err != nil {
		return err
	}
	boot, err := u.cfg.Installer.Boot(ctx)
	if err != nil {
		return flashError(err)
	}
	u.plan.From = boot.Slot
	return u.move(arming)
}

// verified makes sure that the plan's release is verified in this run.
func (u *Updater) verified() error {
	if u.plan.Stock != nil || u.release != nil {
		return nil
	}
	return u.judgeOffer()
}

// until asks again and again until there is nothing to wait for. The hub is told each new reason.
func (u *Updater) until(ctx context.Context, ready func() error) error {
	var told failure.Class
	for {
		err := ready()
		if err == nil {
			u.plan.Class = "" // it is written with what comes next
			return nil
		}
		class := failure.Of(err)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch class {
		case failure.Window, failure.Consent, failure.Power, failure.Space:
		default:
			return err
		}
		if class != told {
			u.log.Info("the update waits", "class", string(class), "err", err)
			if err := u.tell(stateWaiting, 0, class); err != nil {
				return err
			}
			told = class
			u.plan.Class = string(class) // for those who read the plan
			if err := u.save(); err != nil {
				return err
			}
		}
		l, ok, err := u.mail.next(ctx, u.cfg.Poll)
		if err != nil {
			return err
		}
		if attempt := u.plan.Attempt; ok {
			if err := u.keep(l); err != nil {
				return err
			}
			if u.plan.Attempt != attempt {
				told = "" // it is told under the new one
			}
		}
	}
}

// mayBegin is why an update may not begin now.
func (u *Updater) mayBegin(ctx context.Context) error {
	if err := u.verified(); err != nil {
		return err
	}
	if err := u.inWindow(); err != nil {
		return err
	}
	if u.cfg.Consent != nil && !u.plan.Agreed {
		if err := u.cfg.Consent(ctx, u.what()); err != nil {
			if failure.Of(err) == failure.Unclassified {
				err = &failure.Error{Class: failure.Cancelled, Reason: err}
			}
			return err
		}
		u.plan.Agreed = true
		if err := u.save(); err != nil {
			return err
		}
	}
	if err := u.powered(ctx); err != nil {
		return err
	}
	return u.room()
}

// Recheck has an update that waits look at once whether it still has to; otherwise it does so every Config.Poll.
func (u *Updater) Recheck() { u.mail.poke() }

// room tells whether all images fit.
func (u *Updater) room() error {
	for _, i := range u.what().Images {
		t, err := u.cfg.Storage.Target(i.Module, int64(i.Size))
		if err != nil {
			return flashError(err)
		}
		if err := t.Close(); err != nil {
			return flashError(err)
		}
	}
	return nil
}

func (u *Updater) powered(ctx context.Context) error {
	if u.cfg.Power == nil {
		return nil
	}
	err := u.cfg.Power(ctx)
	if err != nil && failure.Of(err) == failure.Unclassified {
		err = &failure.Error{Class: failure.Power, Reason: err}
	}
	return err
}

// inWindow tells whether the assignment's window is open.
func (u *Updater) inWindow() error {
	if u.plan.Stock != nil {
		return nil
	}
	a, err := u.assignment()
	if err != nil {
		return err
	}
	open, err := windowOpen(a.Window, u.now(), u.cfg.Location)
	if err == nil && !open {
		err = errWindow
	}
	return err
}

// windowOpen tells whether a time lies in a window.
func windowOpen(w *signing.Window, now time.Time, here *time.Location) (bool, error) {
	if w == nil {
		return true, nil
	}
	zone := here
	if w.Zone != "" {
		var err error
		if zone, err = time.LoadLocation(w.Zone); err != nil {
			return false, failure.New(failure.Dependency, "update: window: time zone %.40q: %w", w.Zone, err)
		}
	}
	c, err := cron.Parse(w.Cron)
	if err != nil {
		return false, failure.New(failure.Signature, "update: window: %w", err)
	}
	// Backwards from now, minute by minute: a window has at most a week.
	t := now.Truncate(time.Minute)
	for range w.Minutes {
		if c.At(t.In(zone)) {
			return true, nil
		}
		t = t.Add(-time.Minute)
	}
	return false, nil
}
