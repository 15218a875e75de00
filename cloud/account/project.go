package account

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Quota is how much of a thing a project may have; 0 is no limit.
type Quota struct{ Devices, Products, Rules, Users, Keys int64 }

// QuotaKind names one of the things that a quota counts.
type QuotaKind string

// The kinds of quota.
const (
	QuotaDevices  QuotaKind = "devices"
	QuotaProducts QuotaKind = "products"
	QuotaRules    QuotaKind = "rules"
	QuotaUsers    QuotaKind = "users"
	QuotaKeys     QuotaKind = "keys"
)

// quotas are the column of each quota, and how many there are of the thing in a project.
var quotas = map[QuotaKind]struct{ column, count string }{
	QuotaDevices:  {"quota_devices", `SELECT COUNT(*) FROM device WHERE project = ?`},
	QuotaProducts: {"quota_products", `SELECT COUNT(*) FROM product WHERE project = ?`},
	QuotaRules:    {"quota_rules", `SELECT COUNT(*) FROM rule WHERE project = ?`},
	QuotaUsers:    {"quota_users", `SELECT COUNT(*) FROM member WHERE project = ?`},
	QuotaKeys:     {"quota_keys", `SELECT COUNT(*) FROM api_key WHERE project = ?`},
}

// QuotaError says which quota is used up.
type QuotaError struct {
	Project string
	Kind    QuotaKind
	Limit   int64
	Have    int64
}

func (e *QuotaError) Error() string {
	return fmt.Sprintf("account: project %s may have %d %s and has %d: delete some, or let an owner of the hub raise the quota", e.Project, e.Limit, e.Kind, e.Have)
}

// Is makes errors.Is(err, ErrQuota) true.
func (e *QuotaError) Is(target error) bool { return target == ErrQuota }

// Reserve holds within a transaction that n more of a kind fit into the project's quota; else it is a *QuotaError. Where
// there is a quota, whoever else reserves in the project waits for the transaction's end, so that two cannot take the
// last place.
func (a *Accounts) Reserve(ctx context.Context, tx *store.Tx, project string, kind QuotaKind, n int64) error {
	if project == HubProject {
		return nil
	}
	q := quotas[kind]
	e := &QuotaError{Project: project, Kind: kind}
	err := tx.QueryRow(ctx, `SELECT `+q.column+` FROM project WHERE id = ?`, project).Scan(&e.Limit)
	if errors.Is(err, store.ErrNoRows) {
		return ErrProjectNotFound
	}
	if err != nil || e.Limit == 0 {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE project SET updated_at = updated_at WHERE id = ?`, project); err != nil { // locks the row
		return err
	}
	if err := tx.QueryRow(ctx, q.count, project).Scan(&e.Have); err != nil {
		return err
	}
	if e.Have+n > e.Limit {
		return e
	}
	return nil
}

// Project is a part of the hub with its own products, rules, keys and members.
type Project struct {
	ID, Name, Description string
	Quota                 Quota
	CampaignApproval      bool // campaigns start when somebody else than their author has approved them
	Created, Updated      time.Time
}

// projectRecord is a project in memory; nil is one that does not exist.
type projectRecord struct {
	project *Project
	read    time.Time
}

// NewProject is what CreateProject needs.
type NewProject struct {
	ID, Name, Description string // Name "" is the ID
	Quota                 Quota
}

// ProjectUpdate changes the fields that are not nil.
type ProjectUpdate struct {
	Name, Description *string
	Quota             *Quota
	CampaignApproval  *bool
}

// projectID is what an id looks like: it stands in URLs and on the command line.
var projectID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,31}$`)

const maxDescription = 1024

func (n *NewProject) validate() error {
	switch {
	case !projectID.MatchString(n.ID):
		return &ErrInvalid{"id", "must have 2 to 32 of a-z 0-9 -, the first no hyphen"}
	case n.ID == HubProject:
		return &ErrInvalid{"id", `"hub" stands for the hub as a whole: choose another`}
	}
	return validProject(n.Name, n.Description, n.Quota)
}

func validProject(name, description string, q Quota) error {
	switch {
	case len(name) > maxName:
		return &ErrInvalid{"name", fmt.Sprintf("must have at most %d bytes", maxName)}
	case len(description) > maxDescription:
		return &ErrInvalid{"description", fmt.Sprintf("must have at most %d bytes", maxDescription)}
	case min(q.Devices, q.Products, q.Rules, q.Users, q.Keys) < 0:
		return &ErrInvalid{"quota", "must not be negative; 0 is no limit"}
	}
	return nil
}

const projectColumns = `id, name, description, quota_devices, quota_products, quota_rules, quota_users, quota_keys, campaign_approval, created_at, updated_at`

func scanProject(row scanner) (*Project, error) {
	var p Project
	var created, updated int64
	q := &p.Quota
	err := row.Scan(&p.ID, &p.Name, &p.Description, &q.Devices, &q.Products, &q.Rules, &q.Users, &q.Keys, &p.CampaignApproval, &created, &updated)
	p.Created, p.Updated = fromMillis(created), fromMillis(updated)
	return &p, err
}

// CreateProject makes a project.
func (a *Accounts) CreateProject(ctx context.Context, n NewProject) (*Project, error) {
	if n.Name == "" {
		n.Name = n.ID
	}
	if err := n.validate(); err != nil {
		return nil, err
	}
	now := a.now().UnixMilli()
	q := n.Quota
	err := a.update(ctx, "create project "+n.ID, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO project (`+projectColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)`,
			n.ID, n.Name, n.Description, q.Devices, q.Products, q.Rules, q.Users, q.Keys, now, now)
		if store.IsUnique(err) {
			return ErrExists
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	a.changed(ProjectChanged, n.ID)
	return a.Project(ctx, n.ID)
}

// Project returns a project, from memory when it is there.
func (a *Accounts) Project(ctx context.Context, id string) (*Project, error) {
	now := a.now()
	if rec, ok := a.projects.Get(id); ok && a.fresh(rec.read, now) {
		return rec.project, nil
	}
	ticket := a.projects.Ticket(id)
	p, err := scanProject(a.db.QueryRow(ctx, `SELECT `+projectColumns+` FROM project WHERE id = ?`, id))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrProjectNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("account: read project %s: %w", id, err)
	}
	a.projects.Fill(id, ticket, &projectRecord{p, now})
	return p, nil
}

// Projects lists the projects that the caller has something in, by id.
func (a *Accounts) Projects(ctx context.Context, by *Identity) ([]*Project, error) {
	all, err := collect(ctx, a.db, scanProject, `SELECT `+projectColumns+` FROM project ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("account: list projects: %w", err)
	}
	var list []*Project
	for _, p := range all {
		if by.In(p.ID) != nil {
			list = append(list, p)
		}
	}
	return list, nil
}

// UpdateProject changes a project. Its quotas are the hub's to give.
func (a *Accounts) UpdateProject(ctx context.Context, by *Principal, id string, u ProjectUpdate) (*Project, error) {
	if u.Quota != nil && !by.Hub.Has(ProjectWrite) {
		return nil, fmt.Errorf("%w: quotas are set by who may change projects of the whole hub", ErrExceeds)
	}
	err := a.update(ctx, "change project "+id, func(tx *store.Tx) error {
		p, err := scanProject(tx.QueryRow(ctx, `SELECT `+projectColumns+` FROM project WHERE id = ?`, id))
		if errors.Is(err, store.ErrNoRows) {
			return ErrProjectNotFound
		}
		if err != nil {
			return err
		}
		set(&p.Name, u.Name)
		set(&p.Description, u.Description)
		set(&p.Quota, u.Quota)
		set(&p.CampaignApproval, u.CampaignApproval)
		if err := validProject(p.Name, p.Description, p.Quota); err != nil {
			return err
		}
		q := p.Quota
		_, err = tx.Exec(ctx, `UPDATE project SET name = ?, description = ?, quota_devices = ?, quota_products = ?, quota_rules = ?, quota_users = ?, quota_keys = ?,
			campaign_approval = ?, updated_at = ? WHERE id = ?`,
			p.Name, p.Description, q.Devices, q.Products, q.Rules, q.Users, q.Keys, p.CampaignApproval, a.now().UnixMilli(), id)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.changed(ProjectChanged, id)
	return a.Project(ctx, id)
}

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

// DeleteProject deletes a project that holds nothing but members.
func (a *Accounts) DeleteProject(ctx context.Context, id string) error {
	if id == DefaultProject {
		return &ErrInvalid{"projectID", "the default project stays"}
	}
	var members []string
	err := a.update(ctx, "delete project "+id, func(tx *store.Tx) (err error) {
		if err := execOne(ctx, tx, ErrProjectNotFound, `DELETE FROM project WHERE id = ?`, id); err != nil {
			return err
		}
		for _, count := range []string{quotas[QuotaProducts].count, quotas[QuotaRules].count, quotas[QuotaKeys].count,
			`SELECT COUNT(*) FROM connector WHERE project = ?`, `SELECT COUNT(*) FROM alarm_rule WHERE project = ?`,
			`SELECT COUNT(*) FROM alarm_channel WHERE project = ?`} {
			var n int64
			if err := tx.QueryRow(ctx, count, id).Scan(&n); err != nil {
				return err
			}
			if n > 0 {
				return ErrNotEmpty
			}
		}
		if members, err = collect(ctx, tx, scanText, `SELECT account FROM member WHERE project = ?`, id); err != nil {
			return err
		}
		return execAll(ctx, tx, []any{id}, `DELETE FROM member WHERE project = ?`, `DELETE FROM member_product WHERE project = ?`)
	})
	if err != nil {
		return err
	}
	a.changed(ProjectChanged, id)
	a.changed(UserChanged, members...)
	return nil
}

func scanText(row scanner) (text string, err error) { return text, row.Scan(&text) }

func projectExists(ctx context.Context, tx *store.Tx, id string) error {
	_, err := scanText(tx.QueryRow(ctx, `SELECT id FROM project WHERE id = ?`, id))
	if errors.Is(err, store.ErrNoRows) {
		return ErrProjectNotFound
	}
	return err
}

// productIn holds that a product is one of the project.
func (a *Accounts) productIn(ctx context.Context, tx *store.Tx, project, product string) error {
	_, err := scanText(tx.QueryRow(ctx, `SELECT sn FROM product WHERE sn = ? AND project = ?`, product, project))
	if errors.Is(err, store.ErrNoRows) {
		return &ErrInvalid{"products", fmt.Sprintf("there is no product %q in project %s", product, project)}
	}
	return err
}
