package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Definition is what people say of a rule beside its name.
type Definition struct {
	Description string    `json:"description,omitempty"`
	Severity    string    `json:"severity"`
	Condition   Condition `json:"condition"`
	Debounce    Debounce  `json:"debounce"`
	Channels    []string  `json:"channels,omitempty"` // ids
	// TellCleared has the channels told of the end as well.
	TellCleared bool `json:"tellCleared,omitempty"`
}

// Rule is an immutable snapshot.
type Rule struct {
	ID               int64
	Project, Name    string
	Enabled          bool
	Revision         int64
	Created, Updated time.Time
	Definition

	severity    Severity
	open, clear limit
	path        []string // of the property
	rule        int64    // of cloud/rules
	channels    []int64
}

// compile checks a rule and makes ready what judging needs.
func (r *Rule) compile() (err error) {
	if n := utf8.RuneCountInString(r.Name); n == 0 || n > 128 || !utf8.ValidString(r.Name) {
		return &ErrInvalid{"name", "must have 1 to 128 characters"}
	}
	if utf8.RuneCountInString(r.Description) > 1024 {
		return &ErrInvalid{"description", "must have at most 1024 characters"}
	}
	var ok bool
	if r.severity, ok = ParseSeverity(r.Severity); !ok {
		return &ErrInvalid{"severity", fmt.Sprintf("%q is none of %s", r.Severity, strings.Join(severities, ", "))}
	}
	if r.open, r.clear, err = r.Condition.check(); err != nil {
		return err
	}
	if err := r.Debounce.check(); err != nil {
		return err
	}
	if r.Condition.Kind == OnPresence && r.Debounce.counts() {
		return &ErrInvalid{"debounce.count", "means nothing for presence: give seconds"}
	}
	r.path = strings.Split(r.Condition.Property, ".")
	if r.Condition.Kind == OnRule {
		if r.rule, err = strconv.ParseInt(r.Condition.Rule, 10, 64); err != nil {
			return &ErrInvalid{"condition.rule", "is no id of a rule"}
		}
	}
	if len(r.Channels) > 10 {
		return &ErrInvalid{"channels", "are more than 10"}
	}
	r.channels = nil
	for _, id := range r.Channels {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return &ErrInvalid{"channels", fmt.Sprintf("%q is no id of a channel", id)}
		}
		r.channels = append(r.channels, n)
	}
	return nil
}

// conditionMost bounds the texts of a condition, bytes.
const conditionMost = 1024

// admit holds that what a rule names is of its project.
func (a *Alarms) admit(ctx context.Context, tx *store.Tx, r *Rule) error {
	c := &r.Condition
	// Rules of before may be longer, and go on: these bounds are not in compile. Each alarm has them in its text.
	for field, n := range map[string]int{"property": len(c.Property), "value": len(c.Value), "clearValue": len(c.Clear)} {
		if n > conditionMost {
			return &ErrInvalid{"condition." + field, fmt.Sprintf("has more than %d bytes", conditionMost)}
		}
	}
	if c.Product != "" {
		if project, ok := a.Product(ctx, c.Product); !ok || project != r.Project {
			return &ErrInvalid{"condition.productSN", "the project has no such product"}
		}
	}
	if c.Kind == OnRule {
		if project, ok := a.RuleProject(ctx, r.rule); !ok || project != r.Project {
			return &ErrInvalid{"condition.rule", "the project has no such rule"}
		}
	}
	if c.Metric != "" && !a.Metrics.Known(c.Metric) {
		return &ErrInvalid{"condition.metric", fmt.Sprintf("there is no metric %q", c.Metric)}
	}
	for _, id := range r.channels {
		// Held until the end, so that it is not deleted meanwhile.
		res, err := tx.Exec(ctx, `UPDATE alarm_channel SET revision = revision WHERE id = ? AND project = ?`, id, r.Project)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, &ErrInvalid{"channels", fmt.Sprintf("the project has no channel %d", id)})
		}
	}
	return nil
}

const ruleColumns = `id, project, name, enabled, definition, revision, created_at, updated_at`

type scanner interface{ Scan(...any) error }

func scanRule(row scanner) (*Rule, error) {
	r := &Rule{}
	var definition string
	var created, updated int64
	if err := row.Scan(&r.ID, &r.Project, &r.Name, &r.Enabled, &definition, &r.Revision, &created, &updated); err != nil {
		return nil, err
	}
	r.Created, r.Updated = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
	if err := json.Unmarshal([]byte(definition), &r.Definition); err != nil {
		return nil, fmt.Errorf("alarm: rule %d: %w", r.ID, err)
	}
	return r, r.compile()
}

// CreateRule makes a rule.
func (a *Alarms) CreateRule(ctx context.Context, project, name string, enabled bool, d Definition) (*Rule, error) {
	now := a.now().UTC().Truncate(time.Millisecond)
	r := &Rule{ID: int64(a.IDs.Next()), Project: project, Name: name, Enabled: enabled, Revision: 1, Created: now, Updated: now, Definition: d}
	if err := r.compile(); err != nil {
		return nil, err
	}
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		if err := a.room(ctx, tx, "alarm_rule", project); err != nil {
			return err
		}
		if err := a.admit(ctx, tx, r); err != nil {
			return err
		}
		b, err := json.Marshal(r.Definition)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO alarm_rule (`+ruleColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, r.ID, r.Project, r.Name, flag(r.Enabled), string(b), 1,
			now.UnixMilli(), now.UnixMilli())
		return err
	})
	return r, a.changed(ctx, err)
}

// room holds that a project may have one more.
func (a *Alarms) room(ctx context.Context, tx *store.Tx, table, project string) error {
	var n int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM `+table+` WHERE project = ?`, project).Scan(&n); err != nil {
		return err
	}
	if n >= a.cfg.MaxPerProject {
		return ErrTooMany
	}
	return nil
}

// UpdateRule replaces a rule; with another condition its open alarms are cleared.
func (a *Alarms) UpdateRule(ctx context.Context, id int64, name string, enabled bool, d Definition, ifRevision *int64) (*Rule, error) {
	var r *Rule
	err := a.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if r, err = holdRule(ctx, tx, id); err != nil {
			return err
		}
		if ifRevision != nil && *ifRevision != r.Revision {
			return ErrRevision
		}
		old, _ := json.Marshal([]any{r.Condition, r.Enabled})
		r.Name, r.Enabled, r.Definition = name, enabled, d
		r.Revision, r.Updated = r.Revision+1, a.now().UTC().Truncate(time.Millisecond)
		if err := r.compile(); err != nil {
			return err
		}
		if err := a.admit(ctx, tx, r); err != nil {
			return err
		}
		b, err := json.Marshal(r.Definition)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE alarm_rule SET name = ?, enabled = ?, definition = ?, revision = ?, updated_at = ? WHERE id = ?`,
			r.Name, flag(r.Enabled), string(b), r.Revision, r.Updated.UnixMilli(), id); err != nil {
			return err
		}
		if is, _ := json.Marshal([]any{r.Condition, r.Enabled}); string(is) != string(old) {
			return a.endRule(ctx, tx, id, "rule changed")
		}
		return nil
	})
	return r, a.changed(ctx, err)
}

func holdRule(ctx context.Context, tx *store.Tx, id int64) (*Rule, error) {
	if _, err := tx.Exec(ctx, `UPDATE alarm_rule SET revision = revision WHERE id = ?`, id); err != nil {
		return nil, err
	}
	r, err := scanRule(tx.QueryRow(ctx, `SELECT `+ruleColumns+` FROM alarm_rule WHERE id = ?`, id))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrRuleNotFound
	}
	return r, err
}

// endRule forgets what was pending, and clears what is open, of a rule that judges no more.
func (a *Alarms) endRule(ctx context.Context, tx *store.Tx, id int64, by string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM alarm_pending WHERE rule = ?`, id); err != nil {
		return err
	}
	now := a.now().UnixMilli()
	_, err := tx.Exec(ctx, `UPDATE alarm SET cleared_at = ?, cleared_by = ?, changed_at = ? WHERE rule = ? AND cleared_at = 0`, now, by, now, id)
	return err
}

// DeleteRule deletes a rule; its open alarms are cleared, and stay in the history.
func (a *Alarms) DeleteRule(ctx context.Context, id int64) error {
	return a.changed(ctx, a.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := holdRule(ctx, tx, id); err != nil {
			return err
		}
		if err := a.endRule(ctx, tx, id, "rule deleted"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM alarm_rule WHERE id = ?`, id)
		return err
	}))
}

// Rule returns a rule as it is stored.
func (a *Alarms) Rule(ctx context.Context, id int64) (*Rule, error) {
	r, err := scanRule(a.Store.QueryRow(ctx, `SELECT `+ruleColumns+` FROM alarm_rule WHERE id = ?`, id))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrRuleNotFound
	}
	return r, err
}

func (a *Alarms) readRules(ctx context.Context, where string, args ...any) (list []*Rule, err error) {
	rows, err := a.Store.Query(ctx, `SELECT `+ruleColumns+` FROM alarm_rule `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("alarm: read rules: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		r, err := scanRule(rows)
		if err != nil {
			return nil, fmt.Errorf("alarm: read rules: %w", err)
		}
		list = append(list, r)
	}
	return list, nil
}

// changed puts in force what was stored, here and on the other nodes.
func (a *Alarms) changed(ctx context.Context, err error) error {
	if store.IsUnique(err) {
		return ErrExists
	}
	if err != nil {
		return err
	}
	a.tell(note{Rules: true})
	return a.load(context.WithoutCancel(ctx))
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
