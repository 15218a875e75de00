package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
)

// Rules is what the API needs of the rules.
type Rules interface {
	List(ctx context.Context, project string, after int64, limit int) []*rules.Rule
	Get(ctx context.Context, id int64) (*rules.Rule, error)
	Create(ctx context.Context, n rules.NewRule) (*rules.Rule, error)
	Update(ctx context.Context, id int64, c rules.Change) (*rules.Rule, error)
	Delete(ctx context.Context, id int64) error
	Stats(id int64) (rules.Stats, error)
}

func (s *server) ListRules(ctx context.Context, r apitype.ListRulesRequestObject) (apitype.ListRulesResponseObject, error) {
	page, err := pageOf(r.Params.Limit, nil)
	if err != nil {
		return nil, err
	}
	if page.Limit == 0 {
		page.Limit = registry.DefaultLimit
	}
	after, err := numberCursor(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list := s.Rules.List(ctx, account.From(ctx).Within(), after, page.Limit)
	out := apitype.ListRules200JSONResponse{Items: make([]apitype.Rule, len(list))}
	for i, rule := range list {
		if out.Items[i], err = ruleOf(ctx, rule); err != nil {
			return nil, err
		}
	}
	if len(list) == page.Limit {
		out.NextCursor = numberCursorOf(list[len(list)-1].ID)
	}
	return out, nil
}

func (s *server) CreateRule(ctx context.Context, r apitype.CreateRuleRequestObject) (apitype.CreateRuleResponseObject, error) {
	actions, err := actionsOf(r.Body.Actions)
	if err != nil {
		return nil, err
	}
	rule, err := s.Rules.Create(ctx, rules.NewRule{Project: account.From(ctx).Project, Name: r.Body.Name, Description: r.Body.Description, SQL: r.Body.SQL,
		Enabled: r.Body.Enabled, Actions: actions})
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
	rule, err := s.Rules.Update(ctx, id, rules.Change{Name: &b.Name, Description: &b.Description, SQL: &b.SQL, Enabled: &b.Enabled, Actions: &actions,
		IfRevision: ifRevision(ctx)})
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
	st, err := s.Rules.Stats(id)
	if err != nil {
		return nil, err
	}
	out := apitype.GetRuleStats200JSONResponse{RuleID: r.RuleID, Matched: st.Matched, Failed: st.Failed, Actions: make([]apitype.ActionStats, len(st.Actions))}
	for i, a := range st.Actions {
		out.Actions[i] = apitype.ActionStats{ID: strconv.FormatInt(a.Action, 10), Kind: a.Kind, Matched: a.Matched, Delivered: a.Delivered,
			Queued: a.Queued, Dead: a.Dead, Dropped: a.Dropped, Retries: a.Retries, Connected: a.Connected, LastError: a.LastError, LastErrorAt: a.LastErrorAt}
	}
	return out, nil
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
	return id, nil
}

// ruleOf puts each action's configuration beside its id and kind. It may hold credentials, so that only who may write rules sees it.
func ruleOf(ctx context.Context, r *rules.Rule) (apitype.Rule, error) {
	whole := account.From(ctx).May(account.RuleWrite)
	out := apitype.Rule{ID: strconv.FormatInt(r.ID, 10), Name: r.Name, Description: r.Description, SQL: r.SQL, Enabled: r.Enabled,
		Actions: make([]apitype.RuleAction, len(r.Actions)), Revision: r.Revision, CreatedAt: r.Created, UpdatedAt: r.Updated}
	for i, a := range r.Actions {
		head, err := json.Marshal(struct {
			ID   string `json:"id"`
			Kind string `json:"kind"`
		}{strconv.FormatInt(a.ID, 10), a.Kind})
		if err != nil {
			return out, err
		}
		config := bytes.TrimSpace(a.Config)
		if len(config) < 2 || config[0] != '{' {
			return out, fmt.Errorf("api: rule %d: configuration of action %d is no object", r.ID, a.ID)
		}
		if rest := bytes.TrimSpace(config[1 : len(config)-1]); whole && len(rest) > 0 {
			head = slices.Concat(head[:len(head)-1], []byte{','}, rest, []byte{'}'})
		}
		out.Actions[i] = head
	}
	return out, nil
}

// actionsOf takes id and kind out of each action; the rest is its configuration.
func actionsOf(list []apitype.RuleAction) ([]rules.Action, error) {
	out := make([]rules.Action, len(list))
	for i, raw := range list {
		field := fmt.Sprintf("actions[%d]", i)
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil || members == nil {
			return nil, invalid(field, "%s: must be an object", field)
		}
		if err := take(members, "kind", &out[i].Kind); err != nil {
			return nil, invalid(field+".kind", "%s.kind: must be a string", field)
		}
		var id string
		if err := take(members, "id", &id); err != nil {
			return nil, invalid(field+".id", "%s.id: must be a string", field)
		}
		if id != "" {
			var err error
			if out[i].ID, err = strconv.ParseInt(id, 10, 64); err != nil {
				return nil, invalid(field+".id", "%s.id: is no id of an action", field)
			}
		}
		config, err := json.Marshal(members)
		if err != nil {
			return nil, err
		}
		out[i].Config = config
	}
	return out, nil
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
