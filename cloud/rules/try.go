package rules

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// Limits of what a trial shows; the limits of the evaluation are those that messages have at the door.
const (
	MaxTrialPayload   = 256 << 10 // bytes of the message, as at the door
	maxTrialResults   = 20
	maxTrialStatement = 16 << 10 // bytes of what an action would send
	maxTrials         = 2        // at a time, so that trying takes no more of a hub than that
)

// Stage is how far a message has come in a trial.
type Stage string

// The stages, in order. A message that ends at one is not for the rule, or the rule fails there.
const (
	StageTopic   Stage = "topic"   // FROM does not take its topic
	StageDecode  Stage = "decode"  // it is neither JSON nor CBOR
	StageWhere   Stage = "where"   // the condition is not true, or fails
	StageSelect  Stage = "select"  // the fields fail, or there are no results
	StageActions Stage = "actions" // it has results, and each action says what it would send
)

// Trial is a rule that is tried on messages. Nothing is stored, sent or connected to, and no counter moves.
type Trial struct {
	rules   *Rules
	rule    Rule
	program *rulesql.Program
	sinks   []Sink
}

// errTrial is what a sink gets that acts in a trial.
var errTrial = errors.New("rules: a trial sends nothing")

// NewTrial checks a rule, all but its name, and makes it ready to be tried. Close must be called.
func (r *Rules) NewTrial(rule Rule) (*Trial, error) {
	if rule.Project == "" {
		rule.Project = registry.DefaultProject
	}
	rule.DataType, rule.Dialect = cmp.Or(rule.DataType, JSON), cmp.Or(rule.Dialect, rulesql.Full)
	if len(rule.Actions) > MaxActions {
		return nil, &ErrInvalid{Field: "actions", Reason: fmt.Sprintf("there may be at most %d", MaxActions)}
	}
	if err := rule.validateType(); err != nil {
		return nil, err
	}
	program, err := r.program(&rule)
	if err != nil {
		return nil, err
	}
	t := &Trial{rules: r, rule: rule, program: program}
	env := Env{Binary: rule.DataType == Binary, Publish: func(context.Context, Publication) error { return errTrial },
		Connector: func(kind, id string) (Handle, error) {
			h, _, err := r.connector(rule.Project, kind, id)
			return h, err
		}}
	for _, p := range rule.parts() {
		env.Binary = rule.DataType == Binary && p.role != RoleError
		s, err := r.tried(env, p)
		switch {
		case err != nil:
			t.Close()
			return nil, err
		case p.role == RoleAction:
			t.sinks = append(t.sinks, s)
		default:
			_ = s.Close() // it has never been used; that it can be made is all that is asked
		}
	}
	return t, nil
}

// tried checks an action as it is when its rule is made, and returns its sink.
func (r *Rules) tried(env Env, p part) (Sink, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	return r.sinkWith(env, p.field, *p.Action)
}

// Close frees what the trial holds.
func (t *Trial) Close() {
	for _, s := range t.sinks {
		_ = s.Close() // it has never been used
	}
}

// Query is the rule's query. It must not be changed.
func (t *Trial) Query() *rulesql.Query { return t.program.Query() }

// Filter is the filter of FROM that takes a topic; ok is false when none does.
func (t *Trial) Filter(topicName string) (filter string, ok bool) {
	return filterOf(t.program.Filters(), topicName)
}

// filterOf is the first of filters that takes a topic.
func filterOf(filters []string, topicName string) (filter string, ok bool) {
	for _, f := range filters {
		if n := (*node)(nil).with(f, &compiled{}); len(n.find(topicName, nil)) > 0 {
			return f, true
		}
	}
	return "", false
}

// TrialMessage is what a rule is tried on.
type TrialMessage struct {
	ID      message.ID // 0: one is made up
	Device  ident.Device
	Topic   string
	Payload []byte
	QoS     byte
	Time    time.Time // zero: now
}

// Outcome is what a rule makes of a message, stage by stage.
type Outcome struct {
	Message TrialMessage
	Stage   Stage           // where it has ended
	Filter  string          // of FROM, that takes the topic
	Format  string          // json, cbor or binary
	Payload json.RawMessage // decoded; nil when it is bytes
	rulesql.Explanation
	Err   error // that ended it at Stage
	Shown []TrialResult
	More  int // results that are not shown
}

// TrialResult is one result of a rule and what its actions would do with it.
type TrialResult struct {
	Index   int // tells results of one message apart
	Value   []byte
	Actions []TrialAction
}

// TrialAction is what an action would do. It has one of Preview, Err and Note.
type TrialAction struct {
	ID      int64
	Kind    string
	Preview *Preview
	Cut     bool   // Preview's statement is longer than what is shown
	Err     error  // why it would be a dead letter, or wait
	Note    string // why nothing can be said
}

// Run tries the rule on a message. It returns an error only when ctx has ended.
func (t *Trial) Run(ctx context.Context, m TrialMessage) (*Outcome, error) {
	select {
	case t.rules.trying <- struct{}{}:
		defer func() { <-t.rules.trying }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if m.Time.IsZero() {
		m.Time = t.rules.now()
	}
	if m.ID == 0 {
		m.ID = message.FirstID(m.Time)
	}
	o := &Outcome{Message: m}
	var ok bool
	if o.Filter, ok = t.Filter(m.Topic); !ok {
		o.Stage = StageTopic
		return o, nil
	}
	env := rulesql.Env{Device: m.Device, Topic: m.Topic, MessageID: m.ID, QoS: m.QoS, Time: m.Time, Raw: m.Payload}
	if t.rule.DataType == Binary {
		o.Format = "binary"
	} else {
		doc, err := codec.Decode(m.Payload, codec.DefaultLimits())
		if err != nil {
			o.Stage, o.Err = StageDecode, err
			return o, nil
		}
		defer doc.Release()
		env.Payload = doc.Root()
		o.Format, o.Payload = strings.ToLower(doc.Format().String()), doc.Root().AppendJSON(nil)
	}
	o.Explanation = t.program.Explain(&env)
	t.settle(o)
	return o, nil
}

// settle says where the message has ended, and what the actions make of its results.
func (t *Trial) settle(o *Outcome) {
	o.Err = o.Explanation.Err
	switch {
	case !o.Matched:
		o.Stage = StageWhere
		return
	case o.Err != nil, len(o.Results) == 0:
		o.Stage = StageSelect
		return
	}
	o.Stage = StageActions
	for i, value := range o.Results {
		if i == maxTrialResults {
			o.More = len(o.Results) - i
			break
		}
		rec := Record{MessageID: o.Message.ID, Index: rowIndex(0, o.Indexes[i]), Device: o.Message.Device, Topic: o.Message.Topic,
			Time: o.Message.Time, Result: value}
		result := TrialResult{Index: rec.Index, Value: value}
		for j, s := range t.sinks {
			rec.Action = t.rule.Actions[j].ID
			result.Actions = append(result.Actions, preview(t.rule.Actions[j], s, &rec))
		}
		o.Shown = append(o.Shown, result)
	}
}

func preview(a Action, s Sink, rec *Record) TrialAction {
	out := TrialAction{ID: a.ID, Kind: a.Kind}
	teller, ok := s.(Previewer)
	if !ok {
		out.Note = "actions of this kind cannot tell what they would send"
		return out
	}
	p, err := teller.Preview(rec)
	if err != nil {
		out.Err = err
		return out
	}
	if len(p.Statement) > maxTrialStatement {
		p.Statement, out.Cut = strings.ToValidUTF8(p.Statement[:maxTrialStatement], ""), true
	}
	out.Preview = &p
	return out
}
