package account

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func TestDiff(t *testing.T) {
	tests := []struct{ name, before, after, want string }{
		{"nothing", `{"a":1}`, `{"a":1}`, ``},
		{"no documents", ``, ``, ``},
		{"changed", `{"a":1,"b":{"c":"x","d":[1,2]}}`, `{"a":2,"b":{"c":"x","d":[1,3]}}`, `[{"path":"/a","before":1,"after":2},{"path":"/b/d","before":[1,2],"after":[1,3]}]`},
		{"come and gone", `{"a":1}`, `{"b":1}`, `[{"path":"/a","before":1},{"path":"/b","after":1}]`},
		{"made", ``, `{"name":"x"}`, `[{"path":"","after":{"name":"x"}}]`},
		{"deleted", `{"name":"x"}`, ``, `[{"path":"","before":{"name":"x"}}]`},
		{"odd names", `{"a/b":1,"c~d":1}`, `{}`, `[{"path":"/a~1b","before":1},{"path":"/c~0d","before":1}]`},
		{"big numbers", `{"a":9007199254740993}`, `{"a":9007199254740992}`, `[{"path":"/a","before":9007199254740993,"after":9007199254740992}]`},
		{"secrets", `{"deviceSecret":"s1","x":1}`, `{"deviceSecret":"s2","x":1}`, `[{"path":"/deviceSecret","before":"**redacted**","after":"**redacted**"}]`},
		{"deep secrets", ``, `{"items":[{"key":"hwk_1","name":"n"}],"actions":[{"kind":"http","url":"http://u:p@h","headers":{"X":"y"}}]}`,
			`[{"path":"","after":{"actions":[{"headers":"**redacted**","kind":"http","url":"**redacted**"}],"items":[{"key":"**redacted**","name":"n"}]}}]`},
		{"no secret", `{"hasPassword":false}`, `{"hasPassword":true}`, `[{"path":"/hasPassword","before":false,"after":true}]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Diff([]byte(tt.before), []byte(tt.after)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAudit(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		for i := range 6 {
			e := Entry{Project: "farm", Kind: KindUser, Actor: "u_1", ActorName: "ann", Operation: "updateRule", Object: fmt.Sprintf("/v1/rules/%d", i), Result: 200, Diff: `[]`}
			if i%2 == 1 {
				e.Project, e.Actor, e.ActorName, e.Result, e.Code = DefaultProject, "u_2", "bob", 403, "forbidden"
			}
			b.must(b.Record(ctx, e))
			b.clock = b.clock.Add(time.Hour)
		}
		start := time.UnixMilli(1_800_000_000_000)
		yes, no := true, false
		for name, tt := range map[string]struct {
			f    AuditFilter
			want string
		}{
			"all":      {AuditFilter{}, "543210"},
			"project":  {AuditFilter{Project: "farm"}, "420"},
			"actor":    {AuditFilter{Actor: "u_2"}, "531"},
			"object":   {AuditFilter{Object: "/v1/rules/3"}, "3"},
			"objects":  {AuditFilter{Object: "/v1/rules/"}, "543210"},
			"nothing":  {AuditFilter{Operation: "login"}, ""},
			"failed":   {AuditFilter{Failed: &yes}, "531"},
			"done":     {AuditFilter{Failed: &no}, "420"},
			"times":    {AuditFilter{Since: start.Add(time.Hour), Until: start.Add(3 * time.Hour)}, "21"},
			"name":     {AuditFilter{Actor: "ann"}, "420"},
			"nobody":   {AuditFilter{Actor: "u_"}, ""},
			"begins":   {AuditFilter{Operation: "update*"}, "543210"},
			"ends":     {AuditFilter{Operation: "*Rule"}, ""},
			"oldest":   {AuditFilter{Oldest: true, Project: DefaultProject}, "135"},
			"followed": {AuditFilter{Oldest: true, Answered: true, After: start.Add(2*time.Hour).UnixMilli()<<20 | 0xfffff}, "345"},
		} {
			tt.f.Limit = 10
			list, err := b.Audit(ctx, tt.f)
			b.must(err)
			got := ""
			for _, e := range list {
				got += strings.TrimPrefix(e.Object, "/v1/rules/")
			}
			if got != tt.want {
				t.Errorf("%s: %s, want %s", name, got, tt.want)
			}
		}
		page, err := b.Audit(ctx, AuditFilter{Limit: 4})
		b.must(err)
		rest, err := b.Audit(ctx, AuditFilter{Limit: 4, Before: page[3].ID})
		if err != nil || len(rest) != 2 || rest[1].Object != "/v1/rules/0" || rest[0].Actor != "u_2" || rest[0].Code != "forbidden" || !rest[1].At.Equal(start) {
			t.Errorf("the second page is %+v, %v", rest, err)
		}
	})
}

// A change and its entry are one transaction, whichever way the change goes into the store.
func TestAccompany(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		entry := Entry{Project: DefaultProject, Actor: "u_1", Operation: "createThing", Object: "/v1/things", Request: "r1", Diff: Asked([]byte(`{"name":"x","password":"p"}`))}
		list := func(f AuditFilter) []*Entry {
			t.Helper()
			f.Limit = 10
			list, err := b.Audit(t.Context(), f)
			b.must(err)
			return list
		}
		insert := store.NewStmt(`INSERT INTO project (id, name, created_at, updated_at) VALUES (?, ?, ?, 1)`)
		ways := map[string]func(ctx context.Context, id string, fail error) error{
			"Update": func(ctx context.Context, id string, fail error) error {
				return b.db.Update(ctx, func(tx *store.Tx) error {
					if _, err := tx.Exec(ctx, insert.String(), id, id, int64(1)); err != nil {
						return err
					}
					return fail
				})
			},
			"Do": func(ctx context.Context, id string, fail error) error {
				u := &store.Unit{Ops: []store.Op{insert.Op(id, id, int64(1))}}
				if fail != nil {
					u.Ops = append(u.Ops, store.NewStmt(`DELETE FROM project WHERE id = ?`).Guard("nobody"))
				}
				return b.db.Do(ctx, u)
			},
		}
		for way, change := range ways {
			id := strings.ToLower("p-" + way)
			there := func() (n int) {
				b.must(b.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM project WHERE id = ?`, id).Scan(&n))
				return n
			}
			ctx, pending := b.Accompany(t.Context(), func() *Entry { return &entry })
			if err := change(ctx, id, ErrNotFound); err == nil || there() != 0 || len(list(AuditFilter{})) != 0 || pending.Stored() {
				t.Errorf("%s: a change that was not made (%v) is there %d times, with entries %v", way, err, there(), list(AuditFilter{}))
			}
			b.must(change(ctx, id, nil))
			got := list(AuditFilter{})
			if !pending.Stored() || there() != 1 || len(got) != 1 || got[0].Result != 0 || got[0].Request != "r1" || !strings.Contains(got[0].Diff, `"after":{"name":"x","password":"**redacted**"}`) {
				t.Fatalf("%s: beside a change there is %+v", way, got)
			}
			b.must(b.db.Update(ctx, func(tx *store.Tx) error { // another one of the same request
				_, err := tx.Exec(ctx, `UPDATE project SET name = 'other' WHERE id = ?`, id)
				return err
			}))
			if n := len(list(AuditFilter{Oldest: true, Answered: true})); n != 0 {
				t.Errorf("%s: who follows the log gets %d entries of what has not been answered", way, n)
			}
			done := entry
			done.Result, done.Object, done.Diff, done.Pending = 201, "/v1/things/7", "", pending
			b.must(b.Record(t.Context(), done))
			if got := list(AuditFilter{}); len(got) != 1 || got[0].Result != 201 || got[0].Object != "/v1/things/7" || len(list(AuditFilter{Oldest: true, Answered: true})) != 1 {
				t.Errorf("%s: afterwards there is %+v", way, got)
			}
			b.must(b.db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `DELETE FROM audit`)
				return err
			}))
		}

		// The hub ends between the change and its answer.
		ctx, _ := b.Accompany(t.Context(), func() *Entry { return &entry })
		b.must(ways["Update"](ctx, "last", nil))
		b.clock = b.clock.Add(answerTime + time.Second)
		if got := list(AuditFilter{Oldest: true, Answered: true}); len(got) != 1 || got[0].Result != 0 {
			t.Errorf("what was never answered: %+v", got)
		}

		// Somebody for whom there is no entry, and one that another node's has the id of.
		ctx, pending := b.Accompany(t.Context(), func() *Entry { return nil })
		b.must(ways["Do"](ctx, "quiet", nil))
		if pending.Stored() || len(list(AuditFilter{})) != 1 {
			t.Error("a quiet change has an entry")
		}
		foreign := list(AuditFilter{})[0]
		pending.id.Store(foreign.ID)
		other := Entry{Operation: "other", Request: "r2", Result: 200, Pending: pending}
		b.must(b.Record(t.Context(), other))
		if got := list(AuditFilter{}); len(got) != 2 || got[1].ID != foreign.ID {
			t.Errorf("another request's entry: %+v", got)
		}
	})
}

func TestTrim(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.cfg.AuditAge, b.cfg.AuditRows = 24*time.Hour, 5
		for range 10 {
			b.must(b.Record(t.Context(), Entry{Operation: "x"}))
			b.clock = b.clock.Add(4 * time.Hour)
		}
		// The oldest four are older than a day; of the six others the count leaves five.
		if n, err := b.Trim(t.Context(), b.clock); err != nil || n != 5 {
			t.Errorf("Trim = %d, %v", n, err)
		}
		if n, err := b.Trim(t.Context(), b.clock); err != nil || n != 0 {
			t.Errorf("Trim again = %d, %v", n, err)
		}
		b.cfg.AuditAge, b.cfg.AuditRows = 0, 0
		if n, err := b.Trim(t.Context(), b.clock.AddDate(9, 0, 0)); err != nil || n != 0 {
			t.Errorf("Trim without bounds = %d, %v", n, err)
		}
	})
}

func TestLongDiffsAreLeftOut(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.must(b.Record(t.Context(), Entry{Operation: "x", Diff: strings.Repeat("x", maxDiff+1)}))
	list, err := b.Audit(t.Context(), AuditFilter{Limit: 1})
	if err != nil || !strings.Contains(list[0].Diff, "left out") {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestFlows(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		state, err := b.BeginFlow(ctx, Flow{Nonce: "n", Verifier: "v", Target: "/", Binding: Challenge("cookie")})
		b.must(err)
		if _, err := b.TakeFlow(ctx, state+"x"); err == nil {
			t.Error("a state that nobody began is taken")
		}
		f, err := b.other().TakeFlow(ctx, state)
		if err != nil || f.Nonce != "n" || f.Verifier != "v" || f.Target != "/" || string(f.Binding) != string(Challenge("cookie")) {
			t.Errorf("TakeFlow = %+v, %v", f, err)
		}
		_, err = b.TakeFlow(ctx, state)
		b.want("a state twice", err, ErrFlow)
		state, err = b.BeginFlow(ctx, Flow{Binding: []byte("b")})
		b.must(err)
		b.clock = b.clock.Add(flowLife)
		_, err = b.TakeFlow(ctx, state)
		b.want("an old state", err, ErrFlow)

		who := Claims{Issuer: "https://idp", Subject: "42", Email: "ann@example.com", Name: "Ann"}
		_, err = b.UserOf(ctx, who, AutoCreate{Project: DefaultProject})
		b.want("unknown", err, ErrUnknownSubject)
		b.user("ann@example.com", DefaultProject, RoleOwner) // has the name, and is somebody else
		id, err := b.UserOf(ctx, who, AutoCreate{Project: DefaultProject, Role: RoleViewer})
		b.must(err)
		u, err := b.User(ctx, id)
		if err != nil || u.Login == "ann@example.com" || u.HasPassword || u.Subject != "42" {
			t.Errorf("made %+v, %v", u, err)
		}
		if again, err := b.UserOf(ctx, who, AutoCreate{}); err != nil || again != id {
			t.Errorf("the second time %s, %v", again, err)
		}
		if other, err := b.UserOf(ctx, Claims{Issuer: "https://evil", Subject: "42"}, AutoCreate{Project: DefaultProject, Role: RoleViewer}); err != nil || other == id {
			t.Errorf("another issuer's 42 is %s, %v", other, err)
		}
		code, err := b.BeginCode(ctx, id, Challenge("verifier"))
		b.must(err)
		_, _, err = b.ExchangeCode(ctx, code, "guess", home)
		b.want("wrong verifier", err, ErrFlow)
		code, err = b.BeginCode(ctx, id, Challenge("verifier"))
		b.must(err)
		token, s, err := b.ExchangeCode(ctx, code, "verifier", home)
		b.must(err)
		if c := b.caller(token); c.ID != id || s.Method != MethodOIDC || !c.Home().May(DeviceRead) || c.Home().May(DeviceWrite) {
			t.Errorf("%+v", c.Identity)
		}
		_, _, err = b.ExchangeCode(ctx, code, "verifier", home)
		b.want("a code twice", err, ErrFlow)
		_, err = b.TakeFlow(ctx, code)
		b.want("a code as a state", err, ErrFlow)
	})
}
