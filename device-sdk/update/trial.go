package update

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
)

// maxAsks is how often new sources are asked for because the old ones have ended; a URL lives for a day.
const maxAsks = 5

// maxTrials is how often a release on trial may be started before it is given up, if Config does not say, and how often the boot loader is told the same.
const maxTrials = 5

// farewell is how long the last word before a restart may take.
const farewell = 5 * time.Second

// stage writes the images. What was written before a power cut is not written again.
func (u *Updater) stage(ctx context.Context) error {
	if u.plan.Stock != nil {
		return u.stageStock(ctx)
	}
	a, err := u.assignment()
	if err != nil {
		return err
	}
	if err := u.tell(stateDownloading, 0, ""); err != nil {
		return err
	}
	s := &stager{u: u, d: u.downloader(sources(a.Sources))}
	s.d.budget = int64(min(a.Budget, 1<<62))
	err = s.stage(ctx, u.release.Manifest)
	u.plan.Net = s.d.net
	switch failure.Of(err) {
	case failure.Unclassified:
	case failure.Auth:
		// The sources have ended: the hub gives new ones, if the deployment still stands.
		if u.plan.Asks++; u.plan.Asks <= maxAsks && ctx.Err() == nil {
			return u.move(asking)
		}
	case failure.Space, failure.Power:
		return u.until(ctx, func() error { return u.mayBegin(ctx) })
	}
	if err != nil {
		return err
	}
	if err := u.move(staged); err != nil {
		return err
	}
	return u.tell(stateStaged, 1000, "")
}

// sources are URLs that a file's path can be put behind.
func sources(list []string) (out []string) {
	for _, s := range list {
		if s[len(s)-1] != '/' {
			s += "/"
		}
		out = append(out, s)
	}
	return out
}

// arm tells the boot loader. It is done again after a power cut, unless that has started the new slot already.
func (u *Updater) arm(ctx context.Context) error {
	boot, err := u.cfg.Installer.Boot(ctx)
	if err != nil {
		return flashError(err)
	}
	if boot.Slot != u.plan.From {
		return u.move(trial)
	}
	switch {
	case boot.Armed:
	case u.plan.back():
		if err := u.armBack(ctx); err != nil {
			return err
		}
	default:
		if err := u.verified(); err != nil {
			return err
		}
		// What was staged is read once more after a power cut: it may have been armed, tried and left by the boot loader.
		if u.resumed {
			return u.move(staging)
		}
		if err := u.cfg.Installer.Arm(ctx, u.what()); err != nil {
			return u.notArmed(ctx, err)
		}
	}
	if err := u.move(restarting); err != nil {
		return err
	}
	if err := u.tell(stateArmed, 1000, ""); err != nil {
		return err
	}
	return u.tell(stateRestarting, 1000, "")
}

// notArmed ends an update whose slot could not be armed. What a boot loader has made of it nobody knows, so it is told once more that there is none.
func (u *Updater) notArmed(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		err = errors.Join(err, u.cfg.Installer.Clear(ctx))
	}
	return flashError(err)
}

// restart starts the device into the new slot, or finds that it was and what came of it.
func (u *Updater) restart(ctx context.Context) error {
	boot, err := u.cfg.Installer.Boot(ctx)
	switch {
	case err != nil:
		return u.again(ctx, err)
	case boot.Slot != u.plan.From:
		u.plan.Trials = 0
		return u.move(trial)
	case !boot.Armed:
		// The boot loader has tried it and come back.
		return u.settle(stateRolledBack, failure.BootFailed)
	}
	if u.plan.Trials++; u.plan.Trials > maxTrials {
		if err := u.cfg.Installer.Clear(ctx); err != nil {
			return u.again(ctx, err)
		}
		return u.settle(stateRolledBack, failure.BootFailed)
	}
	if err := u.save(); err != nil {
		return err
	}
	return u.reboot(ctx)
}

// reboot tells the hub what there is to tell, restarts, and waits for that.
func (u *Updater) reboot(ctx context.Context) error {
	last, cancel := context.WithTimeout(ctx, farewell)
	if u.connected(last) {
		u.reports.flush(last)
	}
	cancel()
	if err := u.cfg.Installer.Restart(ctx); err != nil {
		return u.again(ctx, err)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// connected tells whether there is a connection just now.
func (u *Updater) connected(ctx context.Context) bool {
	now, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	return u.cfg.Link.WaitConnected(now) == nil
}

// again is a boot loader that fails where there is no way back: it is asked once more after a while.
func (u *Updater) again(ctx context.Context, err error) error {
	u.log.Error("the boot loader's state can't be read or changed; it is tried again", "err", err)
	return sleep(ctx, u.cfg.Poll)
}

// try is the trial: it ends with Confirm, or with the way back.
func (u *Updater) try(ctx context.Context) error {
	boot, err := u.cfg.Installer.Boot(ctx)
	switch {
	case err != nil:
		return u.again(ctx, err)
	case boot.Slot == u.plan.From:
		return u.settle(stateRolledBack, failure.BootFailed)
	}
	if u.plan.back() {
		if _, err := u.knownBack(boot.Slot); err != nil && !boot.Confirmed {
			return u.giveUp(err)
		}
	}
	if !boot.Confirmed {
		if u.plan.Trials++; u.plan.Trials > u.cfg.Trials {
			return u.giveUp(errors.New("it was started too often"))
		}
		if err := u.save(); err != nil {
			return err
		}
		if err := u.tell(stateTrial, 1000, ""); err != nil {
			return err
		}
		if err := u.healthy(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return u.giveUp(err)
		}
		if err := u.cfg.Installer.Confirm(ctx); err != nil {
			return u.again(ctx, err)
		}
	}
	return u.confirm(boot.Slot)
}

// giveUp takes the way back.
func (u *Updater) giveUp(err error) error {
	u.log.Warn("the new firmware is not well, the old one comes back", "deployment", u.plan.Deployment, "version", u.plan.Version, "err", err)
	u.plan.Class, u.plan.Trials = string(failure.HealthFailed), 0
	if err := u.move(reverting); err != nil {
		return err
	}
	return u.tell(stateReverting, 1000, failure.HealthFailed)
}

// healthy waits until the device is connected and says that it is well.
func (u *Updater) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, u.cfg.TrialTimeout)
	defer cancel()
	if err := u.cfg.Link.WaitConnected(ctx); err != nil {
		return fmt.Errorf("no connection to the hub: %w", err)
	}
	if u.cfg.Healthy == nil {
		return nil
	}
	told := ""
	for {
		err := u.cfg.Healthy(ctx)
		if err == nil {
			return nil
		}
		if err.Error() != told {
			told = err.Error()
			u.log.Info("the new firmware is not well yet", "err", err)
		}
		if sleep(ctx, min(u.cfg.Poll, time.Second)) != nil {
			return err
		}
	}
}

// revert goes back to the slot before.
func (u *Updater) revert(ctx context.Context) error {
	boot, err := u.cfg.Installer.Boot(ctx)
	switch {
	case err != nil:
		return u.again(ctx, err)
	case boot.Slot == u.plan.From:
		return u.settle(stateRolledBack, failure.HealthFailed)
	}
	if u.plan.Trials++; u.plan.Trials > maxTrials {
		return u.settle(stateFailed, failure.HealthFailed) // the boot loader does not take it back
	}
	if err := u.save(); err != nil {
		return err
	}
	if err := u.cfg.Installer.Revert(ctx); err != nil {
		return u.again(ctx, err)
	}
	return u.reboot(ctx)
}
