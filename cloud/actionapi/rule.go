package actionapi

import (
	"context"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// Rules is what the API needs of the rules.
type Rules interface {
	List(ctx context.Context, project string, after int64, limit int) []*rules.Rule
	Get(ctx context.Context, id int64) (*rules.Rule, error)
	Create(ctx context.Context, n rules.NewRule) (*rules.Rule, error)
	Update(ctx context.Context, id int64, c rules.Change) (*rules.Rule, error)
	Delete(ctx context.Context, id int64) error
}

var _ Rules = (*rules.Rules)(nil)

// rule is the rule that a request names; one of another project is not told from one that is not there.
func (f *face) rule(ctx context.Context, c *call) (*rules.Rule, error) {
	text, err := c.need("RuleID")
	if err != nil {
		return nil, err
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, rules.ErrNotFound
	}
	r, err := f.Rules.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if within := account.From(ctx).Within(); within != "" && r.Project != within {
		return nil, rules.ErrNotFound
	}
	return r, nil
}

// stopped is rule for one that is to be changed: one that runs is not.
func (f *face) stopped(ctx context.Context, c *call) (*rules.Rule, error) {
	r, err := f.rule(ctx, c)
	if err == nil && r.Enabled {
		err = fault{codeRuleRunning, "the rule is running: disable it first"}
	}
	return r, err
}

func (f *face) createRule(ctx context.Context, c *call) (any, error) {
	name, err := c.need("RuleName")
	if err != nil {
		return nil, err
	}
	sql, err := f.queryOf(ctx, c, query{topicType: topicUser, fields: "*"})
	if err != nil {
		return nil, err
	}
	r, err := f.Rules.Create(ctx, rules.NewRule{Project: account.From(ctx).Project, Name: name, Description: c.text("Description"), SQL: sql,
		Dialect: rulesql.Stock, DataType: rules.DataType(c.text("DataType"))})
	if err != nil {
		return nil, err
	}
	id := strconv.FormatInt(r.ID, 10)
	c.made = "/" + id
	return struct{ RuleID string }{id}, nil
}

// queryOf is the query of a rule whose parts are those of q where the request does not say others.
func (f *face) queryOf(ctx context.Context, c *call, q query) (sql string, err error) {
	for name, part := range map[string]*string{"ProductSN": &q.product, "ShortTopic": &q.shortTopic, "TopicType": &q.topicType} {
		if c.text(name) != "" {
			*part = c.text(name)
		}
	}
	for name, part := range map[string]*string{"Select": &q.fields, "Where": &q.where} {
		if !c.has(name) {
			continue
		}
		text, err := c.decoded(name)
		if err != nil {
			return "", err
		}
		*part = string(text)
	}
	if q.product == "" || q.shortTopic == "" || q.fields == "" {
		return "", fault{codeRuleSQL, "the query is not complete: give ProductSN, ShortTopic and Select"}
	}
	p, err := f.Products.Product(ctx, q.product)
	if err != nil {
		return "", err
	}
	if within := account.From(ctx).Within(); within != "" && p.Project != within {
		return "", registry.ErrProductNotFound
	}
	return q.sql()
}

func (f *face) modifyRule(ctx context.Context, c *call) (any, error) {
	r, err := f.stopped(ctx, c)
	if err != nil {
		return nil, err
	}
	change := rules.Change{Name: c.given("RuleName"), Description: c.given("Description"), IfRevision: &r.Revision}
	if t := rules.DataType(c.text("DataType")); t != "" {
		change.DataType = &t
	}
	for _, part := range []string{"ProductSN", "ShortTopic", "TopicType", "Select", "Where"} {
		if !c.has(part) {
			continue
		}
		sql, err := f.queryOf(ctx, c, parseQueryText(r.SQL))
		if err != nil {
			return nil, err
		}
		change.SQL, change.Dialect = &sql, new(rulesql.Stock)
		break
	}
	_, err = f.Rules.Update(ctx, r.ID, change)
	return nothing{}, err
}

func (f *face) deleteRule(ctx context.Context, c *call) (any, error) {
	r, err := f.stopped(ctx, c)
	if err != nil {
		return nil, err
	}
	return nothing{}, f.Rules.Delete(ctx, r.ID)
}

func (f *face) enableRule(ctx context.Context, c *call) (any, error) { return f.setRule(ctx, c, true) }

func (f *face) disableRule(ctx context.Context, c *call) (any, error) {
	return f.setRule(ctx, c, false)
}

func (f *face) setRule(ctx context.Context, c *call, on bool) (any, error) {
	r, err := f.rule(ctx, c)
	if err != nil {
		return nil, err
	}
	_, err = f.Rules.Update(ctx, r.ID, rules.Change{Enabled: &on})
	return nothing{}, err
}

// listedRule is a rule as answers have it.
type listedRule struct {
	RuleID, RuleName, Status   string
	CreateTime                 int64
	DataType, TopicType        string
	ProductSN, ShortTopic      string
	Description, Select, Where string
}

func listedRuleOf(r *rules.Rule) listedRule {
	q := parseQueryText(r.SQL)
	out := listedRule{RuleID: strconv.FormatInt(r.ID, 10), RuleName: r.Name, Status: "disabled", CreateTime: r.Created.Unix(), DataType: string(r.DataType),
		TopicType: q.topicType, ProductSN: q.product, ShortTopic: q.shortTopic, Description: r.Description, Select: q.fields, Where: q.where}
	if r.Enabled {
		out.Status = "running"
	}
	return out
}

func (f *face) getRuleList(ctx context.Context, c *call) (any, error) {
	offset, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	var list []*rules.Rule
	if c.text("RuleID") != "" {
		r, err := f.rule(ctx, c)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	} else {
		for after := int64(0); ; {
			some := f.Rules.List(ctx, account.From(ctx).Within(), after, registry.MaxLimit)
			if list = append(list, some...); len(some) < registry.MaxLimit {
				break
			}
			after = some[len(some)-1].ID
		}
	}
	out := struct {
		TotalCount int
		RuleSet    []listedRule
	}{len(list), []listedRule{}}
	for _, r := range window(list, offset, limit) {
		out.RuleSet = append(out.RuleSet, listedRuleOf(r))
	}
	return out, nil
}
