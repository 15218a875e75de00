package ota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
)

// candidate is a device that may become a target.
type candidate struct {
	id       int64
	sn       string
	disabled bool
	runs     modules // once it was judged
}

// batch is a part of the devices that a campaign's targets are found among.
type batch struct {
	devices []candidate
	missing int64  // names that no device of the product has
	next    string // where the next part begins; "" when there is none
}

// candidates is the part that begins at a place which an earlier part named, "" for the first. It is never more than a few hundred devices.
func (o *OTA) candidates(ctx context.Context, product string, s *Spec, at string) (batch, error) {
	if s.Source != nil {
		return o.updatedBy(ctx, s.Source, at)
	}
	p, err := o.Registry.Product(ctx, product)
	if err != nil {
		return batch{}, err
	}
	f := registry.Filter{Project: p.Project, Product: product, Query: s.Filter}
	if s.Group != "" {
		if _, err := o.Registry.Group(ctx, p.Project, s.Group); err != nil {
			return batch{}, err
		}
		if f.Query = "group:" + s.Group; s.Filter != "" {
			f.Query += " (" + s.Filter + ")"
		}
	}
	list, next, err := o.Registry.Devices(ctx, f, registry.Page{Limit: registry.MaxLimit, Cursor: at, Sort: registry.SortCreated})
	if err != nil {
		return batch{}, err
	}
	b := batch{next: next}
	for _, d := range list {
		b.devices = append(b.devices, candidate{id: d.ID, sn: d.Identity.SN, disabled: d.State == registry.Disabled})
	}
	return b, nil
}

// updatedBy are devices that another campaign has updated. Those that had the version all along it did not update.
func (o *OTA) updatedBy(ctx context.Context, s *Source, at string) (b batch, err error) {
	after, _ := strconv.ParseInt(at, 10, 64)
	where, args := `d.task = ? AND d.device > ? AND d.state = 4 AND d.from_version <> t.version`, []any{s.Campaign, after}
	if s.Wave > 0 {
		where, args = where+` AND d.wave = ?`, append(args, s.Wave)
	}
	if s.From != "" {
		where, args = where+` AND d.from_version = ?`, append(args, s.From)
	}
	if s.Plain {
		where += ` AND d.manifest = 0`
	}
	list, err := o.query(ctx, `WHERE `+where+` ORDER BY d.device LIMIT ?`, append(args, pushBatch)...)
	for _, d := range list {
		b.devices = append(b.devices, candidate{id: d.device, sn: d.Device.SN})
	}
	if len(list) == pushBatch {
		b.next = strconv.FormatInt(list[len(list)-1].device, 10)
	}
	return b, err
}

// listed is the part of the devices that were named which begins at a place.
func (o *OTA) listed(ctx context.Context, product string, names []string, at string) (b batch, err error) {
	from, _ := strconv.Atoi(at)
	to := min(from+pushBatch, len(names))
	if from >= to {
		return b, nil
	}
	args := []any{product}
	for _, sn := range names[from:to] {
		args = append(args, sn)
	}
	rows, err := o.Store.Query(ctx, `SELECT id, sn, state FROM device WHERE product = ? AND sn IN (?`+strings.Repeat(", ?", to-from-1)+`)`, args...)
	if err != nil {
		return b, fmt.Errorf("ota: read devices: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var c candidate
		var state int64
		if err := rows.Scan(&c.id, &c.sn, &state); err != nil {
			return b, fmt.Errorf("ota: read devices: %w", err)
		}
		c.disabled = registry.State(state) == registry.Disabled
		b.devices = append(b.devices, c)
	}
	b.missing = int64(to - from - len(b.devices))
	if to < len(names) {
		b.next = strconv.Itoa(to)
	}
	return b, nil
}

// The reasons for which a device is no target.
const (
	ExcludedMissing  = "no_such_device"
	ExcludedDisabled = "disabled"
	ExcludedVersion  = "other_version"   // it runs none of the versions that the campaign is for
	ExcludedUnknown  = "version_unknown" // it has not said what it runs
	ExcludedNoWay    = "no_way"          // it can't take the firmware, and there is nothing that would bring it to that
)

// sorted is a batch, judged.
type sorted struct {
	targets  []candidate
	stranded []candidate // those of ExcludedNoWay
	already  int64
	excluded map[string]int64
}

// judge tells which devices of a batch are targets. have is what they say they run.
func (c *Campaign) judge(b batch, have map[int64]modules, w *ways) (s sorted, err error) {
	versions, err := rollout.ParseRange(c.Versions)
	if err != nil {
		return s, err
	}
	s.excluded = map[string]int64{}
	if b.missing > 0 {
		s.excluded[ExcludedMissing] = b.missing
	}
	for _, d := range b.devices {
		d.runs = have[d.id]
		v := d.runs[c.Module].version
		_, ok := w.from(d.runs)
		switch {
		case d.disabled:
			s.excluded[ExcludedDisabled]++
		case v == c.Version:
			s.already++
		case !versions.Takes(v) && v == "":
			s.excluded[ExcludedUnknown]++
		case !versions.Takes(v):
			s.excluded[ExcludedVersion]++
		case !ok:
			s.excluded[ExcludedNoWay]++
			s.stranded = append(s.stranded, d)
		default:
			s.targets = append(s.targets, d)
		}
	}
	return s, nil
}

// rankOf is a device's place.
func (c *Campaign) rankOf(sn string) int64 {
	rank := rollout.Rank(c.ID, c.Product, sn)
	if slices.Contains(c.Canary, sn) {
		return rollout.CanaryRank(rank)
	}
	return rank
}

// lists are the devices that were named for a campaign.
func (o *OTA) lists(ctx context.Context, c *Campaign) ([]string, error) {
	var list string
	err := o.Store.QueryRow(ctx, `SELECT list FROM ota_campaign WHERE id = ?`, c.ID).Scan(&list)
	return strings.Split(list, "\n"), err
}

// prepare finds the targets of a campaign, part by part: each is noted with the place where the next begins, so that a hub which ends
// meanwhile goes on there.
func (o *OTA) prepare(ctx context.Context, c *Campaign) error {
	var names []string
	var err error
	if c.Listed > 0 {
		if names, err = o.lists(ctx, c); err != nil {
			return err
		}
	}
	for c.Status == Preparing {
		b, err := o.part(ctx, c, names, c.prepared)
		if err != nil {
			return err
		}
		w, err := o.waysOf(ctx, c)
		if err != nil {
			return err
		}
		err = o.Store.Update(ctx, func(tx *store.Tx) error { return o.insertTargets(ctx, tx, c, b, w) })
		if err != nil {
			return err
		}
		if c, err = o.Campaign(ctx, c.Product, c.ID); err != nil {
			return err
		}
	}
	return nil
}

// insertTargets notes a part of the targets, and ends the preparation with the last.
func (o *OTA) insertTargets(ctx context.Context, tx *store.Tx, c *Campaign, b batch, w *ways) error {
	have := map[int64]modules{}
	for part := range slices.Chunk(b.devices, chunk) {
		if err := versionsOf(ctx, tx, w.reading(c.Module), idsOf(part), have); err != nil {
			return err
		}
	}
	s, err := c.judge(b, have, w)
	if err != nil {
		return err
	}
	for reason, n := range c.Excluded {
		s.excluded[reason] += n
	}
	excluded, err := json.Marshal(s.excluded)
	if err != nil {
		return err
	}
	set, args := `prepared = ?, total = total + ?, already = already + ?, excluded = ?`, []any{b.next, len(s.targets), s.already, string(excluded)}
	if b.next == "" {
		status := Running
		if c.Approval {
			status = Awaiting
		}
		set, args = set+`, list = '', status = ?, started_at = ?`, append(args, int64(status), millis(o.now()))
	}
	// First, so that whoever else does the same waits here, and then finds it done.
	if err := o.advance(ctx, tx, c, set, args...); err != nil {
		return err
	}
	const row = "(?, ?, ?, ?)"
	for part := range slices.Chunk(s.targets, chunk) {
		var args []any
		for _, d := range part {
			args = append(args, c.ID, c.rankOf(d.sn), d.id, d.sn)
		}
		_, err := tx.Exec(ctx, `INSERT INTO ota_target (campaign, rank, device, sn) VALUES `+row+strings.Repeat(", "+row, len(part)-1), args...)
		if err != nil {
			return err
		}
	}
	return nil
}

func idsOf(list []candidate) []int64 {
	ids := make([]int64, len(list))
	for i, d := range list {
		ids[i] = d.id
	}
	return ids
}
