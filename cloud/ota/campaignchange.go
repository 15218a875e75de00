package ota

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// ActionChange is a change of what a campaign was made with.
const ActionChange = "change"

// Patch is what of a campaign is to be another; what is nil or zero stays.
type Patch struct {
	Waves     []rollout.Wave // the whole plan; the waves that have begun are in it as they are
	Rate      *rollout.Rate
	Stop      *rollout.Stop   // a rule without limits is none; it counts the devices that have settled too
	Retry     *rollout.Retry  // for failures from now on
	Window    *signing.Window // an empty Cron is none
	Deadlines map[string]int64
	Expires   time.Time
}

// Change changes a campaign that has not ended. Devices that are at it are left with the deadlines, the window and the way that they have; those that wait for as long
// as it lives do so until its new end. One that was approved is changed by somebody else than its author, as it was approved.
func (o *OTA) Change(ctx context.Context, product string, id, revision int64, p Patch, by string) (*Campaign, error) {
	return o.act(ctx, ActionChange, product, id, revision, func(c *Campaign) (*Campaign, error) {
		if c.Approval && c.Status > Awaiting && c.Owner == by {
			return nil, ErrOwnApproval
		}
		spec, err := p.on(c)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(spec)
		if err != nil {
			return nil, fmt.Errorf("ota: change campaign: %w", err)
		}
		expires, err := p.expires(c, o.now())
		if err != nil {
			return nil, err
		}
		err = o.Store.Update(ctx, func(tx *store.Tx) error {
			if err := o.advance(ctx, tx, c, `spec = ?`, string(text)); err != nil {
				return err
			}
			if expires.Equal(c.Expires) {
				return nil
			}
			if _, err := tx.Exec(ctx, `UPDATE ota_task SET expires_at = ? WHERE id = ?`, millis(expires), c.ID); err != nil {
				return err
			}
			// Those who are waited for as long as the campaign lives.
			_, err := tx.Exec(ctx, `UPDATE ota_deployment SET deadline = ?, revision = revision + 1 WHERE task = ? AND open = 1 AND deadline = ?`,
				millis(expires), c.ID, millis(c.Expires))
			return err
		})
		if err != nil {
			return nil, err
		}
		return o.changed(ctx, c)
	})
}

// on is the spec of a campaign with the patch.
func (p *Patch) on(c *Campaign) (Spec, error) {
	s := c.Spec
	if p.Waves != nil {
		if err := keepsBegun(c, p.Waves); err != nil {
			return s, err
		}
		s.Waves = p.Waves
	}
	if p.Rate != nil {
		s.Rate = *p.Rate
	}
	if p.Stop != nil {
		s.Stop = *p.Stop
	}
	if p.Retry != nil {
		s.Retry = *p.Retry
	}
	if p.Deadlines != nil {
		s.Deadlines = maps.Clone(p.Deadlines)
	}
	switch {
	case p.Window == nil:
	case p.Window.Cron == "":
		s.Window = nil
	default:
		s.Window = p.Window
	}
	return s, s.check()
}

// keepsBegun tells whether the waves that have begun are as they were.
func keepsBegun(c *Campaign, waves []rollout.Wave) error {
	begun := c.Wave
	if c.Status < Running {
		begun = 0
	}
	if len(waves) < begun {
		return &ErrInvalid{"waves", fmt.Sprintf("%d waves have begun, and must be among them", begun)}
	}
	for i := range begun {
		if !sameWave(waves[i], c.Waves[i]) {
			return &ErrInvalid{"waves", fmt.Sprintf("wave %d has begun, and must be as it is", i+1)}
		}
	}
	return nil
}

func sameWave(a, b rollout.Wave) bool {
	x, y := a.Health, b.Health
	a.Health, b.Health = nil, nil
	return a == b && (x == nil) == (y == nil) && (x == nil || *x == *y)
}

func (p *Patch) expires(c *Campaign, now time.Time) (time.Time, error) {
	switch {
	case p.Expires.IsZero():
		return c.Expires, nil
	case p.Expires.Before(now), p.Expires.After(c.Created.Add(maxLife)):
		return c.Expires, &ErrInvalid{"expiresAt", "must be ahead, and within a year of the campaign's beginning"}
	}
	return p.Expires, nil
}
