package actionapi

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// actionOf reads Type and Configuration. When the action gets a connector of its own, made is true: it is dropped when the action is not stored.
func (f *face) actionOf(ctx context.Context, c *call) (a rules.Action, made bool, err error) {
	title, err := c.need("Type")
	if err != nil {
		return a, false, err
	}
	k, ok := ruleKinds[title]
	if !ok {
		return a, false, incomplete("there is no Type " + cut(title) + " here; there are " + strings.Join(slices.Sorted(maps.Keys(ruleKinds)), ", "))
	}
	text, err := c.needDecoded("Configuration")
	if err != nil {
		return a, false, err
	}
	var given config
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&given); err != nil {
		return a, false, bad("Configuration", "is no JSON object in base64: %v", err)
	}
	if _, err := k.in(given, "1"); err != nil { // before a connector is made for it
		return a, false, err
	}
	target, made, err := f.target(ctx, k, given)
	if err != nil {
		return a, false, err
	}
	ours, err := k.in(given, target)
	return rules.Action{Kind: k.name, Config: encode(ours)}, made, err
}

// settle drops the connector that was made for an action which was not stored.
func (f *face) settle(ctx context.Context, a rules.Action, made bool, err error) {
	if made && err != nil {
		f.drop(ctx, a)
	}
}

// changeActions changes the actions of a rule that does not run.
func (f *face) changeActions(ctx context.Context, c *call, change func(list []rules.Action) ([]rules.Action, error)) (*rules.Rule, error) {
	r, err := f.stopped(ctx, c)
	if err != nil {
		return nil, err
	}
	list, err := change(slices.Clone(r.Actions))
	if err != nil {
		return nil, err
	}
	return f.Rules.Update(ctx, r.ID, rules.Change{Actions: &list, IfRevision: &r.Revision})
}

func (f *face) createRuleAction(ctx context.Context, c *call) (_ any, err error) {
	if _, err := f.stopped(ctx, c); err != nil { // before anything is made for it
		return nil, err
	}
	a, made, err := f.actionOf(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { f.settle(ctx, a, made, err) }()
	r, err := f.changeActions(ctx, c, func(list []rules.Action) ([]rules.Action, error) {
		if len(list) >= rules.MaxActions {
			return nil, fault{codeRuleActions, "the rule has as many actions as it may"}
		}
		for _, have := range list {
			if have.Kind == a.Kind && string(have.Config) == string(a.Config) {
				return nil, fault{codeActionExists, "the rule has it already"}
			}
		}
		return append(list, a), nil
	})
	if err != nil {
		return nil, err
	}
	id := strconv.FormatInt(r.Actions[len(r.Actions)-1].ID, 10)
	return struct{ ActionID string }{id}, nil
}

// actionAt finds the action that a request names.
func actionAt(c *call, list []rules.Action) (int, error) {
	text, err := c.need("ActionID")
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseInt(text, 10, 64)
	i := slices.IndexFunc(list, func(a rules.Action) bool { return err == nil && a.ID == id })
	if i < 0 {
		return 0, fault{codeNoRuleAction, "the rule has no such action"}
	}
	return i, nil
}

func (f *face) modifyRuleAction(ctx context.Context, c *call) (_ any, err error) {
	if _, err := f.stopped(ctx, c); err != nil {
		return nil, err
	}
	a, made, err := f.actionOf(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { f.settle(ctx, a, made, err) }()
	var old rules.Action
	_, err = f.changeActions(ctx, c, func(list []rules.Action) ([]rules.Action, error) {
		i, err := actionAt(c, list)
		if err != nil {
			return nil, err
		}
		old = list[i]
		if a.Kind == list[i].Kind { // of another kind it is a new one
			a.ID = list[i].ID
		}
		list[i] = a
		return list, nil
	})
	if err == nil {
		f.drop(ctx, old)
	}
	return nothing{}, err
}

func (f *face) deleteRuleAction(ctx context.Context, c *call) (any, error) {
	var old rules.Action
	_, err := f.changeActions(ctx, c, func(list []rules.Action) ([]rules.Action, error) {
		i, err := actionAt(c, list)
		if err != nil {
			return nil, err
		}
		old = list[i]
		return slices.Delete(list, i, i+1), nil
	})
	if err == nil {
		f.drop(ctx, old)
	}
	return nothing{}, err
}

// listedAction is an action as answers have it; Configuration is a JSON text.
type listedAction struct{ ActionID, Type, Configuration string }

func (f *face) getRuleActionList(ctx context.Context, c *call) (any, error) {
	offset, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	r, err := f.rule(ctx, c)
	if err != nil {
		return nil, err
	}
	out := struct {
		TotalCount    int
		RuleActionSet []listedAction
	}{len(r.Actions), []listedAction{}}
	for _, a := range window(r.Actions, offset, limit) {
		one := listedAction{ActionID: strconv.FormatInt(a.ID, 10), Type: a.Kind, Configuration: "{}"} // what is not of this API is not shown: it may hold secrets
		for title, k := range ruleKinds {
			if k.name != a.Kind {
				continue
			}
			shown, err := f.configurationOf(ctx, k, a)
			if err != nil {
				return nil, err
			}
			one.Type, one.Configuration = title, string(encode(shown))
		}
		out.RuleActionSet = append(out.RuleActionSet, one)
	}
	return out, nil
}
