package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/messagelog"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/ident"
)

func (s *server) ListDeadLetters(ctx context.Context, r apitype.ListDeadLettersRequestObject) (apitype.ListDeadLettersResponseObject, error) {
	p := r.Params
	page, err := pageOf(p.Limit, nil)
	if err != nil {
		return nil, err
	}
	if page.Limit == 0 {
		page.Limit = registry.DefaultLimit
	}
	after, err := numberCursor(p.Cursor)
	if err != nil {
		return nil, err
	}
	f, err := deadFilter(ctx, deref(p.RuleID), deref(p.ActionID), deref(p.ProductSN), deref(p.DeviceSN), deref(p.Since), deref(p.Until))
	if err != nil {
		return nil, err
	}
	list, err := s.Rules.DeadLetters(ctx, f, after, page.Limit)
	if err != nil {
		return nil, err
	}
	out := apitype.ListDeadLetters200JSONResponse{Items: make([]apitype.DeadLetter, len(list))}
	for i := range list {
		out.Items[i] = deadLetterOf(&list[i])
	}
	if len(list) == page.Limit {
		out.NextCursor = numberCursorOf(list[len(list)-1].ID)
	}
	return out, nil
}

func (s *server) GetDeadLetter(ctx context.Context, r apitype.GetDeadLetterRequestObject) (apitype.GetDeadLetterResponseObject, error) {
	id, err := letterID(r.LetterID)
	if err != nil {
		return nil, err
	}
	d, err := s.Rules.DeadLetter(ctx, account.From(ctx).Within(), id)
	if err != nil {
		return nil, err
	}
	out := deadLetterOf(&d)
	m, err := s.madeOf(ctx, &d)
	if err != nil {
		return nil, err
	}
	if m != nil {
		out.Message = apitype.DeadLetterMessage{Base64Payload: base64.StdEncoding.EncodeToString(m.Payload), Size: m.Size, Qos: int(m.QoS),
			Truncated: m.Truncated, Masked: m.Masked}
	}
	return apitype.GetDeadLetter200JSONResponse(out), nil
}

// madeOf is the message that a dead letter's result was made of; nil when the message log does not have it, or not any longer, or the
// caller may not read it there.
func (s *server) madeOf(ctx context.Context, d *rules.DeadLetter) (*messagelog.Record, error) {
	page, err := s.Messages.Message(ctx, d.TraceID)
	if err != nil {
		return nil, err
	}
	visible := s.messageVisible(ctx)
	for i := range page.Records {
		if r := &page.Records[i]; r.Kind == messagelog.KindUplink && r.Topic == d.Topic && visible(r) {
			return r, nil
		}
	}
	return nil, nil
}

// wholeMessage is what madeOf returns, when it is there as it was sent.
func (s *server) wholeMessage(ctx context.Context, d *rules.DeadLetter, field string) (*messagelog.Record, error) {
	m, err := s.madeOf(ctx, d)
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, errNoMessage
	case m.Truncated:
		return nil, invalid(field, "%s: the message log has only the beginning of the message that the dead letter was made of", field)
	case m.Masked:
		return nil, invalid(field, "%s: the message log has the message that the dead letter was made of without its secrets", field)
	}
	return m, nil
}

func (s *server) ReplayDeadLetter(ctx context.Context, r apitype.ReplayDeadLetterRequestObject) (apitype.ReplayDeadLetterResponseObject, error) {
	id, err := letterID(r.LetterID)
	if err != nil {
		return nil, err
	}
	project := account.From(ctx).Within()
	if r.Params.Evaluate {
		return apitype.ReplayDeadLetter204Response{}, s.remake(ctx, project, id)
	}
	ids, _, err := s.Rules.Replay(ctx, rules.DeadFilter{Project: project, IDs: []int64{id}}, 0, 1)
	if err == nil && len(ids) == 0 {
		if _, err = s.Rules.DeadLetter(ctx, project, id); err == nil {
			err = invalid("letterID", "letterID: it is older than expiresSeconds of its action, which would drop it")
		}
	}
	if err != nil {
		return nil, err
	}
	return apitype.ReplayDeadLetter204Response{}, nil
}

// remake has a dead letter's rule look at its message again.
func (s *server) remake(ctx context.Context, project string, id int64) error {
	d, err := s.Rules.DeadLetter(ctx, project, id)
	if err != nil {
		return err
	}
	m, err := s.wholeMessage(ctx, &d, "evaluate")
	if err != nil {
		return err
	}
	err = s.Rules.Remake(ctx, project, id, m.Payload, m.QoS)
	if errors.Is(err, rules.ErrNotRemade) {
		return invalid("evaluate", "evaluate: %s", plain(err.Error()))
	}
	return err
}

func (s *server) DeleteDeadLetter(ctx context.Context, r apitype.DeleteDeadLetterRequestObject) (apitype.DeleteDeadLetterResponseObject, error) {
	id, err := letterID(r.LetterID)
	if err != nil {
		return nil, err
	}
	n, err := s.Rules.PurgeDead(ctx, rules.DeadFilter{Project: account.From(ctx).Within(), IDs: []int64{id}})
	if err == nil && n == 0 {
		err = rules.ErrNoDeadLetter
	}
	if err != nil {
		return nil, err
	}
	return apitype.DeleteDeadLetter204Response{}, nil
}

// KindReplay is the kind of job that has dead letters delivered again; its specification is a rules.DeadFilter.
const KindReplay = "dead-letter-replay"

func (s *server) ReplayDeadLetters(ctx context.Context, r apitype.ReplayDeadLettersRequestObject) (apitype.ReplayDeadLettersResponseObject, error) {
	b := r.Body
	f, err := deadFilter(ctx, b.RuleID, b.ActionID, b.ProductSN, b.DeviceSN, b.Since, b.Until)
	if err != nil {
		return nil, err
	}
	n := newJob(ctx, KindReplay, "", nil)
	if n.Spec, err = json.Marshal(f); err != nil {
		return nil, err
	}
	j, err := s.Jobs.Create(ctx, n)
	if err != nil {
		return nil, err
	}
	return apitype.ReplayDeadLetters202JSONResponse(jobOf(j)), nil
}

func (s *server) PurgeDeadLetters(ctx context.Context, r apitype.PurgeDeadLettersRequestObject) (apitype.PurgeDeadLettersResponseObject, error) {
	p := r.Params
	f, err := deadFilter(ctx, deref(p.RuleID), deref(p.ActionID), deref(p.ProductSN), deref(p.DeviceSN), deref(p.Since), deref(p.Until))
	if err != nil {
		return nil, err
	}
	if f.Rule == 0 && f.Action == 0 && f.Device.Product == "" && f.Since.IsZero() && f.Until.IsZero() {
		return nil, invalid("ruleID", "give one of the filters at least: without any, all dead letters of the project would be gone")
	}
	n, err := s.Rules.PurgeDead(ctx, f)
	if err != nil {
		return nil, err
	}
	return apitype.PurgeDeadLetters200JSONResponse{Deleted: n}, nil
}

// deadFilter is what a caller may see of the dead letters that the members choose. Ids that are none choose nothing.
func deadFilter(ctx context.Context, rule, action, product, device string, since, until time.Time) (f rules.DeadFilter, err error) {
	f = rules.DeadFilter{Project: account.From(ctx).Within(), Device: ident.Device{Product: product, SN: device}, Since: since, Until: until}
	if device != "" && product == "" {
		return f, invalid("productSN", "productSN: is missing: deviceSN alone names no device")
	}
	for name, id := range map[string]struct {
		text string
		dst  *int64
	}{"ruleID": {rule, &f.Rule}, "actionID": {action, &f.Action}} {
		if id.text == "" {
			continue
		}
		if *id.dst, err = strconv.ParseInt(id.text, 10, 64); err != nil || *id.dst <= 0 {
			return f, invalid(name, "%s: %q is no id", name, id.text)
		}
	}
	return f, nil
}

func letterID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, rules.ErrNoDeadLetter
	}
	return id, nil
}

func deadLetterOf(d *rules.DeadLetter) apitype.DeadLetter {
	out := apitype.DeadLetter{ID: strconv.FormatInt(d.ID, 10), FailedAt: d.Failed, RuleName: d.RuleName, RuleID: d.RuleID, ActionID: d.ActionID,
		ActionKind: d.ActionKind, Topic: d.Topic, TraceID: d.TraceID.String(), Key: d.Key, ClientID: d.ClientID, ProductSN: d.ProductSN,
		DeviceSN: d.DeviceSN, Time: d.Time, Base64Payload: base64.StdEncoding.EncodeToString(d.Payload), PayloadIs: d.PayloadIs,
		Attempts: d.Attempts, Failures: make([]apitype.DeadLetterFailure, len(d.Failures))}
	for i, f := range d.Failures {
		out.Failures[i] = apitype.DeadLetterFailure{Time: f.At, Error: f.Error}
	}
	return out
}
