package ota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// The actions on a campaign.
const (
	ActionApprove  = "approve"
	ActionPause    = "pause"
	ActionResume   = "resume"
	ActionAbort    = "abort"
	ActionRollBack = "rollback"
	ActionRetry    = "retry"
)

// legal are the statuses in which each action may be taken.
var legal = map[string][]Status{
	ActionApprove:  {Awaiting},
	ActionChange:   {Preparing, Awaiting, Running, Paused},
	ActionPause:    {Running},
	ActionResume:   {Paused},
	ActionAbort:    {Preparing, Awaiting, Running, Paused},
	ActionRollBack: {Running, Paused, Aborted, Done},
	ActionRetry:    {Running, Paused, Done},
}

// begin reads a campaign for an action. revision, when not 0, must be the campaign's.
func (o *OTA) begin(ctx context.Context, action, product string, id, revision int64) (*Campaign, error) {
	c, err := o.Campaign(ctx, product, id)
	switch {
	case err != nil:
		return nil, err
	case revision != 0 && revision != c.Revision:
		return nil, ErrRevision
	case !slices.Contains(legal[action], c.Status):
		return nil, &ErrStatus{action, c.Status}
	}
	return c, nil
}

// act tries an action again when the campaign moved on its own under it.
func (o *OTA) act(ctx context.Context, action, product string, id, revision int64, do func(c *Campaign) (*Campaign, error)) (*Campaign, error) {
	for try := 0; ; try++ {
		c, err := o.begin(ctx, action, product, id, revision)
		if err != nil {
			return nil, err
		}
		c, err = do(c)
		if err == nil {
			o.kick()
			return c, nil
		}
		if !errors.Is(err, ErrRevision) || revision != 0 || try == 10 {
			return nil, err
		}
	}
}

// Approve lets a campaign start that needs somebody's approval.
func (o *OTA) Approve(ctx context.Context, product string, id, revision int64, by string) (*Campaign, error) {
	return o.act(ctx, ActionApprove, product, id, revision, func(c *Campaign) (*Campaign, error) {
		if c.Owner == by {
			return nil, ErrOwnApproval
		}
		return o.set(ctx, c, `status = ?, approver = ?, started_at = ?`, int64(Running), by, millis(o.now()))
	})
}

// Pause keeps a campaign where it is: devices that are at it go on, nobody else begins.
func (o *OTA) Pause(ctx context.Context, product string, id, revision int64) (*Campaign, error) {
	return o.act(ctx, ActionPause, product, id, revision, func(c *Campaign) (*Campaign, error) {
		return o.set(ctx, c, `status = ?, reason = ''`, int64(Paused))
	})
}

// Resume goes on along the rank. What made the campaign stop is taken as seen: the stop rule counts anew from here on, and the gate of the
// present wave is open.
func (o *OTA) Resume(ctx context.Context, product string, id, revision int64) (*Campaign, error) {
	return o.act(ctx, ActionResume, product, id, revision, func(c *Campaign) (*Campaign, error) {
		p, err := o.Progress(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		pardoned, err := json.Marshal(p.Tally())
		if err != nil {
			return nil, err
		}
		return o.set(ctx, c, `status = ?, reason = '', pardoned = ?, waived = wave`, int64(Running), string(pardoned))
	})
}

// Abort ends a campaign: what was not offered is not, and devices that are at it are told to stop.
func (o *OTA) Abort(ctx context.Context, product string, id, revision int64) (*Campaign, error) {
	return o.act(ctx, ActionAbort, product, id, revision, func(c *Campaign) (*Campaign, error) {
		return o.set(ctx, c, `status = ?, reason = ''`, int64(Aborted))
	})
}

// Retry offers the firmware once more to the devices that ended without it, unless another task came to them meanwhile; a class narrows it.
// n is how many they are. A campaign that has expired waits for them as long as it did at first.
func (o *OTA) Retry(ctx context.Context, product string, id, revision int64, class string) (c *Campaign, n int64, err error) {
	c, err = o.act(ctx, ActionRetry, product, id, revision, func(c *Campaign) (*Campaign, error) {
		err := o.Store.Update(ctx, func(tx *store.Tx) (err error) {
			set, args := `reason = ''`, []any{}
			if c.Status == Done {
				set, args = `status = ?, ended_at = 0, through_at = 0, reason = ''`, []any{int64(Running)}
			}
			if err := o.advance(ctx, tx, c, set, args...); err != nil {
				return err
			}
			if c.Expires.Before(o.now()) {
				c.Expires = o.now().Add(c.Expires.Sub(c.Created))
			}
			if _, err := tx.Exec(ctx, `UPDATE ota_task SET trimmed = 0, expires_at = ? WHERE id = ?`, millis(c.Expires), c.ID); err != nil {
				return err
			}
			if n, err = reopen(ctx, tx, c, class, millis(o.now()), millis(c.queuedUntil(o.now()))); err != nil {
				return err
			}
			return c.pardonLess(ctx, tx)
		})
		if err != nil {
			return nil, fmt.Errorf("ota: try again: %w", err)
		}
		o.lives.stir(c.ID, time.Time{})
		return o.Campaign(ctx, product, id)
	})
	return c, n, err
}

// pardonLess takes what was tried again out of what the stop rule does not count: when it fails once more, it does.
func (c *Campaign) pardonLess(ctx context.Context, tx *store.Tx) error {
	p, _, err := countsOf(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	pardoned, err := json.Marshal(c.pardoned.AtMost(p.Tally()))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE ota_campaign SET pardoned = ? WHERE id = ?`, string(pardoned), c.ID)
	return err
}

// reopen is the one way out of an end, and only an operator takes it.
func reopen(ctx context.Context, tx *store.Tx, c *Campaign, class string, now, until int64) (int64, error) {
	where, args := `task = ? AND state IN (5, 7, 13, 14) AND class <> '`+classNoWay+`'`, []any{int64(Initial), now, until, c.ID}
	if class != "" {
		where, args = where+` AND class = ?`, append(args, class)
	}
	// What was tried before counts no more, as with stones that are behind.
	res, err := tx.Exec(ctx, `UPDATE ota_deployment SET state = ?, open = 1, percent = 0, class = '', code = 0, step = 0, stones = attempt, next_at = 0, updated_at = ?,
		deadline = ?, revision = revision + 1 WHERE `+where+` AND NOT EXISTS (SELECT 1 FROM ota_deployment e WHERE e.device = ota_deployment.device
		AND e.module = ota_deployment.module AND e.task > ota_deployment.task)`, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
