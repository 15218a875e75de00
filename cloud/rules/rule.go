package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// MaxActions is how many actions a rule may have.
const MaxActions = 10

const (
	maxName        = 128
	maxDescription = 1024
	maxConfig      = 64 << 10
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("rules: no such rule")
	// ErrRevision is returned for a change under the condition of a revision that has passed.
	ErrRevision = errors.New("rules: it has been changed in the meantime: read it again")
	// ErrExists is returned for a name that another rule of the project has.
	ErrExists = errors.New("rules: a rule of that name exists already in the project")
)

// ErrInvalid is returned for a rule that cannot be used. Field is the name as the API has it. A fault of the query
// wraps the *rulesql.Error.
type ErrInvalid struct {
	Field, Reason string
	Err           error
}

func (e *ErrInvalid) Error() string { return fmt.Sprintf("rules: %s: %s", e.Field, e.Reason) }

func (e *ErrInvalid) Unwrap() error { return e.Err }

// Rule is an immutable snapshot.
type Rule struct {
	ID                int64
	Project           string // it sees the messages of this project's products alone
	Name, Description string
	SQL               string
	Enabled           bool
	Actions           []Action
	Revision          int64 // rises with each change
	Created, Updated  time.Time
}

// Action is what is done with a rule's outputs.
type Action struct {
	ID     int64 // 0 in a request: a new action
	Kind   string
	Config json.RawMessage // as the kind's Factory takes it
}

// NewRule is what Create needs.
type NewRule struct {
	Project           string // "" is registry.DefaultProject
	Name, Description string
	SQL               string
	Enabled           bool
	Actions           []Action
}

// Change changes the fields of a rule that are not nil. Actions replaces all of them: one with the ID of a present
// action keeps what waits for it, of the others that is dropped.
type Change struct {
	Name, Description, SQL *string
	Enabled                *bool
	Actions                *[]Action
	// IfRevision, when not nil, must be the rule's revision, else the answer is ErrRevision.
	IfRevision *int64
}

// dialect is what rules are written in; the column leaves room for another.
const dialect = 2

// validate checks what can be checked without the sinks.
func (r *Rule) validate() error {
	if n := utf8.RuneCountInString(r.Name); n == 0 || n > maxName || !utf8.ValidString(r.Name) {
		return &ErrInvalid{Field: "name", Reason: fmt.Sprintf("must have 1 to %d characters", maxName)}
	}
	if utf8.RuneCountInString(r.Description) > maxDescription || !utf8.ValidString(r.Description) {
		return &ErrInvalid{Field: "description", Reason: fmt.Sprintf("must have at most %d characters", maxDescription)}
	}
	if len(r.Actions) > MaxActions {
		return &ErrInvalid{Field: "actions", Reason: fmt.Sprintf("there may be at most %d", MaxActions)}
	}
	if r.Enabled && len(r.Actions) == 0 {
		return &ErrInvalid{Field: "actions", Reason: "a rule without an action does nothing: add one before enabling it"}
	}
	return nil
}

func compileSQL(sql string) (*rulesql.Program, error) {
	q, err := rulesql.Parse(sql)
	if err == nil {
		var p *rulesql.Program
		if p, err = rulesql.Compile(q); err == nil {
			return p, nil
		}
	}
	return nil, &ErrInvalid{Field: "sql", Reason: err.Error(), Err: err}
}

// sink makes the sink of an action.
func (r *Rules) sink(project string, i int, a Action) (Sink, error) {
	field := fmt.Sprintf("actions[%d]", i)
	factory := r.Deps.Kinds[a.Kind]
	if factory == nil {
		return nil, &ErrInvalid{Field: field + ".kind", Reason: fmt.Sprintf("%q is no kind of action that this hub has", a.Kind)}
	}
	if len(a.Config) > maxConfig {
		return nil, &ErrInvalid{Field: field + ".config", Reason: fmt.Sprintf("has more than %d bytes", maxConfig)}
	}
	s, err := factory(a.Config, Env{Publish: func(ctx context.Context, p Publication) error { return r.publish(ctx, project, p) }})
	if err != nil {
		return nil, &ErrInvalid{Field: field + ".config", Reason: err.Error(), Err: err}
	}
	return s, nil
}

// compile checks rule and makes it ready to be put in force. Actions that old has too keep their books and their queues.
// The new sinks come with it, in the order of the actions; nothing of old is changed yet.
func (r *Rules) compile(rule Rule, old *compiled) (*compiled, []Sink, error) {
	if err := rule.validate(); err != nil {
		return nil, nil, err
	}
	program, err := compileSQL(rule.SQL)
	if err != nil {
		return nil, nil, err
	}
	c := &compiled{Rule: rule, program: program, failed: new(atomic.Int64)}
	if old != nil {
		c.failed = old.failed
	}
	sinks := make([]Sink, len(rule.Actions))
	for i, a := range rule.Actions {
		if sinks[i], err = r.sink(rule.Project, i, a); err != nil {
			return nil, nil, err
		}
		c.actions = append(c.actions, r.actionFor(&rule, a, old))
	}
	return c, sinks, nil
}

// compileStored compiles a rule out of the store. What this program cannot use is logged and kept: a query does not
// match, a sink's records wait.
func (r *Rules) compileStored(rule Rule, old *compiled) *compiled {
	c := &compiled{Rule: rule, failed: new(atomic.Int64)}
	var err error
	if c.program, err = compileSQL(rule.SQL); err != nil {
		r.Deps.Log.Error("stored rule cannot be used", "rule", rule.Name, "err", err)
	}
	for i, a := range rule.Actions {
		s, err := r.sink(rule.Project, i, a)
		if err != nil {
			r.Deps.Log.Error("stored action cannot be used, its records wait", "rule", rule.Name, "action", a.ID, "err", err)
			s = broken{err}
		}
		act := r.actionFor(&rule, a, old)
		act.use(s)
		c.actions = append(c.actions, act)
	}
	return c
}

// actionFor returns old's action with the same id and kind, or a new one.
func (r *Rules) actionFor(rule *Rule, a Action, old *compiled) *action {
	if old != nil {
		for _, have := range old.actions {
			if have.id == a.ID && have.kind == a.Kind {
				return have
			}
		}
	}
	act := &action{id: a.ID, kind: a.Kind, rule: rule.ID}
	act.ctx, act.end = context.WithCancel(context.Background())
	for i := range act.lanes {
		act.lanes[i] = lane{action: act, shard: r.shards[i]}
	}
	return act
}
