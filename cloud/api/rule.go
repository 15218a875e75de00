package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// Rules is what the API needs of the rules.
type Rules interface {
	Search(ctx context.Context, project string, q listing.Query) ([]*rules.Rule, listing.Page, error)
	Get(ctx context.Context, id int64) (*rules.Rule, error)
	Create(ctx context.Context, n rules.NewRule) (*rules.Rule, error)
	Update(ctx context.Context, id int64, c rules.Change) (*rules.Rule, error)
	Delete(ctx context.Context, id int64) error
	Stats(ctx context.Context, id int64) (rules.Stats, error)
	DeadLetters(ctx context.Context, f rules.DeadFilter, after int64, limit int) ([]rules.DeadLetter, error)
	DeadLetter(ctx context.Context, project string, id int64) (rules.DeadLetter, error)
	Replay(ctx context.Context, f rules.DeadFilter, after int64, limit int) (ids []int64, last int64, err error)
	Remake(ctx context.Context, project string, id int64, payload []byte, qos byte) error
	PurgeDead(ctx context.Context, f rules.DeadFilter) (int64, error)
	NewTrial(rule rules.Rule) (*rules.Trial, error)
	ConnectorUses(ctx context.Context, id int64) ([]rules.Use, error)
	ConnectorRules(ctx context.Context, ids []int64) (map[int64]int64, error)
}

func (s *server) ListRules(ctx context.Context, r apitype.ListRulesRequestObject) (apitype.ListRulesResponseObject, error) {
	p := r.Params
	q, err := listQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.Rules.Search(ctx, account.From(ctx).Within(), q)
	if err != nil {
		return nil, err
	}
	out := apitype.ListRules200JSONResponse{Items: make([]apitype.Rule, len(list)), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}
	for i, rule := range list {
		if out.Items[i], err = ruleOf(ctx, rule); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *server) CreateRule(ctx context.Context, r apitype.CreateRuleRequestObject) (apitype.CreateRuleResponseObject, error) {
	actions, err := actionsOf(r.Body.Actions)
	if err != nil {
		return nil, err
	}
	onError, err := errorActionOf(r.Body.ErrorAction)
	if err != nil {
		return nil, err
	}
	rule, err := s.Rules.Create(ctx, rules.NewRule{Project: account.From(ctx).Project, Name: r.Body.Name, Description: r.Body.Description, SQL: r.Body.SQL,
		DataType: rules.DataType(r.Body.DataType), Dialect: rulesql.Dialect(r.Body.Dialect),
		Enabled: r.Body.Enabled, Actions: actions, ErrorAction: onError})
	if err != nil {
		return nil, err
	}
	out, err := ruleOf(ctx, rule)
	return apitype.CreateRule201JSONResponse(out), err
}

func (s *server) GetRule(ctx context.Context, r apitype.GetRuleRequestObject) (apitype.GetRuleResponseObject, error) {
	id, err := s.ruleID(ctx, r.RuleID)
	if err != nil {
		return nil, err
	}
	rule, err := s.Rules.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	out, err := ruleOf(ctx, rule)
	return apitype.GetRule200JSONResponse(out), err
}

func (s *server) UpdateRule(ctx context.Context, r apitype.UpdateRuleRequestObject) (apitype.UpdateRuleResponseObject, error) {
	id, err := s.ruleID(ctx, r.RuleID)
	if err != nil {
		return nil, err
	}
	actions, err := actionsOf(r.Body.Actions)
	if err != nil {
		return nil, err
	}
	b := r.Body
	onError, err := errorActionOf(b.ErrorAction)
	if err != nil {
		return nil, err
	}
	dataType, dialect := cmp.Or(rules.DataType(b.DataType), rules.JSON), cmp.Or(rulesql.Dialect(b.Dialect), rulesql.Full)
	rule, err := s.Rules.Update(ctx, id, rules.Change{Name: &b.Name, Description: &b.Description, SQL: &b.SQL, DataType: &dataType, Dialect: &dialect, Enabled: &b.Enabled,
		Actions: &actions, ErrorAction: &onError, IfRevision: ifRevision(ctx)})
	if err != nil {
		return nil, err
	}
	out, err := ruleOf(ctx, rule)
	return apitype.UpdateRule200JSONResponse(out), err
}

func (s *server) DeleteRule(ctx context.Context, r apitype.DeleteRuleRequestObject) (apitype.DeleteRuleResponseObject, error) {
	id, err := s.ruleID(ctx, r.RuleID)
	if err != nil {
		return nil, err
	}
	if err := s.Rules.Delete(ctx, id); err != nil {
		return nil, err
	}
	return apitype.DeleteRule204Response{}, nil
}

func (s *server) EnableRule(ctx context.Context, r apitype.EnableRuleRequestObject) (apitype.EnableRuleResponseObject, error) {
	out, err := s.setRule(ctx, r.RuleID, true)
	return apitype.EnableRule200JSONResponse(out), err
}

func (s *server) DisableRule(ctx context.Context, r apitype.DisableRuleRequestObject) (apitype.DisableRuleResponseObject, error) {
	out, err := s.setRule(ctx, r.RuleID, false)
	return apitype.DisableRule200JSONResponse(out), err
}

func (s *server) setRule(ctx context.Context, text string, enabled bool) (apitype.Rule, error) {
	id, err := s.ruleID(ctx, text)
	if err != nil {
		return apitype.Rule{}, err
	}
	rule, err := s.Rules.Update(ctx, id, rules.Change{Enabled: &enabled, IfRevision: ifRevision(ctx)})
	if err != nil {
		return apitype.Rule{}, err
	}
	return ruleOf(ctx, rule)
}

func (s *server) GetRuleStats(ctx context.Context, r apitype.GetRuleStatsRequestObject) (apitype.GetRuleStatsResponseObject, error) {
	id, err := s.ruleID(ctx, r.RuleID)
	if err != nil {
		return nil, err
	}
	st, err := s.Rules.Stats(ctx, id)
	if err != nil {
		return nil, err
	}
	out := apitype.GetRuleStats200JSONResponse{RuleID: r.RuleID, Matched: st.Matched, Failed: st.Failed, FailedTotal: st.FailedTotal, Faults: make([]apitype.RuleFault, len(st.Faults)),
		Actions: make([]apitype.ActionStats, len(st.Actions))}
	for i, f := range st.Faults {
		out.Faults[i] = apitype.RuleFault{Kind: apitype.RuleFaultKind(f.Kind), Count: f.Count, MessageID: f.MessageID.String(), Topic: f.Topic, Text: f.Text, At: f.At}
	}
	for i, a := range st.Actions {
		out.Actions[i] = apitype.ActionStats{ID: strconv.FormatInt(a.Action, 10), Kind: a.Kind, Role: apitype.ActionStatsRole(a.Role.String()),
			Matched: a.Matched, Delivered: a.Delivered, InFlight: a.InFlight, Queued: a.Queued, Late: a.Late, WaitingBytes: a.Bytes,
			Dead: a.Dead, FellBack: a.FellBack, Dropped: a.Dropped, Retries: a.Retries, Connected: a.Status == rules.Connected,
			Status: apitype.ActionStatsStatus(a.Status), Since: a.Since.UTC(), LastError: a.LastError, LastErrorAt: a.LastErrorAt,
			Letters: a.Letters, LetterBytes: a.LetterBytes, Total: totalOf(&a.Total)}
	}
	return out, nil
}

func totalOf(t *rules.Total) apitype.ActionTotal {
	out := apitype.ActionTotal{Delivered: t.Delivered, Dead: t.Dead, FellBack: t.FellBack, Retries: t.Retries, Dropped: map[string]int64{}}
	for reason, n := range map[string]int64{"expired": t.Expired, "full": t.Full, "damaged": t.Damaged} {
		if n > 0 {
			out.Dropped[reason] = n
		}
	}
	return out
}

// ruleID reads the id of a rule that the caller may know of. One that is none, or of another project's rule, is that of a rule
// that does not exist.
func (s *server) ruleID(ctx context.Context, text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, rules.ErrNotFound
	}
	rule, err := s.Rules.Get(ctx, id)
	if err != nil {
		return 0, err
	}
	if within := account.From(ctx).Within(); within != "" && rule.Project != within {
		return 0, rules.ErrNotFound
	}
	requestOf(ctx).place = rule.Project
	return id, nil
}

// ruleOf is a rule as the API shows it.
func ruleOf(ctx context.Context, r *rules.Rule) (apitype.Rule, error) {
	whole := account.From(ctx).May(account.RuleWrite)
	out := apitype.Rule{ID: strconv.FormatInt(r.ID, 10), Name: r.Name, Description: r.Description, SQL: r.SQL,
		DataType: apitype.RuleDataType(r.DataType), Dialect: apitype.RuleDialect(r.Dialect), Enabled: r.Enabled,
		Actions: make([]apitype.RuleAction, len(r.Actions)), Revision: r.Revision, CreatedAt: r.Created, UpdatedAt: r.Updated}
	var err error
	for i := range r.Actions {
		if out.Actions[i], err = shownAction(&r.Actions[i], whole); err != nil {
			return out, fmt.Errorf("api: rule %d: %w", r.ID, err)
		}
	}
	if r.ErrorAction != nil {
		if out.ErrorAction, err = shownAction(r.ErrorAction, whole); err != nil {
			return out, fmt.Errorf("api: rule %d: %w", r.ID, err)
		}
	}
	return out, nil
}

// shownAction puts an action's options and configuration beside its id and kind. The configuration may hold credentials, so that only
// who may write rules sees it.
func shownAction(a *rules.Action, whole bool) (json.RawMessage, error) {
	head := struct {
		ID   string `json:"id"`
		Kind string `json:"kind"`
		rules.Options
		Fallback json.RawMessage `json:"fallback,omitempty"`
	}{ID: strconv.FormatInt(a.ID, 10), Kind: a.Kind, Options: a.Options}
	if a.Fallback != nil {
		var err error
		if head.Fallback, err = shownAction(a.Fallback, whole); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	config := bytes.TrimSpace(a.Config)
	if len(config) < 2 || config[0] != '{' {
		return nil, fmt.Errorf("configuration of action %d is no object", a.ID)
	}
	if rest := bytes.TrimSpace(config[1 : len(config)-1]); whole && len(rest) > 0 {
		b = slices.Concat(b[:len(b)-1], []byte{','}, rest, []byte{'}'})
	}
	return b, nil
}

func actionsOf(list []apitype.RuleAction) ([]rules.Action, error) {
	out := make([]rules.Action, len(list))
	for i, raw := range list {
		var err error
		if out[i], err = actionOf(raw, fmt.Sprintf("actions[%d]", i)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func errorActionOf(raw json.RawMessage) (*rules.Action, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	a, err := actionOf(raw, "errorAction")
	return &a, err
}

// actionOf takes id, kind and options out of an action; the rest is its configuration.
func actionOf(raw json.RawMessage, field string) (a rules.Action, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return a, invalid(field, "%s: must be an object", field)
	}
	if err := take(members, "kind", &a.Kind); err != nil {
		return a, invalid(field+".kind", "%s.kind: must be a string", field)
	}
	var id string
	if err := take(members, "id", &id); err != nil {
		return a, invalid(field+".id", "%s.id: must be a string", field)
	}
	if id != "" {
		if a.ID, err = strconv.ParseInt(id, 10, 64); err != nil {
			return a, invalid(field+".id", "%s.id: is no id of an action", field)
		}
	}
	if err := takeOptions(members, field, &a.Options); err != nil {
		return a, err
	}
	if raw, ok := members["fallback"]; ok {
		delete(members, "fallback")
		if string(raw) != "null" {
			f, err := actionOf(raw, field+".fallback")
			if err != nil {
				return a, err
			}
			a.Fallback = &f
		}
	}
	a.Config, err = json.Marshal(members)
	return a, err
}

// takeOptions moves what every kind of action has out of an object.
func takeOptions(members map[string]json.RawMessage, field string, o *rules.Options) error {
	for name, dst := range map[string]any{"batch": &o.Batch, "whenFull": &o.WhenFull, "maxBytes": &o.MaxBytes, "maxAttempts": &o.MaxAttempts,
		"expiresSeconds": &o.ExpiresSeconds} {
		raw, ok := members[name]
		if !ok {
			continue
		}
		delete(members, name)
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(dst); err != nil {
			return invalid(field+"."+name, "%s.%s: %s", field, name, strings.TrimPrefix(err.Error(), "json: "))
		}
	}
	return nil
}

// take moves a string member out of an object.
func take(members map[string]json.RawMessage, name string, dst *string) error {
	raw, ok := members[name]
	if !ok {
		return nil
	}
	delete(members, name)
	return json.Unmarshal(raw, dst)
}

// numberCursor reads a cursor that is an id.
func numberCursor(text *string) (int64, error) {
	if text == nil || *text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(*text, 36, 64)
	if err != nil || n <= 0 {
		return 0, invalid("cursor", "cursor: was not made by this list: leave it out to start again")
	}
	return n, nil
}

func numberCursorOf(id int64) string { return strconv.FormatInt(id, 36) }
