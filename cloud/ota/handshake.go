package ota

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/firmware/attest"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// The reasons of assignment_refused.
const (
	refusedUnknown  = "unknown_deployment"
	refusedEnded    = "ended"
	refusedPaused   = "paused"
	refusedDirector = "no_director"
	refusedRoot     = "root_unknown"
	refusedBuffer   = "buffer_too_small"
	refusedBad      = "bad_request"
)

// terms are what an assignment says beside who gets what. refused is why there is none, "" if there is.
type terms struct {
	window  *signing.Window
	budget  uint64 // bytes, 0 is without bound
	consent bool   // the owner is to be asked
	refused string
}

// termsOf are those of a deployment's campaign; a task has none.
func termsOf(d *deployment) (t terms) {
	if d.campaign == nil {
		return t
	}
	switch d.campaign.Status {
	case Paused:
		t.refused = refusedPaused
	case Aborted:
		t.refused = refusedEnded
	}
	t.window, t.budget, t.consent = d.campaign.Window, uint64(d.campaign.Budget), d.campaign.Consent
	return t
}

// formatOf is what the sender of m speaks.
func formatOf(m *uplink.Message) codec.Format {
	if m.CBOR {
		return codec.CBOR
	}
	return codec.JSON
}

// source is what the paths of a release's files begin with, for as long as a device may be at it.
func (o *OTA) source(firmware int64, until time.Time) string {
	return o.Links.URL(shortlink.Link{Kind: shortlink.Release, ID: firmware, Until: until}) + "/"
}

// manifestOffer is the offer_firmware of a deployment.
func (o *OTA) manifestOffer(ctx context.Context, d *deployment, attempt int) (message.OTAOffer, error) {
	rel, err := o.Artifacts.Release(ctx, d.firmware)
	if errors.Is(err, artifact.ErrNotFound) {
		err = ErrFirmwareNotFound
	}
	if err != nil {
		return message.OTAOffer{}, err
	}
	return message.OTAOffer{Deployment: strconv.FormatInt(d.Task, 10), Attempt: attempt, Module: d.Module, Version: d.Version, Digest: rel.Digest[:],
		ManifestURL: o.source(d.firmware, o.now().Add(o.cfg.URLLife)) + "manifest", Size: rel.Size()}, nil
}

// assignment answers request_assignment: with the root documents that the device has not, and with the hub's word that it gets the release.
func (o *OTA) assignment(ctx context.Context, m *uplink.Message) error {
	q, err := message.DecodeOTA[message.OTAQuestion](m.Payload)
	if err != nil {
		return uplink.Refuse(message.CodeBad, "Payload cannot be read")
	}
	if len(q.Nonce) < signing.MinNonce || len(q.Nonce) > signing.MaxNonce || len(q.Digest) != len(manifest.Digest{}) {
		return o.refuse(m, q.Deployment, refusedBad)
	}
	d, err := o.deployment(ctx, m.DeviceID, q.Deployment)
	if err != nil {
		return err
	}
	if d == nil || d.Module != q.Module {
		return o.refuse(m, q.Deployment, refusedUnknown)
	}
	rel, err := o.Artifacts.Release(ctx, d.firmware)
	switch {
	case errors.Is(err, artifact.ErrNotFound), err == nil && !bytes.Equal(rel.Digest[:], q.Digest):
		return o.refuse(m, q.Deployment, refusedUnknown)
	case err != nil:
		return err
	case !d.State.Open():
		return o.refuse(m, q.Deployment, refusedEnded)
	}
	t := termsOf(d)
	if t.refused != "" {
		return o.refuse(m, q.Deployment, t.refused)
	}
	return o.assign(ctx, m, d, rel, q, t)
}

// assign stages the answers to a question that is in order.
func (o *OTA) assign(ctx context.Context, m *uplink.Message, d *deployment, rel *artifact.Release, q message.OTAQuestion, t terms) error {
	chain, err := o.Artifacts.Roots(ctx, d.Device.Product)
	if errors.Is(err, artifact.ErrNoRoot) {
		return o.refuse(m, q.Deployment, refusedDirector)
	}
	if err != nil {
		return err
	}
	key, directed, err := o.Artifacts.Signer(ctx, chain)
	switch {
	case err != nil:
		return err
	case !directed:
		return o.refuse(m, q.Deployment, refusedDirector)
	case q.Root == 0 || q.Root > chain.Newest().Version:
		return o.refuse(m, q.Deployment, refusedRoot)
	}
	answers := make([][]byte, 0, 4)
	for _, root := range chain.After(q.Root) {
		b, err := message.EncodeOTA(formatOf(m), message.OTARootUpdate, message.OTABytes{Bytes: root.Document})
		if err != nil {
			return err
		}
		answers = append(answers, b)
	}
	signed, guard, err := o.sign(ctx, key, d, rel, q, t)
	if err != nil {
		return err
	}
	b, err := message.EncodeOTA(formatOf(m), message.OTAAssignment, message.OTABytes{Deployment: q.Deployment, Bytes: signed, Consent: t.consent})
	if err != nil {
		return err
	}
	for _, b := range append(answers, b) {
		if len(b) > m.Limit(topic.OTADownstream) {
			return o.refuse(m, q.Deployment, refusedBuffer)
		}
	}
	m.Stage(guard)
	for _, b := range append(answers, b) {
		if err := m.Reply(topic.OTADownstream, "", b); err != nil {
			return err
		}
	}
	o.assigned.Inc()
	return nil
}

var (
	firstCounter = store.NewStmt(`INSERT INTO device_assignment (device, counter) VALUES (?, ?) ON CONFLICT (device) DO NOTHING`)
	nextCounter  = store.NewStmt(`UPDATE device_assignment SET counter = ? WHERE device = ? AND counter = ?`)
)

// sign makes the assignment, and the operation that notes its counter: a guard, so that no two have the same.
func (o *OTA) sign(ctx context.Context, key signing.PrivateKey, d *deployment, rel *artifact.Release, q message.OTAQuestion, t terms) ([]byte, store.Op, error) {
	var last int64
	err := o.Store.QueryRow(ctx, `SELECT counter FROM device_assignment WHERE device = ?`, d.device).Scan(&last)
	first := errors.Is(err, store.ErrNoRows)
	if err != nil && !first {
		return nil, store.Op{}, fmt.Errorf("ota: read counter: %w", err)
	}
	now := o.now()
	// Not less than the clock: after a restore of the store the counter would else be one that the device has had.
	counter := max(last+1, now.Unix())
	until := now.Add(o.cfg.AssignmentLife)
	execution := q.Deployment + "." + strconv.Itoa(d.Attempts)
	a := signing.Assignment{Device: d.Device.ClientID(), Manifest: rel.Digest, Rollout: q.Deployment, Execution: execution, Nonce: q.Nonce, Counter: uint64(counter),
		Issued: now, NotAfter: until, Window: t.window, Sources: []string{o.source(d.firmware, until)}, Budget: t.budget}
	b, err := a.Sign(key)
	if err != nil {
		return nil, store.Op{}, fmt.Errorf("ota: sign assignment: %w", err)
	}
	if first {
		return b, firstCounter.Guard(d.device, counter), nil
	}
	return b, nextCounter.Guard(counter, d.device, last), nil
}

// refuse answers that there is no assignment.
func (o *OTA) refuse(m *uplink.Message, deployment, reason string) error {
	b, err := message.EncodeOTA(formatOf(m), message.OTAAssignmentRefused, message.OTARefused{Deployment: deployment, Reason: reason})
	if err != nil {
		return err
	}
	m.Note(message.CodeNoPermission, "no assignment: "+reason)
	o.refused.WithLabelValues(reason).Inc()
	return m.Reply(topic.OTADownstream, "", b)
}

// attest takes a device's word about what it has booted. What is settled by it, or was before, is answered, so that the device stops to say it.
func (o *OTA) attest(ctx context.Context, m *uplink.Message) error {
	said, err := message.DecodeOTA[message.OTABytes](m.Payload)
	if err != nil {
		return uplink.Refuse(message.CodeBad, "Payload cannot be read")
	}
	dev, err := o.Registry.Device(ctx, m.Device)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(said.Deployment, 10, 64)
	if err != nil {
		return uplink.Refuse(message.CodeBad, "Deployment is no number")
	}
	report, err := attest.Open(said.Bytes, []byte(dev.Secret.Reveal()), id)
	if err != nil {
		return uplink.Refuse(message.CodeSignature, "the attestation is not made with the device's secret for this deployment")
	}
	d, err := o.deployment(ctx, m.DeviceID, said.Deployment)
	if err != nil {
		return err
	}
	if d != nil && report.Confirmed && d.State.Open() {
		if err := o.settle(ctx, m, d, report); err != nil {
			return err
		}
	}
	b, err := message.EncodeOTA(formatOf(m), message.OTAAttested, message.OTADeployment{Deployment: said.Deployment})
	if err != nil {
		return err
	}
	return m.Reply(topic.OTADownstream, "", b)
}

// settle ends a deployment by what its device has confirmed.
func (o *OTA) settle(ctx context.Context, m *uplink.Message, d *deployment, report attest.Report) error {
	rel, err := o.Artifacts.Release(ctx, d.firmware)
	switch {
	case errors.Is(err, artifact.ErrNotFound):
		return nil // deleted under the device
	case err != nil:
		return err
	case report.Booted == rel.Digest:
		return o.stageArrived(ctx, m, d)
	case d.State == Pending && d.stones > 0:
		return nil // it says once more that it runs the stone before, or what it went back to before it was tried again
	case d.State.Running():
		return o.stage(m, d, d.end(RolledBack, classReverted, 0))
	}
	return nil
}
