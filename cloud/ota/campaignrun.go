package ota

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
)

// tickEvery is how often campaigns that go on are looked at.
const tickEvery = time.Second

// tick takes every campaign that goes on a step further. All nodes do so: each step is a change under the revision that was read, so that
// it is done once, and what one node has begun another ends.
func (o *OTA) tick(ctx context.Context) error {
	list, err := o.queryCampaigns(ctx, `k.status IN (0, 1, 2, 3) OR k.status = 4 AND k.ended_at = 0 ORDER BY k.id`)
	if err != nil {
		return err
	}
	o.lives.keep(list)
	var failed []error // one that fails keeps no other up
	for _, c := range list {
		if err := o.step(ctx, c); err != nil && !errors.Is(err, ErrRevision) && !errors.Is(err, ErrCampaignNotFound) {
			failed = append(failed, fmt.Errorf("campaign %d: %w", c.ID, err))
		}
	}
	return errors.Join(failed...)
}

// step is one campaign's part of a tick.
func (o *OTA) step(ctx context.Context, c *Campaign) (err error) {
	switch c.Status {
	case Preparing:
		err := o.prepare(ctx, c)
		if errors.Is(err, registry.ErrGroupNotFound) || errors.Is(err, registry.ErrProductNotFound) || errors.As(err, new(*registry.ErrInvalid)) {
			_, err = o.set(ctx, c, `status = ?, reason = ?`, int64(Aborted), "its targets cannot be found any more: "+err.Error())
		}
		if err != nil {
			return err
		}
		o.kick()
	case Running:
		return o.run(ctx, c)
	case Aborted:
		return o.cancelOpen(ctx, c)
	}
	p, err := o.Progress(ctx, c.ID)
	if err != nil {
		return err
	}
	o.tell(c, o.lives.refresh(c, 0, p, o.now()), p)
	return nil
}

// run goes on with a campaign that runs: it stops if it must, lets the next devices go, and offers.
func (o *OTA) run(ctx context.Context, c *Campaign) error {
	p, err := o.Progress(ctx, c.ID)
	if err != nil {
		return err
	}
	if why := c.Stop.Verdict(p.Tally().Since(c.pardoned)); why != "" {
		return o.stop(ctx, c, c.Stop.Action, why)
	}
	c, out, err := o.release(ctx, c)
	if err != nil || c.Status != Running {
		return err
	}
	if p, err = o.Progress(ctx, c.ID); err != nil {
		return err
	}
	if out {
		if c, err = o.turn(ctx, c, p); err != nil || c.Status != Running {
			return err
		}
	}
	f, err := o.firmware(ctx, c.Firmware)
	if errors.Is(err, ErrFirmwareNotFound) {
		f, err = &Firmware{}, nil // offers say so, device by device
	}
	if err != nil {
		return err
	}
	v := o.lives.refresh(c, f.Size, p, o.now())
	if err := o.pushCampaign(ctx, v); err != nil {
		return err
	}
	if p, err = o.Progress(ctx, c.ID); err != nil {
		return err
	}
	o.tell(c, v, p)
	return nil
}

// turn notes that a wave is through, and after its time to soak begins the next, or ends the campaign.
func (o *OTA) turn(ctx context.Context, c *Campaign, p Progress) (*Campaign, error) {
	w, last := c.Waves[c.Wave-1], c.Wave == len(c.Waves)
	total := p.Sum(func(n Count) bool { return n.Wave <= c.Wave })
	settled := p.Sum(func(n Count) bool { return n.Wave <= c.Wave && !n.State.Open() })
	now := o.now()
	switch {
	case last && settled < total, float64(settled) < float64(total)*w.Through(last)/100-1e-9:
		return c, nil
	case c.Through.IsZero():
		return o.set(ctx, c, `through_at = ?`, millis(now))
	case now.Before(c.Through.Add(time.Duration(w.Soak) * time.Second)):
		return c, nil
	}
	why := ""
	if c.waived != c.Wave {
		var err error
		if why, err = o.ill(ctx, c, w.Health, now); err != nil {
			return c, err
		}
	}
	switch {
	case why != "":
		return c, o.stop(ctx, c, w.Health.Action, why)
	case last:
		return o.set(ctx, c, `status = ?, ended_at = ?`, int64(Done), millis(now))
	case w.Hold:
		return o.set(ctx, c, `wave = wave + 1, through_at = 0, status = ?, reason = ?`, int64(Paused), fmt.Sprintf("wave %d is through: resume begins the next", c.Wave))
	}
	o.kick()
	return o.set(ctx, c, `wave = wave + 1, through_at = 0`)
}

// set is advance on its own; it returns the campaign as it then is.
func (o *OTA) set(ctx context.Context, c *Campaign, set string, args ...any) (*Campaign, error) {
	err := o.Store.Update(ctx, func(tx *store.Tx) error { return o.advance(ctx, tx, c, set, args...) })
	if err != nil {
		return c, err
	}
	return o.changed(ctx, c)
}

// changed reads a campaign that was changed, and tells of it.
func (o *OTA) changed(ctx context.Context, c *Campaign) (*Campaign, error) {
	c, err := o.Campaign(ctx, c.Product, c.ID)
	if err != nil {
		return nil, err
	}
	o.lives.put(c)
	o.Log.Info("campaign", "product", c.Product, "campaign", c.ID, "status", c.Status.String(), "wave", c.Wave, "reason", c.Reason)
	if c.Status >= Aborted {
		o.told(ctx, c)
	}
	return c, nil
}

// stop is what a rule or a gate does.
func (o *OTA) stop(ctx context.Context, c *Campaign, action rollout.Action, why string) error {
	if action == "" || action == rollout.Pause {
		_, err := o.set(ctx, c, `status = ?, reason = ?`, int64(Paused), why)
		return err
	}
	back := 0
	if action == rollout.RollBack {
		back = c.Wave
	}
	_, err := o.set(ctx, c, `status = ?, reason = ?, back = ?`, int64(Aborted), why, back)
	return err
}

// cancelOpen cancels what the devices of an aborted campaign have not finished, some at a time, and then brings a wave back if it is to.
func (o *OTA) cancelOpen(ctx context.Context, c *Campaign) error {
	for {
		n := 0
		err := o.callOff(ctx, Cancelled, func(tx *store.Tx) ([]deployment, error) {
			over, err := endAll(ctx, tx, `(task, device) IN (SELECT task, device FROM ota_deployment WHERE task = ? AND open = 1
				ORDER BY device LIMIT ?)`, []any{c.ID, chunk}, Cancelled, o.now())
			n = len(over)
			return over, err
		})
		if err != nil {
			return err
		}
		if n < chunk {
			break
		}
	}
	var back []*draft
	if c.back > 0 {
		var err error
		if back, err = o.wayBack(ctx, c, c.back, 0, "hub"); err != nil {
			if !final(err) {
				return err
			}
			o.Log.Warn("not all devices of a campaign can be brought back by themselves", "product", c.Product, "campaign", c.ID, "err", err)
		}
	}
	if _, err := o.bringBack(ctx, c, back, `ended_at = ?, back = 0`, millis(o.now())); err != nil {
		return err
	}
	o.lives.drop(c.ID)
	o.kick()
	return nil
}

// final tells whether trying again would end in the same error: what was asked for can't be done.
func final(err error) bool {
	for _, e := range []error{ErrPlain, ErrNotReady, ErrFirmwareNotFound, registry.ErrProductNotFound} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.As(err, new(*ErrInvalid)) || errors.As(err, new(*ErrNoWay)) || errors.As(err, new(*artifact.RefusedError))
}

// ill is why the devices that were updated are not well; "" when they are, or nobody looks.
func (o *OTA) ill(ctx context.Context, c *Campaign, h *rollout.Health, now time.Time) (string, error) {
	if h == nil {
		return "", nil
	}
	updated, err := o.vitals(ctx, `SELECT device FROM ota_deployment WHERE task = ? AND state = 4 ORDER BY updated_at DESC LIMIT ?`, c.Through, now, c.ID, maxWatched)
	if err != nil {
		return "", err
	}
	others, err := o.vitals(ctx, `SELECT device FROM ota_target WHERE campaign = ? AND (rank, device) > (?, ?) ORDER BY rank, device LIMIT ?`, c.Through, now,
		c.ID, c.rank, c.lastDevice, maxWatched)
	if err != nil {
		return "", err
	}
	return h.Verdict(updated, others), nil
}

// maxWatched bounds the devices that a gate looks at, of each kind.
const maxWatched = 1000

// vitals is what the hub saw of some devices since a moment: sessions that began, whether they are there, and whether they have said anything.
func (o *OTA) vitals(ctx context.Context, devices string, since, now time.Time, args ...any) (rollout.Vitals, error) {
	v := rollout.Vitals{Hours: now.Sub(since).Hours()}
	all := append([]any{millis(since), millis(since), millis(since)}, args...)
	err := o.Store.QueryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(began), 0), COALESCE(SUM(away), 0), COALESCE(SUM(silent), 0) FROM (SELECT
		(SELECT COUNT(*) FROM device_connection h WHERE h.device = d.id AND h.began_at >= ?)
			+ CASE WHEN COALESCE(s.connected_at, 0) >= ? AND s.online = 1 THEN 1 ELSE 0 END AS began,
		1 - COALESCE(s.online, 0) AS away, CASE WHEN d.last_seen < ? THEN 1 ELSE 0 END AS silent
		FROM (`+devices+`) AS x JOIN device d ON d.id = x.device LEFT JOIN session s ON s.device = d.id) AS seen`, all...).
		Scan(&v.Devices, &v.Reconnects, &v.Offline, &v.Silent)
	if err != nil {
		return v, fmt.Errorf("ota: look at devices: %w", err)
	}
	return v, nil
}
