package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// key is a rule and a device.
type key struct {
	rule int64
	dev  ident.Device
}

// state is what a node knows of a rule and a device.
type state byte

const (
	quiet   state = iota
	pending       // it may become an alarm
	open
)

// active are the rules and devices that are not quiet, on all nodes as far as this one has heard.
type active struct {
	n       atomic.Int64 // of states and waiting: nobody looks while it is 0
	mu      sync.RWMutex // guards the fields below
	states  map[key]state
	waiting map[key]int   // judgements that are not settled yet, of this node
	news    map[key]state // what was put while the states are read anew; nil when they are not
}

func newActive() *active { return &active{states: map[key]state{}, waiting: map[key]int{}} }

// get tells what is known of k, and whether judgements of it wait. What is known then is about to be another, so that the next report is judged
// whatever it says.
func (x *active) get(k key) (s state, waits bool) {
	if x.n.Load() == 0 {
		return quiet, false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.states[k], x.waiting[k] > 0
}

func (x *active) put(k key, s state) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.putLocked(k, s)
	if x.news != nil {
		x.news[k] = s
	}
	x.n.Store(int64(len(x.states) + len(x.waiting)))
}

func (x *active) putLocked(k key, s state) {
	if s == quiet {
		delete(x.states, k)
	} else {
		x.states[k] = s
	}
}

// expect notes that a judgement of k is on its way, settled that it has come to an end.
func (x *active) expect(k key) { x.wait(k, 1) }

func (x *active) settled(k key) { x.wait(k, -1) }

func (x *active) wait(k key, by int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := x.waiting[k] + by; n > 0 {
		x.waiting[k] = n
	} else {
		delete(x.waiting, k)
	}
	x.n.Store(int64(len(x.states) + len(x.waiting)))
}

// reading is called before the states are read from the store, replace with what was found there: what was put meanwhile is newer.
func (x *active) reading() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.news = map[key]state{}
}

func (x *active) replace(states map[key]state) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.states = states
	for k, s := range x.news {
		x.putLocked(k, s)
	}
	x.news = nil
	x.n.Store(int64(len(x.states) + len(x.waiting)))
}

// maxActive bounds what a node knows of.
const maxActive = 500_000

func (a *Alarms) readActive(ctx context.Context) (states map[key]state, err error) {
	rows, err := a.Store.Query(ctx, `SELECT rule, subject, 1 FROM alarm_pending WHERE subject <> '' UNION ALL
		SELECT rule, subject, 2 FROM alarm WHERE cleared_at = 0 AND subject <> '' LIMIT ?`, maxActive)
	if err != nil {
		return nil, fmt.Errorf("alarm: read what is open: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	states = make(map[key]state)
	for rows.Next() {
		var k key
		var subject string
		var s int
		if err := rows.Scan(&k.rule, &subject, &s); err != nil {
			return nil, err
		}
		k.dev = deviceOf(subject)
		states[k] = max(states[k], state(s))
	}
	return states, nil
}

func subjectOf(dev ident.Device) string {
	if dev.SN == "" {
		return ""
	}
	return dev.Product + "/" + dev.SN
}

func deviceOf(subject string) ident.Device {
	product, sn, _ := strings.Cut(subject, "/")
	return ident.Device{Product: product, SN: sn}
}

// note is what nodes tell each other.
type note struct {
	Rules   bool   `json:"rules,omitempty"` // they have changed
	Rule    int64  `json:"rule,omitempty"`
	Subject string `json:"subject,omitempty"`
	State   state  `json:"state,omitempty"`
}

func (a *Alarms) tell(n note) {
	if a.cfg.Alone {
		return
	}
	b, err := json.Marshal(n)
	if err == nil {
		err = a.Bus.Publish(changedSubject, b)
	}
	if err != nil {
		a.Log.Debug("other nodes not told of an alarm's change; they see it within seconds", "err", err)
	}
}

func (a *Alarms) heard(ctx context.Context, b []byte) {
	var n note
	if json.Unmarshal(b, &n) != nil {
		return
	}
	if !n.Rules {
		a.active.put(key{n.Rule, deviceOf(n.Subject)}, n.State)
		return
	}
	if err := a.load(ctx); err != nil && ctx.Err() == nil {
		a.Log.Warn("alarm rules not read again; it is tried within seconds", "err", err)
	}
}

// is notes what has become of a rule and subject, here and elsewhere.
func (a *Alarms) is(rule int64, subject string, s state) {
	if subject != "" {
		a.active.put(key{rule, deviceOf(subject)}, s)
		a.tell(note{Rule: rule, Subject: subject, State: s})
	}
}
