package ota

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/store"
)

// RollBack ends a campaign, if it goes on, and brings the devices that it has updated back: by campaigns of the firmware that they ran before,
// or of the one that is named. wave narrows it to one, 0 is all. Devices that verify take nothing older: for them a release must be named
// whose sequence is higher. The end and the campaigns back are one commit; whoever asks once more while these go on gets them.
func (o *OTA) RollBack(ctx context.Context, product string, id, revision int64, wave int, firmware int64, by string) (list []*Campaign, err error) {
	_, err = o.act(ctx, ActionRollBack, product, id, revision, func(c *Campaign) (*Campaign, error) {
		if firmware != 0 {
			f, err := o.Firmware(ctx, product, firmware)
			if err != nil {
				return nil, err
			}
			if f.Module != c.Module || f.ID == c.Firmware {
				return nil, &ErrInvalid{"firmwareID", "must be another firmware of the same module"}
			}
		}
		if list, err = o.returning(ctx, c, wave, firmware); err != nil || len(list) > 0 {
			return c, err
		}
		back, err := o.wayBack(ctx, c, wave, firmware, by)
		if err != nil {
			return nil, err
		}
		set, args := `reason = reason`, []any{}
		if c.Status < Aborted {
			set, args = `status = ?, reason = ''`, []any{int64(Aborted)}
		}
		if wave == 0 || wave == c.back { // the stop rule's own is in it
			set += `, back = 0`
		}
		if c, err = o.bringBack(ctx, c, back, set, args...); err != nil {
			return nil, err
		}
		for _, d := range back {
			made, err := o.Campaign(ctx, product, d.task.ID)
			if err != nil {
				return nil, err
			}
			list = append(list, made)
		}
		return c, nil
	})
	return list, err
}

// returning are the campaigns that go on and bring devices of c back in the way that is asked for.
func (o *OTA) returning(ctx context.Context, c *Campaign, wave int, firmware int64) (list []*Campaign, err error) {
	open, err := o.queryCampaigns(ctx, `k.product = ? AND k.id > ? AND k.status IN (0, 1, 2, 3) ORDER BY k.id`, c.Product, c.ID)
	for _, k := range open {
		s := k.Source
		if s != nil && s.Campaign == c.ID && s.Wave == wave && (firmware == 0) == s.Plain && (firmware == 0 || k.Firmware == firmware) {
			list = append(list, k)
		}
	}
	return list, err
}

// bringBack changes a campaign and makes those that bring its devices back, in one commit under the revision that was read: two nodes, or two who
// ask, do not do so twice.
func (o *OTA) bringBack(ctx context.Context, c *Campaign, back []*draft, set string, args ...any) (*Campaign, error) {
	err := o.Store.Update(ctx, func(tx *store.Tx) error {
		if err := o.advance(ctx, tx, c, set, args...); err != nil {
			return err
		}
		for _, d := range back {
			if err := d.insert(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	return o.changed(ctx, c)
}

// wayBack are the campaigns that would bring devices back. With an error that is final, those are returned that can be made all the same.
func (o *OTA) wayBack(ctx context.Context, c *Campaign, wave int, firmware int64, by string) (list []*draft, err error) {
	named := firmware != 0 // another one than devices have had: it is approved as the campaign was
	back := func(firmware int64, source Source) error {
		source.Campaign, source.Wave = c.ID, wave
		d, err := o.draft(ctx, NewCampaign{Product: c.Product, Firmware: firmware, Owner: by, Name: clip("back from "+c.Version+": "+c.Name, maxName),
			Timeout: c.Timeout, Approval: c.Approval && named, Spec: Spec{Source: &source, Versions: "=" + c.Version, Waves: []rollout.Wave{{Percent: 100}}, Retry: c.Retry}})
		if err == nil {
			list = append(list, d)
		}
		return err
	}
	if named {
		err = back(firmware, Source{})
		return list, err
	}
	before, err := o.before(ctx, c, wave)
	if err != nil {
		return nil, err
	}
	if len(before) == 0 {
		return nil, &ErrInvalid{"firmwareID", "no device of the campaign can be brought back by itself: name a firmware"}
	}
	var failed []error
	for _, version := range slices.Sorted(maps.Keys(before)) {
		err := back(before[version], Source{From: version, Plain: true})
		if err != nil && !final(err) {
			return nil, err
		}
		failed = append(failed, err)
	}
	return list, errors.Join(failed...)
}

// before are the firmwares, by version, that the updated devices which do not verify ran before.
func (o *OTA) before(ctx context.Context, c *Campaign, wave int) (m map[string]int64, err error) {
	rows, err := o.Store.Query(ctx, `SELECT f.version, f.id FROM firmware f WHERE f.product = ? AND f.module = ? AND f.state = 1 AND f.version <> ? AND EXISTS (SELECT 1
		FROM ota_deployment d WHERE d.task = ? AND d.state = 4 AND d.manifest = 0 AND d.from_version = f.version AND (? = 0 OR d.wave = ?))`,
		c.Product, c.Module, c.Version, c.ID, wave, wave)
	if err != nil {
		return nil, fmt.Errorf("ota: look for what devices ran before: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	m = map[string]int64{}
	for rows.Next() {
		var version string
		var id int64
		if err := rows.Scan(&version, &id); err != nil {
			return nil, err
		}
		m[version] = id
	}
	return m, nil
}

// clip is a text of at most n bytes, cut between its characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
