package update

import (
	"context"
	"strconv"

	"github.com/hawser-iot/hawser/firmware/attest"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/message"
)

// confirm raises the floors and notes what is installed, then goes on to telling the hub.
func (u *Updater) confirm(slot string) error {
	if u.plan.back() {
		return u.confirmBack(slot)
	}
	t := u.trust
	t.installed = map[string]installed{}
	for name, i := range u.trust.installed {
		t.installed[name] = i
	}
	if u.plan.Stock == nil {
		r, err := u.booted()
		if err != nil {
			return err
		}
		t.state = t.state.Confirmed(r)
	}
	r := u.what()
	for _, i := range r.Images {
		t.installed[i.Module] = installed{Module: i.Module, Version: i.Version, Sequence: r.Sequence, Manifest: r.Digest[:], Image: i.Digest[:], Size: i.Size}
	}
	if err := u.arrive(slot, t.installed); err != nil {
		return err
	}
	if err := u.saveTrust(t); err != nil {
		return err
	}
	u.announceAgain()
	return u.move(confirmed)
}

// booted is the release that runs. It was judged before it was armed: that its keys may have been replaced since does not unmake it.
func (u *Updater) booted() (*signing.Release, error) {
	if u.release != nil {
		return u.release, nil
	}
	e, err := manifest.ParseEnvelope(u.plan.Envelope)
	if err != nil {
		return nil, err
	}
	m, err := e.Unverified()
	if err != nil {
		return nil, err
	}
	u.release = &signing.Release{Manifest: m, Digest: e.Digest()}
	return u.release, nil
}

// attest tells the hub what runs until it has heard it.
func (u *Updater) attest(ctx context.Context) error {
	if err := u.tell(stateConfirmed, 1000, ""); err != nil {
		return err
	}
	u.reports.flush(ctx)
	switch {
	case u.plan.back():
		return u.done(ctx) // there is no deployment to attest
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case u.plan.Stock != nil:
		return u.finish() // it has said what it runs
	}
	for {
		if err := u.sendAttestation(ctx); err != nil {
			return err
		}
		l, ok, err := u.mail.next(ctx, u.cfg.AnswerTimeout)
		switch {
		case err != nil:
			return err
		case ok && l.method == message.OTAAttested && l.done.Deployment == u.plan.Deployment:
			return u.done(ctx)
		case ok:
			if err := u.keep(l); err != nil {
				return err
			}
			if len(u.later) > 0 {
				return u.done(ctx) // a hub that offers something else has done with this one
			}
		}
	}
}

// done ends an update whose end the hub knows, and tells it what runs: the next login may be far off.
func (u *Updater) done(ctx context.Context) error {
	u.mu.Lock()
	list := u.announce
	u.mu.Unlock()
	for _, v := range list {
		if err := send(ctx, u, message.OTAReportVersion, v); err != nil {
			return err
		}
	}
	u.log.Info("the update is done", "deployment", u.plan.Deployment, "version", u.plan.Version)
	return u.finish()
}

func (u *Updater) sendAttestation(ctx context.Context) error {
	boot, err := u.cfg.Installer.Boot(ctx)
	for ; err != nil; boot, err = u.cfg.Installer.Boot(ctx) {
		if err := u.again(ctx, err); err != nil {
			return err
		}
	}
	number, err := strconv.ParseInt(u.plan.Deployment, 10, 64)
	if err != nil {
		return failure.New(failure.Signature, "update: deployment %.40q is no number", u.plan.Deployment)
	}
	i := u.trust.installed[u.plan.Module]
	r := attest.Report{Booted: i.manifest(), Slot: boot.Slot, Sequence: i.Sequence, TriesLeft: boot.TriesLeft, Confirmed: boot.Confirmed, Root: u.trust.root.Version}
	b, err := r.Seal([]byte(u.cfg.Secret.Reveal()), number)
	if err != nil {
		return err
	}
	return send(ctx, u, message.OTAAttest, message.OTABytes{Deployment: u.plan.Deployment, Bytes: b})
}

// end tells the hub how an update has ended, and forgets it.
func (u *Updater) end(ctx context.Context) error {
	p := u.plan
	if err := u.tell(p.State, 0, p.class()); err != nil {
		return err
	}
	u.reports.flush(ctx)
	if p.State == stateRolledBack && p.Stock == nil && !p.back() {
		if err := u.sendAttestation(ctx); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return u.finish()
}
