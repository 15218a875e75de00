package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/alarm"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

// AlarmRules is what the API needs of alarm rules.
type AlarmRules interface {
	SearchRules(ctx context.Context, project string, q listing.Query) ([]*alarm.Rule, listing.Page, error)
	Rule(ctx context.Context, id int64) (*alarm.Rule, error)
	CreateRule(ctx context.Context, project, name string, enabled bool, d alarm.Definition) (*alarm.Rule, error)
	UpdateRule(ctx context.Context, id int64, name string, enabled bool, d alarm.Definition, ifRevision *int64) (*alarm.Rule, error)
	DeleteRule(ctx context.Context, id int64) error
}

// AlarmChannels is what the API needs of alarm channels.
type AlarmChannels interface {
	SearchChannels(ctx context.Context, project string, q listing.Query) ([]*alarm.Channel, listing.Page, error)
	Channel(ctx context.Context, id int64) (*alarm.Channel, error)
	CreateChannel(ctx context.Context, project, name, kind string, config json.RawMessage) (*alarm.Channel, error)
	UpdateChannel(ctx context.Context, id int64, name string, config json.RawMessage, ifRevision *int64) (*alarm.Channel, error)
	DeleteChannel(ctx context.Context, id int64) error
	Test(ctx context.Context, id int64) (took time.Duration, failure, err error)
}

func (s *server) ListAlarmRules(ctx context.Context, r apitype.ListAlarmRulesRequestObject) (apitype.ListAlarmRulesResponseObject, error) {
	p := r.Params
	q, err := listQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.Alarms.SearchRules(ctx, account.From(ctx).Within(), q)
	if err != nil {
		return nil, err
	}
	out := apitype.ListAlarmRules200JSONResponse{Items: make([]apitype.AlarmRule, len(list)), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}
	for i, rule := range list {
		if out.Items[i], err = alarmRuleOf(rule); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *server) CreateAlarmRule(ctx context.Context, r apitype.CreateAlarmRuleRequestObject) (apitype.CreateAlarmRuleResponseObject, error) {
	d, err := definitionOf(r.Body)
	if err != nil {
		return nil, err
	}
	rule, err := s.Alarms.CreateRule(ctx, account.From(ctx).Project, r.Body.Name, r.Body.Enabled == nil || *r.Body.Enabled, d)
	if err != nil {
		return nil, err
	}
	out, err := alarmRuleOf(rule)
	return apitype.CreateAlarmRule201JSONResponse(out), err
}

// definitionOf reads what a request says of a rule.
func definitionOf(b *apitype.NewAlarmRule) (d alarm.Definition, err error) {
	head := *b
	if d, err = recode[alarm.Definition](head); err != nil {
		return d, invalid("body", "%s", err)
	}
	return d, nil
}

func alarmRuleOf(rule *alarm.Rule) (apitype.AlarmRule, error) {
	out, err := recode[apitype.AlarmRule](rule.Definition)
	if err != nil {
		return out, fmt.Errorf("api: show alarm rule: %w", err)
	}
	out.ID, out.Project, out.Name, out.Enabled, out.Revision = strconv.FormatInt(rule.ID, 10), rule.Project, rule.Name, rule.Enabled, rule.Revision
	out.CreatedAt, out.UpdatedAt = rule.Created, rule.Updated
	if out.Channels == nil {
		out.Channels = []string{}
	}
	return out, nil
}

// alarmRule finds an alarm rule that the caller may know of.
func (s *server) alarmRule(ctx context.Context, text string) (*alarm.Rule, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, alarm.ErrRuleNotFound
	}
	rule, err := s.Alarms.Rule(ctx, id)
	if err != nil {
		return nil, err
	}
	if within := account.From(ctx).Within(); within != "" && rule.Project != within {
		return nil, alarm.ErrRuleNotFound
	}
	requestOf(ctx).place = rule.Project
	return rule, nil
}

func (s *server) GetAlarmRule(ctx context.Context, r apitype.GetAlarmRuleRequestObject) (apitype.GetAlarmRuleResponseObject, error) {
	rule, err := s.alarmRule(ctx, r.AlarmRuleID)
	if err != nil {
		return nil, err
	}
	out, err := alarmRuleOf(rule)
	return apitype.GetAlarmRule200JSONResponse(out), err
}

func (s *server) UpdateAlarmRule(ctx context.Context, r apitype.UpdateAlarmRuleRequestObject) (apitype.UpdateAlarmRuleResponseObject, error) {
	rule, err := s.alarmRule(ctx, r.AlarmRuleID)
	if err != nil {
		return nil, err
	}
	d, err := definitionOf(r.Body)
	if err != nil {
		return nil, err
	}
	rule, err = s.Alarms.UpdateRule(ctx, rule.ID, r.Body.Name, r.Body.Enabled == nil || *r.Body.Enabled, d, ifRevision(ctx))
	if err != nil {
		return nil, err
	}
	out, err := alarmRuleOf(rule)
	return apitype.UpdateAlarmRule200JSONResponse(out), err
}

func (s *server) DeleteAlarmRule(ctx context.Context, r apitype.DeleteAlarmRuleRequestObject) (apitype.DeleteAlarmRuleResponseObject, error) {
	rule, err := s.alarmRule(ctx, r.AlarmRuleID)
	if err == nil {
		err = s.Alarms.DeleteRule(ctx, rule.ID)
	}
	if err != nil {
		return nil, err
	}
	return apitype.DeleteAlarmRule204Response{}, nil
}

func (s *server) ListAlarmChannels(ctx context.Context, r apitype.ListAlarmChannelsRequestObject) (apitype.ListAlarmChannelsResponseObject, error) {
	p := r.Params
	q, err := listQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.Alarms.SearchChannels(ctx, account.From(ctx).Within(), q)
	if err != nil {
		return nil, err
	}
	out := apitype.ListAlarmChannels200JSONResponse{Items: make([]apitype.AlarmChannel, len(list)), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}
	for i, c := range list {
		out.Items[i] = channelOf(c)
	}
	return out, nil
}

func channelOf(c *alarm.Channel) apitype.AlarmChannel {
	return apitype.AlarmChannel{ID: strconv.FormatInt(c.ID, 10), Project: c.Project, Name: c.Name, Kind: c.Kind, Config: c.Config, Secrets: append([]string{}, c.Secrets...),
		Failures: c.Failures, LastError: plain(c.LastError), LastErrorAt: c.LastErrorAt, SentAt: c.SentAt, Revision: c.Revision, CreatedAt: c.Created, UpdatedAt: c.Updated}
}

func (s *server) CreateAlarmChannel(ctx context.Context, r apitype.CreateAlarmChannelRequestObject) (apitype.CreateAlarmChannelResponseObject, error) {
	c, err := s.Alarms.CreateChannel(ctx, account.From(ctx).Project, r.Body.Name, r.Body.Kind, r.Body.Config)
	if err != nil {
		return nil, err
	}
	return apitype.CreateAlarmChannel201JSONResponse(channelOf(c)), nil
}

// channel finds an alarm channel that the caller may know of.
func (s *server) channel(ctx context.Context, text string) (*alarm.Channel, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, alarm.ErrChannelNotFound
	}
	c, err := s.Alarms.Channel(ctx, id)
	if err != nil {
		return nil, err
	}
	if within := account.From(ctx).Within(); within != "" && c.Project != within {
		return nil, alarm.ErrChannelNotFound
	}
	requestOf(ctx).place = c.Project
	return c, nil
}

func (s *server) GetAlarmChannel(ctx context.Context, r apitype.GetAlarmChannelRequestObject) (apitype.GetAlarmChannelResponseObject, error) {
	c, err := s.channel(ctx, r.ChannelID)
	if err != nil {
		return nil, err
	}
	return apitype.GetAlarmChannel200JSONResponse(channelOf(c)), nil
}

func (s *server) UpdateAlarmChannel(ctx context.Context, r apitype.UpdateAlarmChannelRequestObject) (apitype.UpdateAlarmChannelResponseObject, error) {
	c, err := s.channel(ctx, r.ChannelID)
	if err == nil {
		c, err = s.Alarms.UpdateChannel(ctx, c.ID, r.Body.Name, r.Body.Config, ifRevision(ctx))
	}
	if err != nil {
		return nil, err
	}
	return apitype.UpdateAlarmChannel200JSONResponse(channelOf(c)), nil
}

func (s *server) DeleteAlarmChannel(ctx context.Context, r apitype.DeleteAlarmChannelRequestObject) (apitype.DeleteAlarmChannelResponseObject, error) {
	c, err := s.channel(ctx, r.ChannelID)
	if err == nil {
		err = s.Alarms.DeleteChannel(ctx, c.ID)
	}
	if err != nil {
		return nil, err
	}
	return apitype.DeleteAlarmChannel204Response{}, nil
}

func (s *server) TestAlarmChannel(ctx context.Context, r apitype.TestAlarmChannelRequestObject) (apitype.TestAlarmChannelResponseObject, error) {
	c, err := s.channel(ctx, r.ChannelID)
	if err != nil {
		return nil, err
	}
	took, failure, err := s.Alarms.Test(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	out := apitype.TestAlarmChannel200JSONResponse{Ok: failure == nil, TookMillis: took.Milliseconds()}
	if failure != nil {
		out.Error = plain(failure.Error())
	}
	return out, nil
}
