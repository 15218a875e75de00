package agentconf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// State is what is known of an agent and its configuration.
type State struct {
	Wanted    string // the version that it should have; "" when there is none for it
	Running   string // that it has; "" when that is none of the hub's
	Offered   string // the last one that it was offered
	OfferedAt time.Time
	State     string // of what was offered: offered, trial, applied, back, refused; "" without an offer
	Reason    string
	Detail    string
	ToldAt    time.Time

	counter int64
	told    string
}

// Offered is the state of an offer that its agent has not spoken of yet.
const Offered = "offered"

// passing are reasons for a refusal that time heals.
var passing = []string{"busy", "expired", "replay", "disk"}

// wanted is the version that a device should have, nil when there is none for it.
func (c *Configs) wanted(ctx context.Context, device int64, product string) (*Version, error) {
	v, err := newest(ctx, c.Store, Target{Device: device})
	if err != nil || v != nil && !v.Gone {
		return v, err
	}
	groups, err := c.groups(ctx, device)
	if err != nil {
		return nil, err
	}
	for _, g := range groups { // the group that is older goes first
		if v, err := newest(ctx, c.Store, Target{Group: g}); err != nil || v != nil && !v.Gone {
			return v, err
		}
	}
	if v, err = newest(ctx, c.Store, Target{Product: product}); err != nil || v == nil || v.Gone {
		return nil, err
	}
	return v, nil
}

// groups are those that a device is a member of and that have a configuration.
func (c *Configs) groups(ctx context.Context, device int64) (list []int64, err error) {
	rows, err := c.Store.Query(ctx, `SELECT DISTINCT m.grp FROM device_group_member m JOIN agent_config a ON a.grp = m.grp AND a.device = 0 AND a.product = ''
		WHERE m.device = ? ORDER BY m.grp`, device)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var g int64
		if err := rows.Scan(&g); err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

// read is what is stored of an agent; the zero State when nothing is.
func (c *Configs) read(ctx context.Context, device int64) (s State, err error) {
	var offeredAt, toldAt int64
	err = c.Store.QueryRow(ctx, `SELECT offered, counter, offered_at, running, told, state, reason, detail, told_at FROM agent_config_state WHERE device = ?`, device).
		Scan(&s.Offered, &s.counter, &offeredAt, &s.Running, &s.told, &s.State, &s.Reason, &s.Detail, &toldAt)
	if errors.Is(err, store.ErrNoRows) {
		return State{}, nil
	}
	s.OfferedAt, s.ToldAt = timeOf(offeredAt), timeOf(toldAt)
	return s, err
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// answered reports whether what the agent has told is about the last offer. It names none when it trusts nobody who could have signed one.
func (s *State) answered() bool {
	return s.State != "" && (s.told == s.Offered || s.told == "" && s.State == agentmsg.ConfigRefused && !s.ToldAt.Before(s.OfferedAt))
}

// State is what is known of a device's agent.
func (c *Configs) State(ctx context.Context, device int64, product string) (State, error) {
	s, err := c.read(ctx, device)
	if err != nil {
		return s, fmt.Errorf("agentconf: read state: %w", err)
	}
	v, err := c.wanted(ctx, device, product)
	if err != nil {
		return s, fmt.Errorf("agentconf: read state: %w", err)
	}
	if v != nil {
		s.Wanted = v.Name
	}
	if s.Offered != "" && !s.answered() {
		s.State, s.Reason, s.Detail = Offered, "", ""
	}
	return s, nil
}

// due reports whether a version is to be offered now.
func (s *State) due(v *Version, now time.Time, patience time.Duration) bool {
	switch {
	case s.Running == v.Name:
		return false
	case s.Offered != v.Name:
		return true
	case !s.answered():
		return now.Sub(s.OfferedAt) >= patience
	case s.State == agentmsg.ConfigTrial, s.State == agentmsg.ConfigBack:
		return false
	case s.State == agentmsg.ConfigRefused:
		return slices.Contains(passing, s.Reason) && now.Sub(s.OfferedAt) >= patience
	}
	return now.Sub(s.OfferedAt) >= patience // it was applied, and changed at the gateway since
}

// Offer returns what a device's agent is to be offered now, signed; nil when there is nothing.
func (c *Configs) Offer(ctx context.Context, device int64, id ident.Device) ([]byte, error) {
	v, err := c.wanted(ctx, device, id.Product)
	if err != nil || v == nil {
		return nil, err
	}
	s, err := c.read(ctx, device)
	now := c.Now()
	if err != nil || !s.due(v, now, c.cfg.Patience) {
		return nil, err
	}
	document, err := c.open(v)
	if err != nil {
		return nil, err
	}
	key, err := c.Key(ctx)
	if err != nil {
		return nil, err
	}
	// Not less than the clock: after a restore of the store the counter would else be one that the device has had.
	counter := max(s.counter+1, now.Unix())
	offer := signing.Configuration{Device: id.ClientID(), Version: v.Name, Counter: uint64(counter), Issued: now, NotAfter: now.Add(c.cfg.Life), Document: document}
	b, err := offer.Sign(key)
	if err != nil {
		return nil, fmt.Errorf("agentconf: sign: %w", err)
	}
	ours := false
	err = c.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO agent_config_state (device) VALUES (?) ON CONFLICT (device) DO NOTHING`, device); err != nil {
			return err
		}
		res, err := tx.Exec(ctx, `UPDATE agent_config_state SET offered = ?, counter = ?, offered_at = ? WHERE device = ? AND counter = ?`, v.Name, counter,
			now.UnixMilli(), device, s.counter)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		ours = n == 1
		return err
	})
	if err != nil || !ours { // another node was faster
		return nil, err
	}
	c.offers.Inc()
	return b, nil
}

var putTold = store.NewStmt(`INSERT INTO agent_config_state (device, running, told, state, reason, detail, told_at) VALUES (?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (device) DO UPDATE SET running = excluded.running, told = excluded.told, state = excluded.state, reason = excluded.reason,
	detail = excluded.detail, told_at = excluded.told_at`)

// Told takes what an agent says of its configuration, and returns the operations that store it: none when it is known.
func (c *Configs) Told(ctx context.Context, device int64, said agentmsg.ConfigState, at time.Time) ([]store.Op, error) {
	s, err := c.read(ctx, device)
	if err != nil {
		return nil, err
	}
	if s.Running == said.Version && s.told == said.Offered && s.State == said.State && s.Reason == said.Reason && s.Detail == said.Detail && !s.ToldAt.Before(s.OfferedAt) {
		return nil, nil
	}
	if said.State != "" && (s.told != said.Offered || s.State != said.State) {
		c.told.WithLabelValues(said.State).Inc()
	}
	return []store.Op{putTold.Op(device, said.Version, said.Offered, said.State, said.Reason, said.Detail, at.UnixMilli())}, nil
}
