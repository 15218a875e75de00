package alarm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// Severity is how bad an alarm is.
type Severity int

// The severities, the worst first.
const (
	Critical Severity = iota
	Major
	Minor
	Warning
)

var severities = []string{"critical", "major", "minor", "warning"}

func (s Severity) String() string { return severities[s] }

// ParseSeverity is the inverse of String.
func ParseSeverity(text string) (Severity, bool) {
	i := slices.Index(severities, text)
	return Severity(max(i, 0)), i >= 0
}

// Kinds of condition.
const (
	OnMetric   = "metric"
	OnProperty = "property"
	OnPresence = "presence"
	OnRule     = "rule"
)

// Condition says when there is an alarm.
//
// metric: Metric of the product, or of the project, over Window minutes, compared with Value. rule: the same of the rule Rule of cloud/rules.
// property: what a device of Product (of Device, if that is given) reports of Property, compared with Value. presence: a device of Product
// (of Device) is offline.
type Condition struct {
	Kind     string          `json:"kind"`
	Product  string          `json:"productSN,omitempty"`
	Device   string          `json:"deviceSN,omitempty"`
	Property string          `json:"property,omitempty"` // an identifier, and members of a structure after dots
	Metric   string          `json:"metric,omitempty"`
	Rule     string          `json:"rule,omitempty"`
	Window   int             `json:"windowMinutes,omitempty"`
	Op       string          `json:"op,omitempty"`    // > >= < <= == !=
	Value    json.RawMessage `json:"value,omitempty"` // a number, a string or a boolean
	// Clear is the value that an alarm is cleared at, where that is another one: temperature > 30 is over when it is not > 25.
	Clear json.RawMessage `json:"clearValue,omitempty"`
}

// same tells whether what was judged by another reading of the rule is judged alike.
func (c *Condition) same(o *Condition) bool { return c == o || reflect.DeepEqual(c, o) }

// Debounce says for how long, or how often, a condition must be true.
type Debounce struct {
	Seconds int `json:"seconds,omitempty"` // without a break
	Count   int `json:"count,omitempty"`   // of the last Of judgements: reports, or minutes
	Of      int `json:"of,omitempty"`
}

// by tells whether judgements are counted.
func (d Debounce) counts() bool { return d.Count > 1 }

// enough tells whether the last judgements make an alarm, over whether none of them is true any more.
func (d Debounce) enough(judged uint64) bool { return bits.OnesCount64(judged&d.mask()) >= d.Count }

func (d Debounce) over(judged uint64) bool { return judged&d.mask() == 0 }

func (d Debounce) mask() uint64 { return 1<<d.Of - 1 }

var ops = []string{">", ">=", "<", "<=", "==", "!="}

// limit is a compiled comparison.
type limit struct {
	op     string
	number float64
	text   string
	kind   byte // n, s, b
}

func newLimit(op string, raw json.RawMessage) (l limit, err error) {
	l.op = op
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return l, err
	}
	switch x := v.(type) {
	case float64:
		l.kind, l.number = 'n', x
	case string:
		l.kind, l.text = 's', x
	case bool:
		l.kind, l.text = 'b', strconv.FormatBool(x)
	default:
		return l, fmt.Errorf("is no number, string or boolean")
	}
	if l.kind != 'n' && op != "==" && op != "!=" {
		return l, fmt.Errorf("only numbers can be compared with %s", op)
	}
	return l, nil
}

func (l *limit) holds(order int) bool {
	switch l.op {
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case "==":
		return order == 0
	}
	return order != 0
}

// numbers compares a number.
func (l *limit) numbers(v float64) bool { return l.holds(cmp.Compare(v, l.number)) }

// value compares what a device reports; ok is false for a value of another kind. It allocates nothing.
func (l *limit) value(v codec.Value) (holds, ok bool) {
	switch l.kind {
	case 'n':
		f, isNumber := v.Float()
		return isNumber && l.numbers(f), isNumber
	case 's':
		s, isString := v.Str()
		return isString && l.holds(strings.Compare(s, l.text)), isString
	}
	b, isBool := v.Bool()
	return isBool && (b == (l.text == "true")) == (l.op == "=="), isBool
}

// check tells what is wrong with a definition, and compiles it.
func (c *Condition) check() (open, clear limit, err error) {
	bad := func(field, format string, args ...any) (limit, limit, error) {
		return open, clear, &ErrInvalid{"condition." + field, fmt.Sprintf(format, args...)}
	}
	needs := map[string][]string{OnMetric: {"metric"}, OnProperty: {"productSN", "property"}, OnPresence: {"productSN"}, OnRule: {"rule", "metric"}}[c.Kind]
	if needs == nil {
		return bad("kind", "%q is none of metric, property, presence, rule", c.Kind)
	}
	given := map[string]string{"metric": c.Metric, "productSN": c.Product, "property": c.Property, "rule": c.Rule}
	for _, field := range needs {
		if given[field] == "" {
			return bad(field, "is missing for a condition on a %s", c.Kind)
		}
	}
	if c.Device != "" && c.Product == "" {
		return bad("deviceSN", "wants productSN too")
	}
	if c.Kind == OnPresence {
		return limit{}, limit{}, nil
	}
	if !slices.Contains(ops, c.Op) {
		return bad("op", "%q is none of %s", c.Op, strings.Join(ops, " "))
	}
	if open, err = newLimit(c.Op, c.Value); err != nil {
		return bad("value", "%s", err)
	}
	clear = open
	if len(c.Clear) > 0 {
		if clear, err = newLimit(c.Op, c.Clear); err != nil || clear.kind != 'n' || open.kind != 'n' {
			return bad("clearValue", "must be a number, as value")
		}
		if (c.Op == ">" || c.Op == ">=") && clear.number > open.number || (c.Op == "<" || c.Op == "<=") && clear.number < open.number || c.Op == "==" || c.Op == "!=" {
			return bad("clearValue", "must be on the other side of value")
		}
	}
	if c.Kind != OnProperty {
		if c.Window == 0 {
			c.Window = 1
		}
		if c.Window < 1 || c.Window > 1440 {
			return bad("windowMinutes", "must be 1 to 1440")
		}
		if open.kind != 'n' {
			return bad("value", "must be a number")
		}
	}
	return open, clear, nil
}

func (d *Debounce) check() error {
	switch {
	case d.Seconds < 0 || d.Seconds > 7*86400:
		return &ErrInvalid{"debounce.seconds", "must be 0 to 604800"}
	case d.Seconds > 0 && d.Count > 0:
		return &ErrInvalid{"debounce", "is either seconds, or count of of"}
	case d.Count < 0 || d.Of < 0 || d.Of > 60 || d.Count > d.Of:
		return &ErrInvalid{"debounce.count", "must be at most of, which is at most 60"}
	}
	return nil
}

func (d Debounce) wait() time.Duration { return time.Duration(d.Seconds) * time.Second }

// text says in words what is so.
func (c *Condition) text(value string) string {
	switch c.Kind {
	case OnPresence:
		return "is offline"
	case OnProperty:
		return fmt.Sprintf("%s is %s (%s %s)", c.Property, value, c.Op, c.Value)
	}
	of := "the project"
	switch {
	case c.Kind == OnRule:
		of = "rule " + c.Rule
	case c.Product != "":
		of = "product " + c.Product
	}
	return fmt.Sprintf("%s of %s in %d min is %s (%s %s)", c.Metric, of, c.Window, value, c.Op, c.Value)
}
