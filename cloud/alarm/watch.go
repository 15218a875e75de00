package alarm

import (
	"context"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// set are the rules that judge.
type set struct {
	rules    map[int64]*Rule
	property map[string][]*Rule // by product
	presence map[string][]*Rule
	metric   []*Rule
}

// load reads the rules that judge.
func (a *Alarms) load(ctx context.Context) error {
	a.loads.Lock()
	defer a.loads.Unlock()
	list, err := a.readRules(ctx, `WHERE enabled = 1 ORDER BY id`)
	if err != nil {
		return err
	}
	s := &set{rules: make(map[int64]*Rule), property: make(map[string][]*Rule), presence: make(map[string][]*Rule)}
	for _, r := range list {
		s.rules[r.ID] = r
		switch r.Condition.Kind {
		case OnProperty:
			s.property[r.Condition.Product] = append(s.property[r.Condition.Product], r)
		case OnPresence:
			s.presence[r.Condition.Product] = append(s.presence[r.Condition.Product], r)
		default:
			s.metric = append(s.metric, r)
		}
	}
	a.active.reading()
	states, err := a.readActive(ctx)
	if err != nil {
		return err
	}
	a.active.replace(states)
	a.set.Store(s)
	return nil
}

// Listening implements uplink.Audience: it tells whether any rule wants to see messages.
func (a *Alarms) Listening() bool {
	s := a.set.Load()
	return len(s.property)+len(s.presence) > 0
}

var _ uplink.Audience = (*Alarms)(nil)

// Match judges a message that is about to be committed: a report of properties, or that a device has come or gone. It allocates only when
// something changes.
func (a *Alarms) Match(m *uplink.Message) {
	s := a.set.Load()
	switch m.Topic.Kind {
	case topic.PropertyPost:
		if rules := s.property[m.Device.Product]; rules != nil {
			a.report(m, rules)
		}
	case topic.DeviceStatus:
		a.status(m, s)
	}
}

// late is how much older than the message a value may be: what is handed in later says nothing of now.
const late = 5 * time.Minute

// report judges the properties of a report.
func (a *Alarms) report(m *uplink.Message, rules []*Rule) {
	root, err := m.Root()
	if err != nil {
		return
	}
	property := root.Get("Property")
	for _, r := range rules {
		if r.Condition.Device != "" && r.Condition.Device != m.Device.SN {
			continue
		}
		p := property.Get(r.path[0])
		if !p.Exists() {
			continue
		}
		v := p
		if p.Kind() == codec.Object && p.Get("Value").Exists() {
			v = p.Get("Value")
			if t, ok := p.Get("Time").Int(); ok && t > 0 && m.At.UnixMilli()-t > late.Milliseconds() {
				continue
			}
		}
		if len(r.path) > 1 {
			v = v.Path(r.path[1:]...)
		}
		was, waits := a.active.get(key{r.ID, m.Device})
		is, ok := r.open.value(v)
		stays, _ := r.clear.value(v)
		if !ok || !waits && (!is && was == quiet || stays && was == open || is && was == pending && !r.Debounce.counts()) {
			continue
		}
		a.later(m, judgement{rule: r.ID, by: &r.Condition, subject: subjectOf(m.Device), device: m.DeviceID, product: m.Device.Product, is: is, stays: stays,
			value: shown(v), at: m.At})
	}
}

// shownMost is how much of a value people are shown, bytes.
const shownMost = 200

// shown is the beginning of a value for people, in JSON; whole characters, as a store takes no others.
func shown(v codec.Value) string {
	b := v.AppendJSON(nil)
	return strings.ToValidUTF8(string(b[:min(len(b), shownMost)]), "")
}

// later judges when the message is committed.
func (a *Alarms) later(m *uplink.Message, j judgement) {
	k := j.key()
	a.active.expect(k)
	m.After(func(err error) {
		if err == nil {
			a.enqueue(j)
		} else {
			a.active.settled(k)
		}
	})
}

// enqueue has a judgement settled that is expected.
func (a *Alarms) enqueue(j judgement) {
	select {
	case a.queue <- j:
	default:
		a.metrics.lost.Inc()
		a.active.settled(j.key())
	}
}

// wait notes that a device has gone: when it is due and the device is still away, there is an alarm.
var wait = store.NewStmt(`INSERT INTO alarm_pending (rule, subject, product, device, since, due, bits, value) VALUES (?, ?, ?, ?, ?, ?, 1, '')
	ON CONFLICT (rule, subject) DO NOTHING`)

// status stages what follows of a device's coming or going.
func (a *Alarms) status(m *uplink.Message, s *set) {
	root, err := m.Root()
	if err != nil {
		return
	}
	online := isOnline(root)
	if online {
		if a.active.n.Load() > 0 {
			a.came(m, s)
		}
		return
	}
	for _, r := range s.presence[m.Device.Product] {
		if r.Condition.Device != "" && r.Condition.Device != m.Device.SN {
			continue
		}
		ms := m.At.UnixMilli()
		m.Stage(store.Op{Stmt: wait, Want: -1, Args: []any{r.ID, subjectOf(m.Device), m.Device.Product, m.DeviceID, ms, ms + max(r.Debounce.wait().Milliseconds(), 1)}})
		id, subject := r.ID, subjectOf(m.Device)
		m.After(func(err error) {
			if err != nil {
				return
			}
			if was, _ := a.active.get(key{id, m.Device}); was == quiet {
				a.is(id, subject, pending)
			}
		})
	}
}

// came has what waited for a device, or is open of it, looked at. An alarm on a gateway may be of its sub-devices' rule.
func (a *Alarms) came(m *uplink.Message, s *set) {
	for _, rules := range s.presence {
		for _, r := range rules {
			if was, waits := a.active.get(key{r.ID, m.Device}); was != quiet || waits {
				a.later(m, judgement{rule: r.ID, by: &r.Condition, subject: subjectOf(m.Device), device: m.DeviceID, product: m.Device.Product, at: m.At})
			}
		}
	}
}

// due is when a property's alarm opens if nothing changes; 0 when it is not by time.
func (r *Rule) due(at time.Time) int64 {
	if r.Debounce.counts() {
		return 0
	}
	return at.UnixMilli() + r.Debounce.wait().Milliseconds()
}
