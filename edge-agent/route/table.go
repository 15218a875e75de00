package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/conf"
	"github.com/hawser-iot/hawser/protocol/cron"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/rulesql"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Source is where messages come from.
type Source int

// The sources.
const (
	FromSubdevice Source = iota // what sub-devices, and applications in their name, send up
	FromCloud                   // what comes down for sub-devices and the gateway
	FromLocal                   // topics below local/: of applications, timers and other routes
	sources
)

var sourceNames = map[string]Source{"subdevice": FromSubdevice, "cloud": FromCloud, "local": FromLocal}

// Where is a kind of target.
type Where int

// The kinds of targets.
const (
	ToCloud     Where = iota // the topic is one that its device may publish to
	ToSubdevice              // the topic is one that its device may be subscribed to
	ToLocal                  // the topic begins with local/
)

// Limits of a table.
const (
	MaxRoutes  = 200
	MaxTargets = 10
	MaxTimers  = 100
	MaxFile    = 1 << 20 // bytes
	minEvery   = 100 * time.Millisecond
)

// Target is where a route's results go.
type Target struct {
	Where Where
	Topic string // may hold ${product} and ${device}, of the message's device
	QoS   byte
	// Stream is the stream of the buffer that results for the cloud go into; "" is that of the topic.
	Stream string
}

// Route takes messages of a source that its rule matches.
type Route struct {
	Name    string
	From    Source
	To      []Target
	Consume bool // what matches does not go the way that it would go without routes

	program *rulesql.Program
	warned  atomic.Bool // of a sub-device that takes nothing
	counters
}

// counters are those of a Stats.
type counters struct{ matched, failed, sent, waiting, undelivered atomic.Int64 }

// ended counts how a result ended.
func (c *counters) ended(err error) {
	if err != nil {
		c.undelivered.Add(1)
		return
	}
	c.sent.Add(1)
}

// Timer makes messages on local/timer/NAME.
type Timer struct {
	Name    string
	Every   time.Duration // 0: at Cron
	Cron    cron.Times
	Payload []byte
}

// Table is the routes and timers of a file. It does not change but for its counters.
type Table struct {
	Routes []*Route
	Timers []Timer

	bySource [sources][]*Route
}

// Fault is what is wrong with a file, and where: lines and columns count from 1.
type Fault struct {
	Line, Column int
	Reason       string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, f.Reason)
}

func at(n *conf.Node, format string, args ...any) error {
	return &Fault{n.Line, n.Column, fmt.Sprintf(format, args...)}
}

// Parse reads and checks a file of routes, in YAML. The error is a *Fault where there is a place to name.
func Parse(b []byte, cfg Config, shadow bool) (*Table, error) {
	if len(b) > MaxFile {
		return nil, fmt.Errorf("route: the file has more than %d bytes", MaxFile)
	}
	doc, err := conf.Parse(b)
	if wrong := new(conf.Error); errors.As(err, &wrong) {
		return nil, &Fault{wrong.Line, wrong.Column, wrong.Reason}
	}
	if err != nil {
		return nil, err
	}
	t := &Table{}
	if doc.Null() {
		return t, nil
	}
	r := reader{lines: strings.Split(string(b), "\n"), cfg: cfg}
	if shadow {
		r.owner.Shadow = func(*rulesql.Env) (any, error) { return nil, errors.New("the shadow is not known here") }
	}
	return t, r.table(doc, t)
}

// compile makes the program of a rule for a router; Parse has compiled it before.
func (t *Table) bind(owner rulesql.Owner) error {
	for _, r := range t.Routes {
		p, err := rulesql.Compile(r.program.Query(), rulesql.Options{Owner: owner})
		if err != nil {
			return fmt.Errorf("route %s: %w", r.Name, err)
		}
		r.program = p
	}
	return nil
}

// reader reads a file's nodes.
type reader struct {
	lines []string
	cfg   Config
	owner rulesql.Owner
}

// members returns the values of a mapping, each key once and known.
func members(n *conf.Node, known ...string) (map[string]*conf.Node, error) {
	if n.Kind != conf.Map {
		return nil, at(n, "want a mapping with %s", strings.Join(known, ", "))
	}
	m := make(map[string]*conf.Node)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if !slices.Contains(known, k.Value) {
			return nil, at(k, "unknown key %q; known are %s", k.Value, strings.Join(known, ", "))
		}
		if m[k.Value] != nil {
			return nil, at(k, "%s is there twice", k.Value)
		}
		m[k.Value] = n.Content[i+1]
	}
	return m, nil
}

func (r *reader) table(n *conf.Node, t *Table) error {
	m, err := members(n, "routes", "timers")
	if err != nil {
		return err
	}
	err = each(m["routes"], MaxRoutes, func(n *conf.Node) error {
		route, err := r.route(n)
		if err != nil {
			return err
		}
		for _, other := range t.Routes {
			if other.Name == route.Name {
				return at(n, "route %s is there twice", route.Name)
			}
		}
		t.Routes = append(t.Routes, route)
		t.bySource[route.From] = append(t.bySource[route.From], route)
		return nil
	})
	if err != nil {
		return err
	}
	return each(m["timers"], MaxTimers, func(n *conf.Node) error {
		timer, err := r.timer(n)
		t.Timers = append(t.Timers, timer)
		return err
	})
}

// each reads the elements of a list, which may be absent.
func each(n *conf.Node, most int, read func(*conf.Node) error) error {
	switch {
	case n == nil || n.Null():
		return nil
	case n.Kind != conf.List:
		return at(n, "want a list")
	case len(n.Content) > most:
		return at(n.Content[most], "more than %d", most)
	}
	for _, c := range n.Content {
		if err := read(c); err != nil {
			return err
		}
	}
	return nil
}

// text reads a scalar that must be there.
func text(parent *conf.Node, m map[string]*conf.Node, key string) (string, *conf.Node, error) {
	n := m[key]
	if n == nil {
		return "", nil, at(parent, "%s is missing", key)
	}
	if n.Kind != conf.Scalar || n.Value == "" {
		return "", nil, at(n, "%s: want a text", key)
	}
	return n.Value, n, nil
}

func name(parent *conf.Node, m map[string]*conf.Node) (string, error) {
	s, n, err := text(parent, m, "name")
	if err != nil {
		return "", err
	}
	if !ident.IsWord(s) || len(s) > 64 {
		return "", at(n, "name: want 1 to 64 characters of A-Z a-z 0-9 _ @ : -")
	}
	return s, nil
}

func (r *reader) route(n *conf.Node) (*Route, error) {
	m, err := members(n, "name", "from", "sql", "to", "consume")
	if err != nil {
		return nil, err
	}
	route := &Route{}
	if route.Name, err = name(n, m); err != nil {
		return nil, err
	}
	if f := m["from"]; f != nil {
		var ok bool
		if route.From, ok = sourceNames[f.Value]; !ok {
			return nil, at(f, "from: %q is none of subdevice, cloud, local", f.Value)
		}
	}
	if c := m["consume"]; c != nil {
		if err := c.Decode(&route.Consume); err != nil {
			return nil, at(c, "consume: want true or false")
		}
	}
	if route.program, err = r.program(n, m); err != nil {
		return nil, err
	}
	err = each(m["to"], MaxTargets, func(n *conf.Node) error {
		to, err := r.target(n)
		route.To = append(route.To, to)
		return err
	})
	if err == nil && len(route.To) == 0 && !route.Consume {
		err = at(n, "route %s has no effect: name targets in to, or set consume", route.Name)
	}
	return route, err
}

// program compiles the rule; what is wrong in it is told with its place in the file.
func (r *reader) program(parent *conf.Node, m map[string]*conf.Node) (*rulesql.Program, error) {
	sql, n, err := text(parent, m, "sql")
	if err != nil {
		return nil, err
	}
	q, err := rulesql.Parse(sql, rulesql.Full)
	var p *rulesql.Program
	if err == nil {
		p, err = rulesql.Compile(q, rulesql.Options{Owner: r.owner})
	}
	if err == nil {
		return p, nil
	}
	var e *rulesql.Error
	if !errors.As(err, &e) {
		return nil, at(n, "sql: %s", err)
	}
	f := &Fault{Line: n.Line, Column: n.Column, Reason: "sql: " + e.Reason}
	if e.Hint != "" {
		f.Reason += " (" + e.Hint + ")"
	}
	r.place(f, n, e)
	return nil, f
}

// place moves a fault to where it stands in the text of a scalar. In folded and in quoted text of several lines it stays at its beginning.
func (r *reader) place(f *Fault, n *conf.Node, e *rulesql.Error) {
	switch {
	case n.Style == conf.Literal && n.Line+e.Line-1 < len(r.lines):
		first := r.lines[n.Line]
		f.Line = n.Line + e.Line
		f.Column = len(first) - len(strings.TrimLeft(first, " ")) + e.Column
	case n.Style != conf.Folded && e.Line == 1:
		f.Column = n.Column + e.Column - 1
		if n.Style == conf.Quoted {
			f.Column++
		}
	}
}

func (r *reader) target(n *conf.Node) (Target, error) {
	m, err := members(n, "cloud", "subdevice", "local", "qos", "stream")
	if err != nil {
		return Target{}, err
	}
	to, kinds := Target{QoS: 1}, 0
	var place *conf.Node
	for i, key := range []string{"cloud", "subdevice", "local"} {
		if m[key] != nil {
			to.Where, to.Topic, place = Where(i), m[key].Value, m[key]
			kinds++
		}
	}
	if kinds != 1 {
		return to, at(n, "want one of cloud, subdevice, local with a topic")
	}
	if q := m["qos"]; q != nil {
		if q.Value != "0" && q.Value != "1" {
			return to, at(q, "qos: want 0 or 1")
		}
		to.QoS = q.Value[0] - '0'
	}
	if s := m["stream"]; s != nil {
		switch to.Stream = s.Value; {
		case to.Where != ToCloud:
			return to, at(s, "stream: only what goes to the cloud has one")
		case !slices.Contains(r.cfg.Streams, to.Stream):
			return to, at(s, "stream: %q is none of the buffer's: %s", to.Stream, strings.Join(r.cfg.Streams, ", "))
		}
	}
	if err := r.checkTarget(to); err != nil {
		return to, at(place, "%s: %s", to.Topic, err)
	}
	return to, nil
}

// sample stands for the device of a message when a target is checked.
var sample = ident.Device{Product: "abcdefgh01234567", SN: "device"}

func (r *reader) checkTarget(to Target) error {
	name := to.name(sample)
	if to.Where == ToLocal {
		if !strings.HasPrefix(name, LocalPrefix) {
			return errors.New("want a topic that begins with local/")
		}
		return topic.ValidName(name)
	}
	t, err := topic.Parse(name)
	switch {
	case err != nil:
		return err
	case to.Where == ToCloud && (t.Kind.Direction()&topic.Pub == 0 || t.Kind.GatewayOnly()):
		return fmt.Errorf("a device does not publish %s", t.Kind)
	case to.Where == ToSubdevice && t.Kind.Direction()&topic.Sub == 0:
		return fmt.Errorf("a device does not receive %s", t.Kind)
	case to.Where == ToSubdevice && t.Device == r.cfg.Own:
		return errors.New("that is the gateway itself; use local")
	}
	return nil
}

func (r *reader) timer(n *conf.Node) (Timer, error) {
	m, err := members(n, "name", "every", "cron", "payload")
	if err != nil {
		return Timer{}, err
	}
	t := Timer{}
	if t.Name, err = name(n, m); err != nil {
		return t, err
	}
	if p := m["payload"]; p != nil {
		t.Payload = []byte(p.Value)
	}
	switch every, when := m["every"], m["cron"]; {
	case (every == nil) == (when == nil):
		return t, at(n, "want one of every, cron")
	case every != nil:
		if t.Every, err = time.ParseDuration(every.Value); err != nil || t.Every < minEvery {
			return t, at(every, "every: want a duration such as 30s, %s or more", minEvery)
		}
	default:
		if t.Cron, err = cron.Parse(when.Value); err != nil {
			return t, at(when, "cron: %s", err)
		}
	}
	return t, nil
}
