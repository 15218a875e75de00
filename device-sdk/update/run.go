package update

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/protocol/message"
)

// storeError is a Store that fails: nothing goes on without it.
type storeError struct{ err error }

func (e *storeError) Error() string {
	return "update: what must last can't be written: " + e.err.Error()
}

func (e *storeError) Unwrap() error { return e.err }

// stepsAside is how many steps of reports are set aside with one write.
const stepsAside = 64

// loadPlan reads the update that the last run has left. One that can't be read is none: its target was never armed, or the boot loader's
// word counts.
func (u *Updater) loadPlan() error {
	b, err := u.cfg.Store.Load(planRecord)
	if err == nil && len(b) > 0 {
		u.plan, err = parsePlan(b)
	}
	if err != nil {
		u.log.Error("the update under way can't be read, it is forgotten", "err", err)
	}
	if u.plan != nil {
		u.step0, u.resumed = u.plan.Step, true
		u.busy.Store(true)
	}
	if u.phase() == asking {
		u.before = u.trust.state.Counter
		if n := u.trust.state.Nonce; len(n) > 0 {
			u.asked = [][]byte{n}
		}
	}
	return nil
}

func (u *Updater) phase() phase {
	if u.plan == nil {
		return 0
	}
	return u.plan.Phase
}

// save writes the plan.
func (u *Updater) save() error {
	u.plan.Step = u.step0 + stepsAside
	b, err := u.plan.encode()
	if err == nil {
		err = u.cfg.Store.Save(planRecord, b)
	}
	if err != nil {
		return &storeError{err}
	}
	return nil
}

// move goes to another phase, which is written before anything of it is done. What goes round in a circle is ended.
func (u *Updater) move(to phase) error {
	p := u.plan
	u.log.Info("update", "from", p.Phase.String(), "to", to.String(), "deployment", p.Deployment, "version", p.Version)
	p.Transitions++
	if p.Transitions > maxTransitions && to < restarting {
		p.Phase, p.State, p.Class = settled, stateFailed, string(failure.BootFailed)
		u.log.Error("the update goes round in a circle and is ended", "deployment", p.Deployment)
		return u.save()
	}
	p.Phase = to
	return u.save()
}

// mark notes how much of a plain image is on the medium.
func (u *Updater) mark(done int64) error {
	u.plan.Done = done
	return u.save()
}

// leavePlan is without an update, whatever is in the Store.
func (u *Updater) leavePlan() {
	u.reports.forget()
	u.plan, u.release = nil, nil
	u.busy.Store(false)
	if u.planCtx != nil {
		u.mail.current(nil, nil)
		u.callOff(nil)
		u.planCtx = nil
	}
}

// finish forgets the update.
func (u *Updater) finish() error {
	u.leavePlan()
	if err := u.cfg.Store.Save(planRecord, nil); err != nil {
		return &storeError{err}
	}
	return nil
}

// settle ends the update without success; the hub is told by the next step.
func (u *Updater) settle(state string, class failure.Class) error {
	u.plan.State, u.plan.Class = state, string(class)
	return u.move(settled)
}

// tell reports a state.
func (u *Updater) tell(state string, permille int, class failure.Class) error {
	p := u.plan
	if p.back() {
		p.State = state
		return nil // there is no deployment to tell it of
	}
	u.step0++
	if u.step0 >= p.Step {
		if err := u.save(); err != nil {
			return err
		}
	}
	p.State = state
	u.reports.tell(report{
		OTAProgress: message.OTAProgress{
			Module: p.Module, Deployment: p.Deployment, Attempt: p.Attempt, Step: u.step0, State: state, Permille: permille,
			Class: string(class), Bytes: p.Net,
		},
		stock: p.Stock != nil, version: p.Version,
	})
	return nil
}

// downloading reports how far a download is. A Store that fails is found with the next step.
func (u *Updater) downloading(permille int, net int64) {
	u.plan.Net = net
	u.listen()
	if permille == u.permille {
		return
	}
	u.permille = permille
	if err := u.tell(stateDownloading, permille, ""); err != nil {
		u.log.Warn("progress was not noted", "err", err)
	}
}

// listen looks at what has come while the device is at work: an offer with a new attempt, under which it reports from now on.
func (u *Updater) listen() {
	for {
		l, ok, _ := u.mail.take()
		if !ok {
			return
		}
		if err := u.keep(l); err != nil {
			u.log.Warn("a message of the hub's was not noted", "err", err)
		}
	}
}

// idle waits for an offer.
func (u *Updater) idle(ctx context.Context) error {
	u.announceAgain()
	for _, name := range slices.Sorted(maps.Keys(u.later)) {
		l := u.later[name]
		delete(u.later, name)
		if done, err := u.consider(l); done || err != nil {
			return err
		}
	}
	for {
		if begun, err := u.granted(ctx); begun || err != nil {
			return err
		}
		l, ok, err := u.mail.next(ctx, time.Hour)
		if err != nil {
			return nil // ctx has ended
		}
		if !ok {
			continue
		}
		if l.method == message.OTARootUpdate {
			if err := u.adopt(l.bytes.Bytes); err != nil {
				if e := (*storeError)(nil); errors.As(err, &e) {
					return err
				}
				u.log.Warn("a root document is refused", "class", string(failure.Of(err)), "err", err)
			}
			u.announceAgain()
			continue
		}
		if done, err := u.consider(l); done || err != nil {
			return err
		}
	}
}

// consider begins an update when l is an offer.
func (u *Updater) consider(l mail) (begun bool, err error) {
	var p *plan
	switch l.method {
	case message.OTAOfferFirmware:
		o := l.offer
		if o.Deployment == "" {
			u.log.Warn("an offer without a deployment is refused", "version", o.Version)
			return false, nil
		}
		p = &plan{Phase: offered, Deployment: o.Deployment, Attempt: o.Attempt, Module: o.Module, Version: o.Version,
			Digest: o.Digest, ManifestURL: o.ManifestURL}
	case message.OTAUpdateFirmware:
		o := l.stock
		if o.Version == u.version(o.Module) {
			return false, nil // it has it: what was offered twice
		}
		p = &plan{Phase: offered, Attempt: 1, Module: o.Module, Version: o.Version, Stock: &stock{URL: o.URL, MD5: o.MD5, Size: o.Size}}
	case message.OTACancelUpdate:
		u.unkeep(l.cancel)
		return false, nil
	default:
		return false, nil
	}
	if !p.bounded() {
		u.log.Warn("an offer of more text than a device keeps is refused", "deployment", fmt.Sprintf("%.40s", p.Deployment))
		return false, nil
	}
	return true, u.start(p)
}

// start begins with a plan.
func (u *Updater) start(p *plan) error {
	u.plan, u.step0, u.release, u.permille = p, 0, nil, 0
	u.busy.Store(true)
	return u.save()
}

// keep is a message that comes while an update goes on: a repeated offer of it has a new attempt, another one waits.
func (u *Updater) keep(l mail) error {
	switch l.method {
	case message.OTAOfferFirmware:
		if l.offer.Deployment == u.plan.Deployment && bytes.Equal(l.offer.Digest, u.plan.Digest) {
			if l.offer.Attempt <= u.plan.Attempt {
				return nil
			}
			u.plan.Attempt = l.offer.Attempt
			if u.plan.State == "" {
				return u.save()
			}
			return u.tell(u.plan.State, u.permille, u.plan.class()) // the hub begins anew with this attempt
		}
		u.putOff(l.offer.Module, l)
	case message.OTACancelUpdate:
		u.unkeep(l.cancel)
	case message.OTAUpdateFirmware:
		if u.plan.Stock == nil || l.stock.Module != u.plan.Module || l.stock.Version != u.plan.Version {
			u.putOff(l.stock.Module, l)
		}
	}
	return nil
}

// putOff keeps an offer until the update in hand is over: one for each module, and no more modules than a device can have. A hub offers again what was not kept.
func (u *Updater) putOff(module string, l mail) {
	if _, waits := u.later[module]; waits || len(u.later) < manifest.MaxComponents {
		u.later[module] = l
	}
}

// unkeep forgets an offer that waited and is called off.
func (u *Updater) unkeep(c message.OTACancel) {
	l := u.later[c.Module]
	if c.Version == l.offer.Version+l.stock.Version && (c.Deployment == "" || c.Deployment == l.offer.Deployment) {
		delete(u.later, c.Module)
	}
}

// step does what the phase of the plan asks for.
func (u *Updater) step(ctx context.Context) error {
	work := ctx
	if u.plan.cancellable() {
		if u.planCtx == nil {
			u.planCtx, u.callOff = context.WithCancelCause(ctx)
			u.mail.current(u.plan, u.callOff)
		}
		work = u.planCtx
	}
	err := u.work(work)
	u.resumed = false
	var fatal *storeError
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case errors.As(err, &fatal):
		return err
	case work.Err() != nil:
		err = context.Cause(work)
	}
	return u.failed(err)
}

// failed ends an update for the reason of err.
func (u *Updater) failed(err error) error {
	if errors.Is(err, errRefused) {
		// The hub knows, and offers it again if it means to. What was staged stays.
		u.log.Info("no assignment, the update is left", "deployment", u.plan.Deployment, "err", err)
		return u.finish()
	}
	class := failure.Of(err)
	if class == failure.Unclassified {
		class = failure.FlashIO // what has no class is of the device's own storage or boot loader
	}
	u.log.Warn("the update has failed", "deployment", u.plan.Deployment, "version", u.plan.Version, "phase", u.plan.Phase.String(),
		"class", string(class), "err", err)
	state := stateFailed
	if u.plan.Phase < accepted && u.plan.Asks == 0 && class != failure.Cancelled {
		state = stateRejected
	}
	return u.settle(state, class)
}

func (u *Updater) work(ctx context.Context) error {
	switch u.plan.Phase {
	case offered:
		return u.verify(ctx)
	case asking:
		return u.ask(ctx)
	case accepted:
		return u.wait(ctx)
	case staging:
		return u.stage(ctx)
	case staged:
		return u.holdArmed(ctx)
	case arming:
		return u.arm(ctx)
	case restarting:
		return u.restart(ctx)
	case trial:
		return u.try(ctx)
	case confirmed:
		return u.attest(ctx)
	case reverting:
		return u.revert(ctx)
	case settled:
		return u.end(ctx)
	}
	return fmt.Errorf("update: phase %d", u.plan.Phase)
}

// what is the release as those see it who agree to it or arm it.
func (u *Updater) what() Release {
	if s := u.plan.Stock; s != nil {
		img := Image{Module: u.plan.Module, Version: u.plan.Version}
		img.Size = uint64(max(s.Size, 0))
		copy(img.Digest[:], s.Sum)
		return Release{Images: []Image{img}}
	}
	r := Release{Digest: manifest.Digest(u.plan.Digest), Sequence: u.release.Sequence, Consent: u.plan.Consent}
	for _, c := range u.release.Components {
		r.Images = append(r.Images, Image{Module: c.Module, Version: c.Version, Description: c.Description, Payload: c.Image})
	}
	return r
}
