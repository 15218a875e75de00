package alarm

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

var listed = listing.Table{From: `alarm`, ID: `id`, Down: true, Words: []string{"text", "device"}, By: "state", Fields: []listing.Field{
	{Name: "state", Kind: listing.Choice, Values: []string{"open", "acknowledged", "cleared"}, Is: stateConditions},
	{Name: "severity", Kind: listing.Choice, Values: severities, SQL: `severity`, Sort: true, Is: severityConditions},
	{Name: "text", Kind: listing.Filled, SQL: `text`, Sort: true},
	{Name: "product", SQL: `product`, Sort: true},
	{Name: "device", Kind: listing.Prefix, SQL: `substr(subject, length(product) + 2)`, Sort: true},
	{Name: "rule", Kind: listing.ID, SQL: `rule`},
	{Name: "ruleName", Kind: listing.Filled, SQL: `rule_name`, Sort: true},
	{Name: "value", Kind: listing.Prefix, SQL: `value`},
	{Name: "seen", Kind: listing.Number, SQL: `seen`, Sort: true},
	{Name: "created", Kind: listing.Moment, SQL: `opened_at`},
	{Name: "opened", Kind: listing.Moment, SQL: `opened_at`},
	{Name: "acknowledged", Kind: listing.Never, SQL: `acknowledged_at`, Sort: true},
	{Name: "cleared", Kind: listing.Never, SQL: `cleared_at`, Sort: true},
	{Name: "changed", Kind: listing.Moment, SQL: `changed_at`, Sort: true},
}}

var stateConditions = map[string]string{"open": "cleared_at = 0 AND acknowledged_at = 0", "acknowledged": "cleared_at = 0 AND acknowledged_at <> 0",
	"cleared": "cleared_at <> 0"}

var severityConditions = map[string]string{"critical": "severity = 0", "major": "severity = 1", "minor": "severity = 2", "warning": "severity = 3"}

// Search returns a page of alarms, by default the newest first.
func (a *Alarms) Search(ctx context.Context, f Filter, q listing.Query) ([]*Alarm, listing.Page, error) {
	where, args := f.where()
	page, err := listed.Page(ctx, a.Store, q, where, args...)
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`id`, page.IDs)
	list, err := a.readAlarms(ctx, in, args...)
	return listing.Sort(page.IDs, list, func(x *Alarm) int64 { return x.ID }), page, err
}

// The definition of a rule is compact JSON, in whose texts every quotation mark has a \ before it: what is sought is in none of them.
var listedRules = listing.Table{From: `alarm_rule`, ID: `id`, Words: []string{"name"}, By: "state", Fields: []listing.Field{
	{Name: "name", Kind: listing.Filled, SQL: `name`, Sort: true},
	{Name: "state", Kind: listing.Choice, Values: []string{"enabled", "disabled"}, SQL: `enabled`, Sort: true,
		Is: map[string]string{"enabled": `enabled <> 0`, "disabled": `enabled = 0`}},
	{Name: "severity", Kind: listing.Choice, Values: severities, Is: memberConditions("severity", severities)},
	{Name: "kind", Kind: listing.Choice, Values: conditionKinds, Is: memberConditions("kind", conditionKinds)},
	{Name: "created", Kind: listing.Moment, SQL: `created_at`},
	{Name: "updated", Kind: listing.Moment, SQL: `updated_at`, Sort: true},
}}

var conditionKinds = []string{OnMetric, OnProperty, OnPresence, OnRule}

func memberConditions(name string, values []string) map[string]string {
	is := make(map[string]string, len(values))
	for _, v := range values {
		is[v] = `definition LIKE '%"` + name + `":"` + v + `"%'`
	}
	return is
}

// SearchRules returns a page of the rules of a project ("": of all), by default the oldest first.
func (a *Alarms) SearchRules(ctx context.Context, project string, q listing.Query) ([]*Rule, listing.Page, error) {
	cond, args := ofProject(project)
	page, err := listedRules.Page(ctx, a.Store, q, cond, args...)
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`id`, page.IDs)
	list, err := a.readRules(ctx, `WHERE `+in, args...)
	return listing.Sort(page.IDs, list, func(r *Rule) int64 { return r.ID }), page, err
}

var listedChannels = listing.Table{From: `alarm_channel`, ID: `id`, Words: []string{"name"}, By: "state", Fields: []listing.Field{
	{Name: "name", Kind: listing.Filled, SQL: `name`, Sort: true},
	{Name: "kind", SQL: `kind`, Sort: true},
	{Name: "state", Kind: listing.Choice, Values: []string{"working", "failing", "unused"}, Is: map[string]string{"failing": `failures > 0`,
		"working": `failures = 0 AND sent_at <> 0`, "unused": `failures = 0 AND sent_at = 0`}},
	{Name: "failures", Kind: listing.Number, SQL: `failures`, Sort: true},
	{Name: "sent", Kind: listing.Never, SQL: `sent_at`, Sort: true},
	{Name: "created", Kind: listing.Moment, SQL: `created_at`},
	{Name: "updated", Kind: listing.Moment, SQL: `updated_at`, Sort: true},
}}

// SearchChannels returns a page of the channels of a project ("": of all), by default the oldest first.
func (a *Alarms) SearchChannels(ctx context.Context, project string, q listing.Query) ([]*Channel, listing.Page, error) {
	cond, args := ofProject(project)
	page, err := listedChannels.Page(ctx, a.Store, q, cond, args...)
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`id`, page.IDs)
	list, err := a.readChannels(ctx, in, args...)
	return listing.Sort(page.IDs, list, func(c *Channel) int64 { return c.ID }), page, err
}

func ofProject(project string) (string, []any) {
	if project == "" {
		return `1 = 1`, nil
	}
	return `project = ?`, []any{project}
}
