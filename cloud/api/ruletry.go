package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/rulesql"
	"github.com/hawser-iot/hawser/protocol/topic"
)

const (
	defaultLive = 30 * time.Second
	maxLive     = 60 * time.Second // well within usualTime
	maxLives    = 16               // trials that wait for a message at a time; each makes the hub show all that go on
)

// TryRule tries a rule; nothing comes of it but the answer.
func (s *server) TryRule(ctx context.Context, r apitype.TryRuleRequestObject) (apitype.TryRuleResponseObject, error) {
	b := r.Body
	rule, err := s.ruleToTry(ctx, b)
	if err != nil {
		return nil, err
	}
	ways := 0
	for _, named := range []bool{b.Message.Topic != "", b.Live.ProductSN != "", b.LetterID != ""} {
		if named {
			ways++
		}
	}
	if ways != 1 {
		return nil, invalid("message", "message: there is a message, live with a productSN, or a letterID: one of them")
	}
	trial, err := s.Rules.NewTrial(rule)
	if err != nil {
		return nil, err
	}
	defer trial.Close()
	var m rules.TrialMessage
	switch {
	case b.Live.ProductSN != "":
		m, err = s.liveMessage(ctx, rule.Project, trial, &b.Live)
	case b.LetterID != "":
		m, err = s.letterMessage(ctx, rule.Project, b.LetterID)
	default:
		m, err = s.givenMessage(ctx, rule.Project, &b.Message)
	}
	if err != nil {
		return nil, err
	}
	o, err := trial.Run(ctx, m)
	if err != nil {
		return nil, err
	}
	return apitype.TryRule200JSONResponse(outcomeOf(o, trial)), nil
}

// ruleToTry is the stored rule or the draft that a request has.
func (s *server) ruleToTry(ctx context.Context, b *apitype.RuleTrial) (rules.Rule, error) {
	if (b.RuleID == "") == (b.SQL == "") {
		return rules.Rule{}, invalid("sql", "sql: there is a ruleID or a draft with sql: one of them")
	}
	if b.RuleID == "" {
		actions, err := actionsOf(b.Actions)
		if err != nil {
			return rules.Rule{}, err
		}
		onError, err := errorActionOf(b.ErrorAction)
		return rules.Rule{Project: account.From(ctx).Project, SQL: b.SQL, DataType: rules.DataType(b.DataType), Dialect: rulesql.Dialect(b.Dialect),
			Actions: actions, ErrorAction: onError}, err
	}
	if len(b.Actions) > 0 || b.ErrorAction != nil || b.DataType != "" || b.Dialect != 0 {
		return rules.Rule{}, invalid("ruleID", "ruleID: dataType, dialect and actions are those of the stored rule")
	}
	id, err := s.ruleID(ctx, b.RuleID)
	if err != nil {
		return rules.Rule{}, err
	}
	rule, err := s.Rules.Get(ctx, id)
	if err != nil {
		return rules.Rule{}, err
	}
	return *rule, nil
}

// givenMessage reads the message of a request. Whose it is must not be another project's: functions of the rule read shadows.
func (s *server) givenMessage(ctx context.Context, project string, b *apitype.TrialMessage) (rules.TrialMessage, error) {
	m := rules.TrialMessage{Device: ident.Device{Product: b.ProductSN, SN: b.DeviceSN}, Topic: b.Topic, Payload: []byte(b.Payload), QoS: byte(b.Qos)}
	if b.Payload != "" && b.PayloadBase64 != "" {
		return m, invalid("payload", "payload: there is payload or payloadBase64, not both")
	}
	if b.PayloadBase64 != "" {
		raw, err := base64.StdEncoding.DecodeString(b.PayloadBase64)
		if err != nil {
			return m, invalid("payloadBase64", "payloadBase64: is no base64")
		}
		m.Payload = raw
	}
	if len(m.Payload) > rules.MaxTrialPayload {
		return m, invalid("payload", "payload: has more than %d bytes, which no device can send", rules.MaxTrialPayload)
	}
	if t, err := topic.Parse(b.Topic); err == nil && m.Device == (ident.Device{}) {
		m.Device = t.Device
	}
	if m.Device.Product == "" {
		return m, nil
	}
	product, err := s.Products.Product(ctx, m.Device.Product)
	if errors.Is(err, registry.ErrProductNotFound) || err == nil && product.Project == project {
		return m, nil // one that is still to be made has nothing that could be read
	}
	if err == nil {
		err = registry.ErrProductNotFound
	}
	return m, err
}

// letterMessage is the message that a dead letter of the rule's project was made of.
func (s *server) letterMessage(ctx context.Context, project, letter string) (rules.TrialMessage, error) {
	id, err := letterID(letter)
	if err != nil {
		return rules.TrialMessage{}, err
	}
	d, err := s.Rules.DeadLetter(ctx, project, id)
	if err != nil {
		return rules.TrialMessage{}, err
	}
	m, err := s.wholeMessage(ctx, &d, "letterID")
	if err != nil {
		return rules.TrialMessage{}, err
	}
	return rules.TrialMessage{ID: d.TraceID, Device: ident.Device{Product: d.ProductSN, SN: d.DeviceSN}, Topic: d.Topic, Payload: m.Payload, QoS: m.QoS,
		Time: d.Time}, nil
}

// liveMessage waits for the next message that the rule's FROM takes.
func (s *server) liveMessage(ctx context.Context, project string, trial *rules.Trial, b *apitype.TrialLive) (rules.TrialMessage, error) {
	wait := defaultLive
	if b.TimeoutSeconds != 0 {
		wait = time.Duration(float64(b.TimeoutSeconds) * float64(time.Second))
	}
	if wait <= 0 || wait > maxLive {
		return rules.TrialMessage{}, invalid("live.timeoutSeconds", "live.timeoutSeconds: must be at most %d", int(maxLive.Seconds()))
	}
	product, err := s.Products.Product(ctx, b.ProductSN)
	if err == nil && (product.Project != project || !s.visible(ctx)(&monitor.Event{Product: b.ProductSN})) {
		err = registry.ErrProductNotFound
	}
	if err != nil {
		return rules.TrialMessage{}, err
	}
	if s.lives.Add(1) > maxLives {
		s.lives.Add(-1)
		return rules.TrialMessage{}, problem{status: http.StatusServiceUnavailable, code: "busy", detail: fmt.Sprintf("%d trials wait for messages already; try again", maxLives)}
	}
	defer s.lives.Add(-1)
	events, _, cancel := s.Feed.Resume(monitor.Filter{Product: b.ProductSN, Device: b.DeviceSN})
	defer cancel()
	end := time.NewTimer(wait)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return rules.TrialMessage{}, ctx.Err()
		case <-end.C:
			return rules.TrialMessage{}, problem{status: http.StatusGatewayTimeout, code: "no_message", detail: fmt.Sprintf("no message that the rule's FROM takes has come within %v", wait)}
		case ev, ok := <-events:
			if !ok {
				return rules.TrialMessage{}, problem{status: http.StatusServiceUnavailable, code: "unavailable", detail: "the hub is stopping"}
			}
			if _, takes := trial.Filter(ev.Topic); takes && ev.MessageID != 0 && ev.Type != monitor.TypeRule { // what goes down has no id
				return watchedMessage(&ev)
			}
		}
	}
}

// watchedMessage is the message that an event shows.
func watchedMessage(ev *monitor.Event) (rules.TrialMessage, error) {
	m := rules.TrialMessage{ID: ev.MessageID, Device: ident.Device{Product: ev.Product, SN: ev.Device}, Topic: ev.Topic, Time: ev.Time}
	if ev.Data == nil {
		return m, problem{status: http.StatusConflict, code: "hidden_message", detail: "a message has come whose content is not shown: it holds a secret"}
	}
	if ev.Type == monitor.TypePresence { // the hub's own message, without an envelope
		m.Payload = ev.Data
		return m, nil
	}
	var seen struct {
		QoS           byte            `json:"qos"`
		Payload       json.RawMessage `json:"payload"`
		PayloadBase64 []byte          `json:"payloadBase64"`
	}
	if err := json.Unmarshal(ev.Data, &seen); err != nil {
		return m, fmt.Errorf("api: read a message of the feed: %w", err)
	}
	m.QoS, m.Payload = seen.QoS, seen.PayloadBase64
	if seen.Payload != nil {
		m.Payload = seen.Payload
	}
	return m, nil
}

func outcomeOf(o *rules.Outcome, trial *rules.Trial) apitype.RuleOutcome {
	out := apitype.RuleOutcome{Stage: apitype.RuleOutcomeStage(o.Stage), Matched: o.Matched, Filter: o.Filter, Fields: termsOf(o.Fields),
		Faults: []apitype.TrialFault{}, Results: []apitype.TrialResult{}, MoreResults: o.More,
		Message: apitype.TriedMessage{MessageID: o.Message.ID.String(), ProductSN: o.Message.Device.Product, DeviceSN: o.Message.Device.SN,
			Topic: o.Message.Topic, Qos: int(o.Message.QoS), Time: o.Message.Time.UTC(), Size: len(o.Message.Payload), Format: o.Format, Payload: apitype.JSONValue(o.Payload)}}
	if o.Payload == nil {
		out.Message.PayloadBase64 = base64.StdEncoding.EncodeToString(o.Message.Payload)
	}
	if o.Where != nil {
		out.Where = termOf(*o.Where)
	}
	for _, n := range o.Notes {
		out.Faults = append(out.Faults, apitype.TrialFault{Kind: n.Kind.String(), Reason: n.Text})
	}
	if o.Err != nil {
		out.Error = faultOf(o.Err, trial)
	}
	for _, r := range o.Shown {
		out.Results = append(out.Results, resultOf(&r, o.Format == "binary"))
	}
	return out
}

// faultOf says what has ended a trial, and where in the SQL.
func faultOf(err error, trial *rules.Trial) apitype.TrialFault {
	out := apitype.TrialFault{Reason: plain(err.Error())}
	if e, ok := errors.AsType[*rulesql.EvalError](err); ok {
		out.Kind = e.Kind.String()
		out.Line, out.Column, _ = trial.Query().Position(e.Expr)
	}
	return out
}

func termsOf(list []rulesql.Term) []apitype.RuleTerm {
	var out []apitype.RuleTerm
	for _, t := range list {
		out = append(out, termOf(t))
	}
	return out
}

func termOf(t rulesql.Term) apitype.RuleTerm {
	return apitype.RuleTerm{Name: t.Name, Expr: t.Expr, Value: t.Value, Truth: t.Truth, Terms: termsOf(t.Terms)}
}

func resultOf(r *rules.TrialResult, binary bool) apitype.TrialResult {
	out := apitype.TrialResult{Index: int64(r.Index), Actions: []apitype.TrialAction{}}
	if binary {
		out.ValueBase64 = base64.StdEncoding.EncodeToString(r.Value)
	} else {
		out.Value = apitype.JSONValue(r.Value)
	}
	for _, a := range r.Actions {
		act := apitype.TrialAction{Kind: a.Kind, Note: a.Note, Truncated: a.Cut}
		if a.ID != 0 {
			act.ID = strconv.FormatInt(a.ID, 10)
		}
		if a.Err != nil {
			act.Error, act.WouldWait = plain(a.Err.Error()), !errors.Is(a.Err, rules.ErrPermanent)
		}
		if p := a.Preview; p != nil {
			act.Target, act.Statement, act.Headers = p.Target, p.Statement, p.Headers
			for _, arg := range p.Args {
				act.Args = append(act.Args, argOf(arg))
			}
		}
		out.Actions = append(out.Actions, act)
	}
	return out
}

// argOf is a bound parameter in JSON; bytes that are text are shown as such.
func argOf(arg any) apitype.JSONValue {
	if b, ok := arg.([]byte); ok && utf8.Valid(b) {
		arg = string(b)
	}
	b, err := json.Marshal(arg)
	if err != nil { // infinity, for instance
		b, _ = json.Marshal(fmt.Sprint(arg)) // a text always encodes
	}
	return b
}
