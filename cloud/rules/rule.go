package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	DataType          DataType
	Dialect           rulesql.Dialect
	Enabled           bool
	Actions           []Action
	// ErrorAction gets an Envelope of each record that another action of the rule gives up; nil: nobody is told.
	ErrorAction      *Action
	Revision         int64 // rises with each change
	Created, Updated time.Time
}

// Action is what is done with a rule's outputs.
type Action struct {
	ID     int64 // 0 in a request: a new action
	Kind   string
	Config json.RawMessage // as the kind's Factory takes it
	// Options are for every kind. Fallback gets the records that this action gives up, instead of the dead letters; it has none
	// itself, nor has an error action: what they give up is a dead letter.
	Options  Options
	Fallback *Action

	connector int64 // the one that its sink asked for; 0 is none
}

// NewRule is what Create needs.
type NewRule struct {
	Project           string // "" is registry.DefaultProject
	Name, Description string
	SQL               string
	DataType          DataType        // "" is JSON
	Dialect           rulesql.Dialect // 0 is rulesql.Full
	Enabled           bool
	Actions           []Action
	ErrorAction       *Action
}

// Change changes the fields of a rule that are not nil. Actions replaces all of them: one with the ID of a present
// action keeps what waits for it, of the others that is dropped. So does ErrorAction, which may become nil.
type Change struct {
	Name, Description, SQL *string
	DataType               *DataType
	Dialect                *rulesql.Dialect
	Enabled                *bool
	Actions                *[]Action
	ErrorAction            **Action
	// IfRevision, when not nil, must be the rule's revision, else the answer is ErrRevision.
	IfRevision *int64
}

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
	return r.validateType()
}

// service makes the sink of a part of a rule, and notes which connector it uses. What the error action gets is JSON, whatever the rule's
// messages are.
func (r *Rules) service(rule *Rule, p part) (*service, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	project, a := rule.Project, p.Action // sinks outlive the rule as it is now
	a.connector = 0
	s, err := r.sinkWith(Env{
		Binary:  rule.DataType == Binary && p.role != RoleError,
		Publish: func(ctx context.Context, p Publication) error { return r.publish(ctx, project, p) },
		Connector: func(kind, id string) (h Handle, err error) {
			h, a.connector, err = r.connector(project, kind, id)
			return h, err
		},
	}, p.field, *a)
	if err != nil {
		return nil, err
	}
	return r.cfg.serve(s, p.Options), nil
}

// sinkWith makes the sink of an action. field is its name in the API.
func (r *Rules) sinkWith(env Env, field string, a Action) (Sink, error) {
	factory := r.Deps.Kinds[a.Kind]
	if factory == nil {
		return nil, &ErrInvalid{Field: field + ".kind", Reason: fmt.Sprintf("%q is no kind of action that this hub has", a.Kind)}
	}
	if len(a.Config) > maxConfig {
		return nil, &ErrInvalid{Field: field + ".config", Reason: fmt.Sprintf("has more than %d bytes", maxConfig)}
	}
	s, err := factory(a.Config, env)
	if err != nil {
		return nil, &ErrInvalid{Field: field + ".config", Reason: err.Error(), Err: err}
	}
	return s, nil
}

// part is an action of a rule, of whatever role.
type part struct {
	*Action
	role   Role
	field  string // its name in the API
	parent int    // of a fallback: the index of its action
}

// validate checks what does not depend on its kind.
func (p part) validate() error {
	if p.Fallback != nil && p.role != RoleAction {
		return &ErrInvalid{Field: p.field + ".fallback", Reason: "only an action of the rule itself can have one: what this one gives up is a dead letter"}
	}
	return p.Options.validate(p.field)
}

// parts are all actions of a rule.
func (r *Rule) parts() []part {
	var list []part
	for i := range r.Actions {
		field := fmt.Sprintf("actions[%d]", i)
		list = append(list, part{&r.Actions[i], RoleAction, field, 0})
		if f := r.Actions[i].Fallback; f != nil {
			list = append(list, part{f, RoleFallback, field + ".fallback", i})
		}
	}
	if r.ErrorAction != nil {
		list = append(list, part{r.ErrorAction, RoleError, "errorAction", 0})
	}
	return list
}

// ownParts gives the rule copies of its actions, and ids to those that are new: that have no id of an action of the same kind and role of
// old (nil: none).
func (r *Rule) ownParts(old *Rule, next func() int64) {
	r.Actions = slices.Clone(r.Actions)
	for i := range r.Actions {
		r.Actions[i].Fallback = clone(r.Actions[i].Fallback)
	}
	r.ErrorAction = clone(r.ErrorAction)
	var had []part
	if old != nil {
		had = old.parts()
	}
	for _, p := range r.parts() {
		if len(p.Config) == 0 {
			p.Config = json.RawMessage(`{}`)
		}
		if !slices.ContainsFunc(had, func(h part) bool { return h.ID == p.ID && h.Kind == p.Kind && h.role == p.role }) {
			p.ID = next()
		}
	}
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// add puts an action in its place.
func (c *compiled) add(p part, a *action) {
	switch p.role {
	case RoleFallback:
		if c.fallbacks == nil {
			c.fallbacks = make(map[int64]*action)
		}
		c.fallbacks[c.Actions[p.parent].ID] = a
	case RoleError:
		c.onError = a
	default:
		c.actions = append(c.actions, a)
	}
}

// compile checks rule and makes it ready to be put in force. Actions that old has too keep their books and their queues.
// The new sinks come with it, in the order of Rule.parts; nothing of old is changed yet.
func (r *Rules) compile(rule Rule, old *compiled) (*compiled, []*service, error) {
	if err := rule.validate(); err != nil {
		return nil, nil, err
	}
	program, err := r.program(&rule)
	if err != nil {
		return nil, nil, err
	}
	c := newCompiled(rule, program, old)
	var services []*service
	for _, p := range rule.parts() {
		v, err := r.service(&rule, p)
		if err != nil {
			return nil, nil, err
		}
		services = append(services, v)
		c.add(p, r.actionFor(&rule, p, old))
	}
	return c, services, nil
}

// compileStored compiles a rule out of the store. What this program cannot use is logged and kept: a query does not
// match, a sink's records wait.
func (r *Rules) compileStored(rule Rule, old *compiled) *compiled {
	program, err := r.program(&rule)
	if err != nil {
		r.Deps.Log.Error("stored rule cannot be used", "rule", rule.Name, "err", err)
	}
	c := newCompiled(rule, program, old)
	for _, p := range rule.parts() {
		v, err := r.service(&rule, p)
		if err != nil {
			r.Deps.Log.Error("stored action cannot be used, its records wait", "rule", rule.Name, "action", p.ID, "err", err)
			v = r.cfg.serve(broken{err}, p.Options)
		}
		act := r.actionFor(&rule, p, old)
		r.retire(act, act.use(v))
		c.add(p, act)
	}
	return c
}

// actionFor returns old's action with the same id and kind, or a new one.
func (r *Rules) actionFor(rule *Rule, p part, old *compiled) *action {
	if old != nil {
		for have := range old.all() {
			if have.id == p.ID && have.kind == p.Kind && have.role == p.role {
				return have
			}
		}
	}
	act := &action{id: p.ID, kind: p.Kind, rule: rule.ID, role: p.role}
	act.breaker.since = r.now()
	act.ctx, act.end = context.WithCancel(context.Background())
	for i := range act.lanes {
		act.lanes[i] = lane{action: act, shard: r.shards[i]}
	}
	return act
}
