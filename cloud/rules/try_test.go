package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// teller is a sink that can tell what it would send, and must not be asked for more.
type teller struct {
	t    *testing.T
	env  Env
	text string
}

func (s *teller) Send(context.Context, []Record) error { s.t.Error("sent"); return nil }
func (*teller) MaxBatch() int                          { return 1 }
func (*teller) Linger() time.Duration                  { return 0 }
func (*teller) Close() error                           { return nil }

func (s *teller) Preview(r *Record) (Preview, error) {
	if err := s.env.Publish(s.t.Context(), Publication{}); err == nil {
		s.t.Error("a trial has published")
	}
	switch s.text {
	case "wrong":
		return Preview{}, fmt.Errorf("%w: no place for it", ErrPermanent)
	case "long":
		return Preview{Statement: strings.Repeat("ä", maxTrialStatement)}, nil
	}
	return Preview{Target: "there", Statement: r.Key() + " " + string(r.Result)}, nil
}

// tried are rules that can do nothing but try: what a trial would touch is not there.
func tried(t *testing.T) *Rules {
	r := newRig(t, storetest.SQLite(t)).rules
	r.Deps.Kinds["teller"] = func(config json.RawMessage, env Env) (Sink, error) {
		var c struct{ Text string }
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, err
		}
		return &teller{t, env, c.Text}, nil
	}
	r.Deps.Store, r.Deps.Registry, r.Deps.Sender, r.Deps.IDs, r.outbox = nil, nil, nil, nil, nil
	return r
}

var tryDevice = ident.Device{Product: "0123456789abcdef", SN: "dev1"}

func try(t *testing.T, r *Rules, rule Rule, topicName, payload string) *Outcome {
	t.Helper()
	trial, err := r.NewTrial(rule)
	if err != nil {
		t.Fatalf("NewTrial: %v", err)
	}
	defer trial.Close()
	o, err := trial.Run(t.Context(), TrialMessage{Device: tryDevice, Topic: topicName, Payload: []byte(payload), Time: time.UnixMilli(1_700_000_000_000)})
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return o
}

func TestTryStages(t *testing.T) {
	r := tried(t)
	const upload = "/0123456789abcdef/dev1/upload"
	const sql = `SELECT t, deviceSN() AS d FROM '/+/+/upload', '/+/+/raw' WHERE t > 30 AND room LIKE 'a%'`
	tests := []struct {
		name, sql, topic, payload string
		stage                     Stage
		shows                     string // somewhere in what is told
	}{
		{"another topic", sql, "/0123456789abcdef/dev1/other", `{}`, StageTopic, ""},
		{"not JSON", sql, upload, `{"t":`, StageDecode, "JSON"},
		{"condition", sql, upload, `{"t":31,"room":"cellar"}`, StageWhere, `'a%'  false`},
		{"missing", sql, upload, `{"room":"attic"}`, StageWhere, "t  missing"},
		{"all of it", sql, upload, `{"t":31,"room":"attic"}`, StageActions, `"t":31,"d":"dev1"`},
		{"all of CBOR", sql, "/0123456789abcdef/dev1/raw", "\xa2at\x18\x1fdroomeattic", StageActions, `"t":31`},
		{"a fault", `SELECT * , 1 AS one FROM '/+/+/upload'`, upload, `[1]`, StageSelect, "object"},
		{"no results", `FOREACH list DO item AS i INCASE item > 5 FROM '/+/+/upload'`, upload, `{"list":[1,2]}`, StageSelect, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := try(t, r, Rule{SQL: tt.sql, Actions: []Action{{ID: 7, Kind: "teller", Config: json.RawMessage(`{}`)}}}, tt.topic, tt.payload)
			told := fmt.Sprintf("%v %s", o.Err, o.Results)
			if o.Where != nil {
				told += "\n" + o.Where.String()
			}
			if o.Stage != tt.stage || !strings.Contains(told, tt.shows) {
				t.Errorf("ended at %s, want %s with %q:\n%s", o.Stage, tt.stage, tt.shows, told)
			}
			if (o.Stage == StageActions) != (len(o.Shown) > 0) {
				t.Errorf("%d results are shown", len(o.Shown))
			}
		})
	}
}

func TestTryActions(t *testing.T) {
	r := tried(t)
	rule := Rule{SQL: `SELECT t FROM '/+/+/upload'`, Actions: []Action{
		{ID: 7, Kind: "teller", Config: json.RawMessage(`{}`)},
		{ID: 8, Kind: "teller", Config: json.RawMessage(`{"text":"wrong"}`)},
		{Kind: "teller", Config: json.RawMessage(`{"text":"long"}`)},
		{Kind: "target", Config: json.RawMessage(`{"name":"a"}`)}}}
	o := try(t, r, rule, "/0123456789abcdef/dev1/upload", `{"t":31}`)
	if len(o.Shown) != 1 || len(o.Shown[0].Actions) != 4 {
		t.Fatalf("shown %+v", o.Shown)
	}
	a := o.Shown[0].Actions
	if p := a[0].Preview; p == nil || p.Statement != o.Message.ID.String()+`:7 {"t":31}` || p.Target != "there" {
		t.Errorf("the first would send %+v", p)
	}
	if !errors.Is(a[1].Err, ErrPermanent) || a[1].Preview != nil {
		t.Errorf("the second: %+v", a[1])
	}
	if !a[2].Cut || len(a[2].Preview.Statement) > maxTrialStatement {
		t.Errorf("the third is not cut: %d bytes", len(a[2].Preview.Statement))
	}
	if a[3].Note == "" || a[3].Kind != "target" {
		t.Errorf("the fourth: %+v", a[3])
	}
}

func TestTryShowsABoundedNumberOfResults(t *testing.T) {
	r := tried(t)
	list := strings.TrimSuffix(strings.Repeat("1,", 50), ",")
	o := try(t, r, Rule{SQL: `FOREACH list DO item AS i FROM '/+/+/upload'`}, "/0123456789abcdef/dev1/upload", `{"list":[`+list+`]}`)
	if len(o.Shown) != maxTrialResults || o.More != 50-maxTrialResults || o.Shown[1].Index == o.Shown[0].Index {
		t.Errorf("%d results are shown, %d are more", len(o.Shown), o.More)
	}
}

func TestTryRefuses(t *testing.T) {
	r := tried(t)
	for field, rule := range map[string]Rule{
		"sql":               {SQL: `SELECT FROM x`},
		"dialect":           {SQL: `SELECT * FROM '/+/+/upload'`, Dialect: 7},
		"dataType":          {SQL: `SELECT * FROM '/+/+/upload'`, DataType: "xml"},
		"actions[0].kind":   {SQL: `SELECT * FROM '/+/+/upload'`, Actions: []Action{{Kind: "fax"}}},
		"actions[1].config": {SQL: `SELECT * FROM '/+/+/upload'`, Actions: []Action{{Kind: "teller", Config: json.RawMessage(`{}`)}, {Kind: "teller", Config: json.RawMessage(`7`)}}},
		"actions":           {SQL: `SELECT * FROM '/+/+/upload'`, Actions: make([]Action, MaxActions+1)},
	} {
		_, err := r.NewTrial(rule)
		if e, ok := errors.AsType[*ErrInvalid](err); !ok || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	o := try(t, r, Rule{SQL: `SELECT * FROM '/0123456789abcdef/+/upload'`, DataType: Binary}, "/0123456789abcdef/dev1/upload", "\xff\x00")
	if o.Stage != StageActions || o.Format != "binary" || string(o.Shown[0].Value) != "\xff\x00" {
		t.Errorf("bytes: %+v", o)
	}
}

// A trial waits for its turn no longer than its caller.
func TestTryWaitsItsTurn(t *testing.T) {
	r := tried(t)
	for range maxTrials {
		r.trying <- struct{}{}
	}
	trial, err := r.NewTrial(Rule{SQL: `SELECT * FROM /+/+/upload`, Dialect: rulesql.Stock})
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := trial.Run(ctx, TrialMessage{Topic: "/p/d/upload"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestTryChecksDelivery: a trial refuses what the rule would be refused for.
func TestTryChecksDelivery(t *testing.T) {
	r := tried(t)
	action := func(config string) Action { return Action{Kind: "teller", Config: json.RawMessage(config)} }
	with := func(change func(*Action)) []Action {
		a := action(`{}`)
		change(&a)
		return []Action{a}
	}
	nested, bad := action(`{}`), action(`{`)
	nested.Fallback = &bad
	for field, rule := range map[string]Rule{
		"actions[0].whenFull":          {Actions: with(func(a *Action) { a.Options.WhenFull = "drop" })},
		"actions[0].batch.count":       {Actions: with(func(a *Action) { a.Options.Batch.Count = -1 })},
		"actions[0].fallback.config":   {Actions: with(func(a *Action) { a.Fallback = &bad })},
		"actions[0].fallback.fallback": {Actions: with(func(a *Action) { a.Fallback = &nested })},
		"errorAction.config":           {ErrorAction: &bad},
		"errorAction.fallback":         {ErrorAction: &nested},
	} {
		rule.SQL = `SELECT t FROM /+/+/upload`
		_, err := r.NewTrial(rule)
		if e, ok := errors.AsType[*ErrInvalid](err); !ok || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
