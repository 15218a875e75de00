package ota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/cron"
)

// Status is what a campaign as a whole does. The numbers are stored.
type Status uint8

// The statuses of a campaign.
const (
	Preparing Status = iota // its targets are being found
	Awaiting                // … somebody's approval
	Running
	Paused
	Aborted // what its devices have not finished is being cancelled, or was
	Done    // all its devices have settled
	statuses
)

var statusNames = [statuses]string{"preparing", "awaiting_approval", "running", "paused", "aborted", "done"}

func (s Status) String() string {
	if s < statuses {
		return statusNames[s]
	}
	return fmt.Sprint("status ", int(s))
}

// ParseStatus is the inverse of String.
func ParseStatus(text string) (Status, bool) {
	i := slices.Index(statusNames[:], text)
	return Status(max(i, 0)), i >= 0
}

// Errors of campaigns.
var (
	ErrCampaignNotFound = errors.New("ota: no such campaign")
	// ErrOwnApproval is returned to the author of a campaign who would approve it, too.
	ErrOwnApproval = errors.New("ota: a campaign is approved by somebody else than its author")
	// ErrNeedsApproval is returned for a task in a project whose campaigns are approved: nobody is asked about a task.
	ErrNeedsApproval = errors.New("ota: devices of this project get firmware when somebody else has approved it: make a campaign instead of a task")
	// ErrRevision is returned when a campaign was changed since it was read.
	ErrRevision = errors.New("ota: the campaign was changed meanwhile")
)

// ErrStatus is returned for an action that the campaign's status does not allow.
type ErrStatus struct {
	Action string
	Status Status
}

func (e *ErrStatus) Error() string {
	return fmt.Sprintf("ota: a campaign that is %s: no %s", e.Status, e.Action)
}

// Spec is what a campaign was made with. It is stored as JSON, in which a later hub only adds.
type Spec struct {
	Group    string         `json:"group,omitempty"`    // targets: the devices of this group
	Filter   string         `json:"filter,omitempty"`   // targets: what this takes, of the group if there is one
	Listed   int            `json:"listed,omitempty"`   // targets: so many were named
	All      bool           `json:"all,omitempty"`      // targets: all devices of the product
	Source   *Source        `json:"source,omitempty"`   // targets: devices of another campaign
	Versions string         `json:"versions,omitempty"` // only devices that run one of these, see rollout.ParseRange
	Canary   []string       `json:"canary,omitempty"`   // deviceSNs that come first
	Waves    []rollout.Wave `json:"waves"`
	Stop     rollout.Stop   `json:"stop"`
	Rate     rollout.Rate   `json:"rate"`
	Retry    rollout.Retry  `json:"retry"`
	// Deadlines are seconds that a device may be silent in a state, by its name, instead of the timeout; that of queued is how long the campaign
	// waits for a device.
	Deadlines map[string]int64 `json:"deadlines,omitempty"`
	Window    *signing.Window  `json:"window,omitempty"`     // when devices that verify may install
	Budget    int64            `json:"byteBudget,omitempty"` // bytes that such a device may download; 0 is any number
	Consent   bool             `json:"consent,omitempty"`    // such a device asks its owner first
}

// Source are devices that another campaign has updated.
type Source struct {
	Campaign int64  `json:"campaign,string"`
	Wave     int    `json:"wave,omitempty"`  // only of this one; 0 is any
	From     string `json:"from,omitempty"`  // only those that ran this version before
	Plain    bool   `json:"plain,omitempty"` // only those that do not verify
}

// Campaign is an immutable snapshot.
type Campaign struct {
	Task
	Spec
	Status   Status
	Revision int64
	Reason   string // why it is paused or was aborted, when it was not asked for
	Approval bool   // it needs one
	Approver string
	Targets  int64            // devices that it is for
	Already  int64            // devices that had the version when it was prepared: no targets
	Excluded map[string]int64 // devices that are no targets, by why
	Released int64            // targets that were let go
	Wave     int              // the present one, from 1 on
	Through  time.Time        // when its devices had settled; zero: they have not
	Started  time.Time
	Updated  time.Time
	Ended    time.Time

	pardoned   rollout.Tally // what the stop rule does not count any more
	waived     int           // the wave whose gate is open
	back       int           // the wave that is still to be brought back
	prepared   string
	rank       int64 // of the last target that was let go
	lastDevice int64
}

// NewCampaign is what CreateCampaign needs. Of Targets, Group and Filter may go together.
type NewCampaign struct {
	Product       string
	Firmware      int64
	Name, Owner   string
	Targets       Targets
	Timeout, Life time.Duration
	Approval      bool // somebody else than Owner must approve before it starts
	Spec          Spec // without its targets
}

// maxCanary bounds the canaries by name.
const maxCanary = 1000

// CreateCampaign makes a campaign; its targets are found afterwards, by Run.
func (o *OTA) CreateCampaign(ctx context.Context, n NewCampaign) (*Campaign, error) {
	d, err := o.draft(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := o.Store.Update(ctx, func(tx *store.Tx) error { return d.insert(ctx, tx) }); err != nil {
		return nil, fmt.Errorf("ota: create campaign: %w", err)
	}
	o.kick()
	return o.Campaign(ctx, n.Product, d.task.ID)
}

// draft is a campaign that may be made, and is not yet.
type draft struct {
	task     Task
	spec     string
	names    []string
	approval bool
}

func (o *OTA) draft(ctx context.Context, n NewCampaign) (*draft, error) {
	if err := o.checkCampaign(ctx, &n); err != nil {
		return nil, err
	}
	f, err := o.deliverable(ctx, n.Product, n.Firmware)
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(n.Spec)
	if err != nil {
		return nil, fmt.Errorf("ota: create campaign: %w", err)
	}
	w, err := o.waysTo(ctx, f)
	if err == nil {
		err = o.stranded(ctx, &Campaign{Spec: n.Spec, Task: Task{Product: f.Product, Module: f.Module, Version: f.Version}}, n.Targets.Devices, w)
	}
	if err != nil {
		return nil, err
	}
	now := o.now()
	return &draft{spec: string(spec), names: n.Targets.Devices, approval: n.Approval, task: Task{ID: int64(o.IDs.Next()), Product: f.Product, Module: f.Module,
		Version: f.Version, Firmware: f.ID, Name: n.Name, Owner: n.Owner, Timeout: n.Timeout, Created: now, Expires: now.Add(n.Life)}}, nil
}

func (d *draft) insert(ctx context.Context, tx *store.Tx) error {
	if err := insertTaskRow(ctx, tx, &d.task); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO ota_campaign (id, product, spec, list, approval, cursor_rank, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		d.task.ID, d.task.Product, d.spec, strings.Join(d.names, "\n"), d.approval, int64(math.MinInt64), millis(d.task.Created))
	return err
}

// checkCampaign checks what was asked for, and fills in what was left out.
func (o *OTA) checkCampaign(ctx context.Context, n *NewCampaign) error {
	task := NewTask{Product: n.Product, Targets: n.Targets, Name: n.Name, Timeout: n.Timeout, Life: n.Life}
	if n.Targets.Group != "" {
		task.Targets.Filter = "" // both together narrow
	}
	if n.Spec.Source != nil {
		task.Targets = Targets{All: true}
	}
	if err := o.checkTask(&task); err != nil {
		return err
	}
	n.Timeout, n.Life = task.Timeout, task.Life
	if len(n.Targets.Devices) > o.cfg.MaxTargets || len(n.Spec.Canary) > maxCanary {
		return &ErrInvalid{"targets.devices", fmt.Sprintf("at most %d devices, and %d canaries", o.cfg.MaxTargets, maxCanary)}
	}
	s := &n.Spec
	s.Group, s.Filter, s.All = n.Targets.Group, n.Targets.Filter, n.Targets.All
	n.Targets.Devices = slices.Sorted(slices.Values(n.Targets.Devices))
	n.Targets.Devices = slices.Compact(n.Targets.Devices)
	s.Listed = len(n.Targets.Devices)
	if len(s.Waves) == 0 {
		s.Waves = []rollout.Wave{{Percent: 100}}
	}
	if len(s.Canary) > 0 && s.Waves[0].Count == 0 {
		s.Waves = append([]rollout.Wave{{Count: int64(len(s.Canary))}}, s.Waves...)
	}
	if err := s.check(); err != nil {
		return err
	}
	_, err := o.candidates(ctx, n.Product, s, "")
	return err
}

// maxDeadline bounds Deadlines, in seconds, and maxVersions the text of Versions, in bytes.
const (
	maxDeadline = 90 * 86400
	maxVersions = 2000
)

// checkWindow refuses a window that no device could read: each of them would refuse its assignment.
func checkWindow(w *signing.Window) error {
	if w == nil {
		return nil
	}
	w.Cron = strings.Join(strings.Fields(w.Cron), " ") // as it is signed
	if err := w.Check(); err != nil {
		return err
	}
	if _, err := cron.Parse(w.Cron); err != nil {
		return err
	}
	_, err := time.LoadLocation(w.Zone)
	if _, none := time.LoadLocation("Europe/Berlin"); none != nil {
		return nil // this machine knows no time zones
	}
	return err
}

func (s *Spec) check() error {
	for _, part := range []struct {
		field string
		err   error
	}{{"waves", rollout.CheckWaves(s.Waves)}, {"stop", s.Stop.Check()}, {"rate", s.Rate.Check()}, {"retry", s.Retry.Check()}} {
		if part.err != nil {
			return &ErrInvalid{part.field, part.err.Error()}
		}
	}
	for _, w := range s.Waves {
		if err := w.Health.Check(); err != nil {
			return &ErrInvalid{"waves", err.Error()}
		}
	}
	if len(s.Versions) > maxVersions {
		return &ErrInvalid{"versions", fmt.Sprintf("has more than %d bytes", maxVersions)}
	}
	if _, err := rollout.ParseRange(s.Versions); err != nil {
		return &ErrInvalid{"versions", err.Error()}
	}
	for name, seconds := range s.Deadlines {
		if state, ok := ParseState(name); !ok || !state.Open() || seconds < 10 || seconds > maxDeadline {
			return &ErrInvalid{"deadlines", fmt.Sprintf("%s: wants a state that goes on, and 10 to %d seconds", name, maxDeadline)}
		}
	}
	if err := checkWindow(s.Window); err != nil {
		return &ErrInvalid{"window", err.Error()}
	}
	if s.Budget < 0 {
		return &ErrInvalid{"byteBudget", "must not be negative"}
	}
	return nil
}

const campaignColumns = `t.id, t.product, t.module, t.firmware, t.version, t.name, t.owner, t.timeout, t.cancelled, t.created_at, t.expires_at,
	k.status, k.revision, k.spec, k.prepared, k.approval, k.approver, k.reason, k.total, k.already, k.excluded, k.released, k.cursor_rank, k.cursor_device,
	k.wave, k.pardoned, k.waived, k.back, k.through_at, k.started_at, k.updated_at, k.ended_at`

func scanCampaign(row scanner) (*Campaign, error) {
	var c Campaign
	var timeout, created, expires, status, wave, waived, back, through, started, updated, ended int64
	var spec, excluded, pardoned string
	err := row.Scan(&c.ID, &c.Product, &c.Module, &c.Firmware, &c.Version, &c.Name, &c.Owner, &timeout, &c.Cancelled, &created, &expires,
		&status, &c.Revision, &spec, &c.prepared, &c.Approval, &c.Approver, &c.Reason, &c.Targets, &c.Already, &excluded, &c.Released, &c.rank, &c.lastDevice,
		&wave, &pardoned, &waived, &back, &through, &started, &updated, &ended)
	if err != nil {
		return nil, err
	}
	c.Timeout, c.Created, c.Expires = time.Duration(timeout)*time.Millisecond, timeOf(created), timeOf(expires)
	c.Status, c.Wave, c.Through, c.Started, c.Updated, c.Ended = Status(status), int(wave), timeOf(through), timeOf(started), timeOf(updated), timeOf(ended)
	c.waived, c.back, c.Excluded = int(waived), int(back), map[string]int64{}
	for _, part := range []struct {
		text string
		into any
	}{{spec, &c.Spec}, {excluded, &c.Excluded}, {pardoned, &c.pardoned}} {
		if part.text != "" {
			err = errors.Join(err, json.Unmarshal([]byte(part.text), part.into))
		}
	}
	return &c, err
}

// Campaign is a campaign of a product.
func (o *OTA) Campaign(ctx context.Context, product string, id int64) (*Campaign, error) {
	list, err := o.queryCampaigns(ctx, `k.id = ? AND k.product = ?`, id, product)
	if err == nil && len(list) == 0 {
		err = ErrCampaignNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// OpenCampaigns lists the campaigns of all products that have not ended, newest first.
func (o *OTA) OpenCampaigns(ctx context.Context, limit int) ([]*Campaign, error) {
	return o.queryCampaigns(ctx, `k.status IN (0, 1, 2, 3) ORDER BY k.id DESC LIMIT ?`, limit)
}

func (o *OTA) queryCampaigns(ctx context.Context, where string, args ...any) (list []*Campaign, err error) {
	rows, err := o.Store.Query(ctx, `SELECT `+campaignColumns+` FROM ota_campaign k JOIN ota_task t ON t.id = k.id WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("ota: read campaigns: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		c, err := scanCampaign(rows)
		if err != nil {
			return nil, fmt.Errorf("ota: read campaigns: %w", err)
		}
		list = append(list, c)
	}
	return list, nil
}

// advance changes a campaign under the revision that was read; ErrRevision when somebody else was quicker. set are assignments.
func (o *OTA) advance(ctx context.Context, tx *store.Tx, c *Campaign, set string, args ...any) error {
	args = append(args, millis(o.now()), c.ID, c.Revision)
	res, err := tx.Exec(ctx, `UPDATE ota_campaign SET `+set+`, updated_at = ?, revision = revision + 1 WHERE id = ? AND revision = ?`, args...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrRevision)
	}
	return nil
}
