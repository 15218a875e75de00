package update

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/message"
)

// errRefused is the hub's word that there is no assignment.
var errRefused = failure.New(failure.Cancelled, "update: the hub has refused the assignment")

// errNoAnswer is a hub that does not answer.
var errNoAnswer = failure.New(failure.Network, "update: no answer to the question for an assignment")

// nonceLength and maxQuestions are how long a nonce is, and how often a question is asked in a row.
const (
	nonceLength  = 32
	maxQuestions = 4
)

// verify fetches the manifest of an offer and judges it.
func (u *Updater) verify(ctx context.Context) error {
	if u.plan.Stock != nil {
		return u.verifyStock()
	}
	if u.trust.root == nil {
		return failure.New(failure.Signature, "update: the device has no root document to verify a manifest with")
	}
	if !offerable(u.plan) {
		return failure.New(failure.Signature, "update: an offer with a digest of %d bytes, the URL %.60q and the deployment %.40q",
			len(u.plan.Digest), redact(u.plan.ManifestURL), u.plan.Deployment)
	}
	if u.trust.installed[u.plan.Module].manifest() == manifest.Digest(u.plan.Digest) {
		u.log.Info("what is offered runs already", "deployment", u.plan.Deployment, "version", u.plan.Version)
		return u.move(confirmed)
	}
	d := u.downloader([]string{u.plan.ManifestURL})
	b, err := d.file("", -1).whole(ctx, manifest.MaxSize)
	u.plan.Net = d.net
	if err != nil {
		return err
	}
	u.plan.Envelope = b
	if err := u.judgeOffer(); err != nil {
		return err
	}
	return u.move(asking)
}

// offerable tells whether an offer has the form of one.
func offerable(p *plan) bool {
	n, err := strconv.ParseInt(p.Deployment, 10, 64)
	return err == nil && n > 0 && len(p.Digest) == len(manifest.Digest{}) && manifest.Digest(p.Digest) != manifest.Digest{} && strings.Contains(p.ManifestURL, "://")
}

// judgeOffer judges the envelope of the plan, by what the device knows now.
func (u *Updater) judgeOffer() error {
	r, err := u.judge().Offer(u.plan.Envelope, u.cfg.Now())
	if err != nil {
		return err
	}
	if !bytes.Equal(r.Digest[:], u.plan.Digest) {
		return failure.New(failure.Signature, "update: the manifest at the URL is %v, offered was %x", r.Digest, u.plan.Digest)
	}
	u.release = r
	return nil
}

func (u *Updater) downloader(sources []string) *downloader {
	return &downloader{cfg: u.cfg.Download, client: u.client, log: u.log, sources: slices.Clone(sources), net: u.plan.Net}
}

// ask asks for the assignment until it is there and judged, or refused.
func (u *Updater) ask(ctx context.Context) error {
	if u.release == nil {
		if err := u.judgeOffer(); err != nil {
			return err
		}
	}
	for range maxQuestions {
		if err := u.question(ctx); err != nil {
			return err
		}
		a, err := u.answer(ctx)
		switch {
		case err != nil:
			return err
		case a != nil:
			return u.accept(a)
		}
	}
	return errNoAnswer
}

// question sends a question with a new nonce, which is noted first.
func (u *Updater) question(ctx context.Context) error {
	nonce := make([]byte, nonceLength)
	if _, err := rand.Read(nonce); err != nil {
		return err
	}
	t := u.trust
	var err error
	if t.state, err = t.state.Asked(nonce); err != nil {
		return err
	}
	if err := u.saveTrust(t); err != nil {
		return err
	}
	u.asked = append(u.asked[max(0, len(u.asked)-2*maxQuestions):], nonce)
	u.mail.drop()
	return send(ctx, u, message.OTARequestAssignment, message.OTAQuestion{
		Deployment: u.plan.Deployment, Module: u.plan.Module, Digest: u.plan.Digest, Nonce: nonce, Root: u.trust.root.Version,
	})
}

// answer waits for the answer to the last question. Nil without an error is a question that has to be asked again.
func (u *Updater) answer(ctx context.Context) (*signing.Assignment, error) {
	for {
		l, ok, err := u.mail.next(ctx, u.cfg.AnswerTimeout)
		if err != nil {
			return nil, err
		}
		switch {
		case !ok:
			// A poke or the timer: a new connection has lost the question's answer, perhaps.
			return nil, u.cfg.Link.WaitConnected(ctx)
		case l.method == message.OTARootUpdate:
			if err := u.adopt(l.bytes.Bytes); err != nil && failure.Of(err) != failure.Rollback {
				return nil, err // one that is there already came twice
			}
			u.announceAgain()
			if err := u.judgeOffer(); err != nil { // by the keys that count now
				return nil, err
			}
		case l.method == message.OTAAssignmentRefused && l.refused.Deployment == u.plan.Deployment:
			return nil, fmt.Errorf("%w: %.100q", errRefused, l.refused.Reason)
		case l.method == message.OTAAssignment:
			if a, again, err := u.judgeAssignment(l.bytes); a != nil || again || err != nil {
				return a, err
			}
		default:
			if err := u.keep(l); err != nil {
				return nil, err
			}
		}
	}
}

// judgeAssignment judges an answer. Again tells that the question is to be asked once more; nothing of all is an answer to an earlier one.
func (u *Updater) judgeAssignment(said message.OTABytes) (a *signing.Assignment, again bool, err error) {
	b := said.Bytes
	if old, _, err := signing.UnverifiedAssignment(b); err == nil && (u.answered(old.Nonce) || old.Counter == u.before && u.before > 0) {
		return nil, false, nil
	}
	a, state, err := u.judge().Assignment(u.release, b, u.cfg.Now())
	if failure.Of(err) == failure.Stale && len(u.trust.state.Nonce) == 0 {
		return nil, true, nil // a new root has made the device forget its question
	}
	if err != nil {
		return nil, false, err
	}
	t := u.trust
	t.state = state
	if err := u.saveTrust(t); err != nil {
		return nil, false, err
	}
	u.plan.Assignment, u.plan.Consent = b, said.Consent
	return a, false, nil
}

// answered tells whether a nonce is that of an earlier question of this run.
func (u *Updater) answered(nonce []byte) bool {
	for _, n := range u.asked[:max(0, len(u.asked)-1)] {
		if bytes.Equal(n, nonce) {
			return true
		}
	}
	return false
}

// accept begins what was assigned, or goes on with it.
func (u *Updater) accept(a *signing.Assignment) error {
	u.log.Info("firmware is assigned", "deployment", u.plan.Deployment, "version", u.plan.Version, "sources", len(a.Sources))
	if u.plan.Asks > 0 {
		return u.move(staging)
	}
	if err := u.move(accepted); err != nil {
		return err
	}
	return u.tell(stateAccepted, 0, "")
}

// adopt takes over a root document that follows the present one; the same once more changes nothing.
func (u *Updater) adopt(b []byte) error {
	if u.trust.root == nil {
		return failure.New(failure.Signature, "update: the device has no root document that another could follow")
	}
	next, err := u.trust.root.Next(b)
	if err != nil || next == u.trust.root {
		return err
	}
	u.log.Info("a new root document is adopted", "version", next.Version)
	return u.saveTrust(u.trust.adopt(next))
}

// assignment is that of the plan, verified by the present root.
func (u *Updater) assignment() (*signing.Assignment, error) {
	if u.release == nil {
		if err := u.judgeOffer(); err != nil {
			return nil, err
		}
	}
	a, err := u.trust.root.VerifyAssignment(u.plan.Assignment)
	if err == nil && a.Manifest != u.release.Digest {
		err = errors.New("update: the assignment is for another release")
	}
	return a, err
}
