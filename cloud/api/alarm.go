package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/alarm"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

// Alarms is what the API needs of alarms.
type Alarms interface {
	Search(ctx context.Context, f alarm.Filter, q listing.Query) ([]*alarm.Alarm, listing.Page, error)
	Get(ctx context.Context, id int64) (*alarm.Alarm, error)
	Acknowledge(ctx context.Context, id int64, by string) (*alarm.Alarm, error)
	Clear(ctx context.Context, id int64, by string) (*alarm.Alarm, error)
	Changes(ctx context.Context, project string, ms, id int64, limit int) ([]*alarm.Alarm, error)
	Count(ctx context.Context, wanted func(project, product string) bool) (alarm.Counts, error)
	AlarmRules
	AlarmChannels
}

var _ Alarms = (*alarm.Alarms)(nil)

func (s *server) ListAlarms(ctx context.Context, r apitype.ListAlarmsRequestObject) (apitype.ListAlarmsResponseObject, error) {
	p := r.Params
	q, err := listQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	f, err := alarmFilter(p)
	if err != nil {
		return nil, err
	}
	f.Project = account.From(ctx).Within()
	list, page, err := s.Alarms.Search(ctx, f, q)
	if err != nil {
		return nil, err
	}
	out := apitype.ListAlarms200JSONResponse{Items: make([]apitype.Alarm, len(list)), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}
	for i, x := range list {
		out.Items[i] = alarmOf(x)
	}
	return out, nil
}

func alarmFilter(p apitype.ListAlarmsParams) (f alarm.Filter, err error) {
	f.Product, f.Device = deref(p.Product), deref(p.Device)
	if f.Device != "" && f.Product == "" {
		return f, invalid("device", "device: wants product too, a deviceSN is unique in its product only")
	}
	if p.Rule != nil {
		if f.Rule, err = strconv.ParseInt(*p.Rule, 10, 64); err != nil {
			return f, invalid("rule", "rule: is no id of an alarm rule")
		}
	}
	for _, state := range deref(p.State) {
		if !state.Valid() {
			return f, invalid("state", "state: there is no %q", string(state))
		}
		f.States = append(f.States, string(state))
	}
	for _, name := range deref(p.Severity) {
		severity, ok := alarm.ParseSeverity(string(name))
		if !ok {
			return f, invalid("severity", "severity: there is no %q", string(name))
		}
		f.Severities = append(f.Severities, severity)
	}
	return f, nil
}

// alarm finds an alarm that the caller may know of.
func (s *server) alarm(ctx context.Context, text string) (*alarm.Alarm, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, alarm.ErrNotFound
	}
	x, err := s.Alarms.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if within := account.From(ctx).Within(); within != "" && x.Project != within {
		return nil, alarm.ErrNotFound
	}
	requestOf(ctx).place = x.Project
	return x, nil
}

func (s *server) GetAlarm(ctx context.Context, r apitype.GetAlarmRequestObject) (apitype.GetAlarmResponseObject, error) {
	x, err := s.alarm(ctx, r.AlarmID)
	if err != nil {
		return nil, err
	}
	return apitype.GetAlarm200JSONResponse(alarmOf(x)), nil
}

func (s *server) AcknowledgeAlarm(ctx context.Context, r apitype.AcknowledgeAlarmRequestObject) (apitype.AcknowledgeAlarmResponseObject, error) {
	x, err := s.alarm(ctx, r.AlarmID)
	if err == nil {
		x, err = s.Alarms.Acknowledge(ctx, x.ID, callerOf(ctx))
	}
	if err != nil {
		return nil, err
	}
	return apitype.AcknowledgeAlarm200JSONResponse(alarmOf(x)), nil
}

func (s *server) ClearAlarm(ctx context.Context, r apitype.ClearAlarmRequestObject) (apitype.ClearAlarmResponseObject, error) {
	x, err := s.alarm(ctx, r.AlarmID)
	if err == nil {
		x, err = s.Alarms.Clear(ctx, x.ID, callerOf(ctx))
	}
	if err != nil {
		return nil, err
	}
	return apitype.ClearAlarm200JSONResponse(alarmOf(x)), nil
}

func alarmOf(x *alarm.Alarm) apitype.Alarm {
	return apitype.Alarm{ID: strconv.FormatInt(x.ID, 10), RuleID: strconv.FormatInt(x.Rule, 10), RuleName: x.RuleName, Project: x.Project, ProductSN: x.Product,
		DeviceSN: x.Device, Severity: apitype.AlarmSeverity(x.Severity.String()), State: apitype.AlarmState(x.State()), Text: x.Text, Value: x.Value, Seen: x.Seen,
		OpenedAt: x.Opened, AcknowledgedAt: x.Acknowledged, AcknowledgedBy: x.AcknowledgedBy, ClearedAt: x.Cleared, ClearedBy: x.Cleaner,
		ChangedAt: time.UnixMilli(x.Changed).UTC()}
}

// openAlarms counts the alarms that the caller may see.
func (s *server) openAlarms(ctx context.Context) (apitype.OverviewAlarms, error) {
	p := account.From(ctx)
	c, err := s.Alarms.Count(ctx, func(project, product string) bool {
		if product == "" {
			return p.Products == nil && (p.Everywhere || project == p.Project)
		}
		return p.Sees(project, product, account.AlarmRead)
	})
	return apitype.OverviewAlarms{Open: c.Open, Acknowledged: c.Acknowledged, Critical: c.BySeverity[alarm.Critical], Major: c.BySeverity[alarm.Major],
		Minor: c.BySeverity[alarm.Minor], Warning: c.BySeverity[alarm.Warning]}, err
}

func (s *server) StreamAlarms(ctx context.Context, r apitype.StreamAlarmsRequestObject) (apitype.StreamAlarmsResponseObject, error) {
	e := &alarmStream{server: s, ctx: ctx, project: account.From(ctx).Within(), ms: time.Now().UnixMilli()}
	if last := deref(r.Params.LastEventID); last != "" {
		ms, id, _ := strings.Cut(last, "-")
		var err1, err2 error
		e.ms, err1 = strconv.ParseInt(ms, 10, 64)
		e.id, err2 = strconv.ParseInt(id, 10, 64)
		if err1 != nil || err2 != nil {
			return nil, invalid("Last-Event-ID", "Last-Event-ID: is no id of an event")
		}
	}
	return e, nil
}

// alarmStream is an answer that lasts until the client goes or the hub stops. It asks the store again and again, so that it has the alarms
// of all nodes and a client that comes back misses nothing.
type alarmStream struct {
	*server
	ctx     context.Context
	project string
	ms, id  int64 // of the last change that was sent
}

const (
	alarmPoll = time.Second
	alarmPage = 200
)

// VisitStreamAlarmsResponse writes the stream.
func (e *alarmStream) VisitStreamAlarmsResponse(w http.ResponseWriter) error {
	streamHead(w)
	err := send(w, []byte(": connected\n\n"))
	for beat := time.Now(); err == nil; {
		var list []*alarm.Alarm
		if list, err = e.Alarms.Changes(e.ctx, e.project, e.ms, e.id, alarmPage); err != nil {
			break
		}
		for _, x := range list {
			data, merr := json.Marshal(alarmOf(x))
			if merr != nil {
				return merr
			}
			if err = send(w, fmt.Appendf(nil, "id: %d-%d\nevent: alarm\ndata: %s\n\n", x.Changed, x.ID, data)); err != nil {
				break
			}
			e.ms, e.id = x.Changed, x.ID
		}
		if len(list) == 0 && time.Since(beat) > e.cfg.Heartbeat && err == nil {
			err, beat = send(w, []byte(":\n\n")), time.Now()
		}
		if err != nil || len(list) == alarmPage {
			continue
		}
		select {
		case <-e.ctx.Done():
			err = e.ctx.Err()
		case <-e.Feed.Done():
			e.metrics.streams.WithLabelValues("stopped").Inc()
			return nil
		case <-time.After(alarmPoll):
		}
	}
	e.metrics.streams.WithLabelValues("gone").Inc()
	return nil // there is nobody to tell
}
