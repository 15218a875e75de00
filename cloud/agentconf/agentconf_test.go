package agentconf_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/agentconf"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

type ids struct{ n atomic.Uint64 }

func (i *ids) Next() message.ID { return message.ID(i.n.Add(1)) }

// world is Configs over a store, with a clock that is set.
type world struct {
	*agentconf.Configs
	t   *testing.T
	db  *store.DB
	key signing.PrivateKey
	now time.Time
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		key, err := signing.GenerateKey(nil)
		must(t, err)
		w := &world{t: t, db: db, key: key, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
		w.Configs = agentconf.New(agentconf.DefaultConfig(), agentconf.Deps{Store: db, IDs: &ids{}, Log: slog.New(slog.DiscardHandler),
			Key: func(context.Context) (signing.PrivateKey, error) { return key, nil }, Now: func() time.Time { return w.now }})
		f(t, w)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	gw     = ident.Device{Product: "70ly1tvowt696r15", SN: "gw-1"}
	device = agentconf.Target{Device: 7}
	grp    = agentconf.Target{Group: 3}
	prod   = agentconf.Target{Product: gw.Product}
)

func (w *world) set(t agentconf.Target, document string) *agentconf.Version {
	w.t.Helper()
	v, err := w.Set(w.t.Context(), t, agentconf.Change{Document: document, By: "key:1", Note: "n"})
	must(w.t, err)
	return v
}

// offer returns what is offered, nil when nothing is.
func (w *world) offer() *signing.Configuration {
	w.t.Helper()
	b, err := w.Offer(w.t.Context(), 7, gw)
	must(w.t, err)
	if b == nil {
		return nil
	}
	c, err := signing.VerifyConfiguration(b, []signing.PublicKey{w.key.Public()})
	must(w.t, err)
	return c
}

func (w *world) wants(version string) *signing.Configuration {
	w.t.Helper()
	c := w.offer()
	if c == nil || c.Version != version || c.Device != "70ly1tvowt696r15.gw-1" {
		w.t.Fatalf("offered is %+v, want %s", c, version)
	}
	return c
}

func (w *world) nothing(about string) {
	w.t.Helper()
	if c := w.offer(); c != nil {
		w.t.Errorf("%s: %s is offered", about, c.Version)
	}
}

// says has the agent tell of its configuration.
func (w *world) says(s agentmsg.ConfigState) {
	w.t.Helper()
	ops, err := w.Told(w.t.Context(), 7, s, w.now)
	must(w.t, err)
	if len(ops) > 0 {
		must(w.t, w.db.Do(w.t.Context(), &store.Unit{Ops: ops}))
	}
}

func (w *world) state() agentconf.State {
	w.t.Helper()
	s, err := w.State(w.t.Context(), 7, gw.Product)
	must(w.t, err)
	return s
}

// TestChangesAtOnce: of changes at the same moment each gets a version of its own, but those that want the one before find it gone.
func TestChangesAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.set(device, "log: {level: debug}\n").Revision
		for _, test := range []struct {
			about string
			only  *int64
			want  int
		}{{"any", nil, 8}, {"of the first", &first, 0}} {
			var wg sync.WaitGroup
			var made atomic.Int64
			for range 8 {
				wg.Go(func() {
					switch _, err := w.Set(t.Context(), device, agentconf.Change{Document: "log: {level: info}\n", IfRevision: test.only}); {
					case err == nil:
						made.Add(1)
					case test.only == nil || !errors.Is(err, agentconf.ErrRevision):
						t.Errorf("%s: %v", test.about, err)
					}
				})
			}
			wg.Wait()
			if made.Load() != int64(test.want) {
				t.Errorf("%s: %d changes were made, want %d", test.about, made.Load(), test.want)
			}
		}
		last, err := w.Get(t.Context(), device, 0)
		must(t, err)
		if last.Revision != 9 {
			t.Errorf("revision %d, want 9", last.Revision)
		}
	})
}

func TestVersions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if _, err := w.Get(t.Context(), device, 0); !errors.Is(err, agentconf.ErrNotFound) {
			t.Errorf("before there is one: %v", err)
		}
		v := w.set(device, "log: {level: debug}\n")
		if v.Name != "device/1" || v.Revision != 1 || v.By != "key:1" || v.Note != "n" || !v.At.Equal(w.now) {
			t.Errorf("%+v", v)
		}
		seen := v.Revision
		w.set(device, "log: {level: info}\n")
		if _, err := w.Set(t.Context(), device, agentconf.Change{Document: "a: 1", IfRevision: &seen}); !errors.Is(err, agentconf.ErrRevision) {
			t.Errorf("of a revision that is over: %v", err)
		}
		v, err := w.Set(t.Context(), device, agentconf.Change{Restore: 1})
		must(t, err)
		if v.Revision != 3 || !strings.Contains(v.Document, "debug") {
			t.Errorf("restored: %+v", v)
		}
		must(t, w.Remove(t.Context(), device, "key:2", nil))
		if _, err := w.Get(t.Context(), device, 0); !errors.Is(err, agentconf.ErrNotFound) {
			t.Errorf("behind its end: %v", err)
		}
		if err := w.Remove(t.Context(), device, "", nil); !errors.Is(err, agentconf.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
		for _, n := range []int64{4, 9} {
			if _, err := w.Set(t.Context(), device, agentconf.Change{Restore: n}); !errors.Is(err, agentconf.ErrVersionNotFound) {
				t.Errorf("restored %d: %v", n, err)
			}
		}
		for i := range agentconf.MaxVersions {
			w.set(device, fmt.Sprintf("page: a:%d\n", i))
		}
		list, err := w.Versions(t.Context(), device)
		must(t, err)
		if len(list) != agentconf.MaxVersions || list[0].Revision != 24 || list[0].Document != "" {
			t.Errorf("%d versions, the newest %+v", len(list), list[0])
		}
		if _, err := w.Get(t.Context(), device, 4); !errors.Is(err, agentconf.ErrVersionNotFound) {
			t.Errorf("one that is no longer kept: %v", err)
		}
		if v, err := w.Get(t.Context(), prod, 0); !errors.Is(err, agentconf.ErrNotFound) {
			t.Errorf("of the product: %+v, %v", v, err)
		}
	})
}

func TestSecretsAreSealedAndMasked(t *testing.T) {
	const document = `# password: geheim1
proxy: http://u:geheim2@p:1 # geheim3
subdevices:
  - {product: 70ly1tvowt696r15, device: m-1, secret: geheim4}
http: {listen: a:1, token: "geheim5", token_file: /etc/x}
drivers:
  - name: d
    command: [/bin/d]
    env: [PASS=geheim6]
    settings:
      api_password: |
        geheim7
log: {level: debug}
`
	each(t, func(t *testing.T, w *world) {
		v := w.set(device, document)
		if strings.Contains(v.Document, "geheim") || !strings.Contains(v.Document, "/etc/x") || !strings.Contains(v.Document, "level: debug") {
			t.Errorf("shown is\n%s", v.Document)
		}
		var stored []byte
		must(t, w.db.QueryRow(t.Context(), `SELECT document FROM agent_config`).Scan(&stored))
		if strings.Contains(string(stored), "geheim") || len(stored) < len(document) {
			t.Errorf("stored is %q", stored)
		}
		if c := w.wants("device/1"); string(c.Document) != document {
			t.Errorf("offered is\n%s", c.Document)
		}
		var bad *agentconf.InvalidError
		if _, err := w.Set(t.Context(), device, agentconf.Change{Document: v.Document}); !errors.As(err, &bad) || !strings.Contains(bad.Reason, "masked") {
			t.Errorf("what was shown is set: %v", err)
		}
	})
}

func TestDocumentsThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for document, want := range map[string]string{
			"":                               "empty",
			"a: [":                           "no YAML",
			"- a":                            "no YAML",
			"a: \xff":                        "not text",
			"device: x":                      "gateway's own",
			"a: 1\nfirmware: {}":             "gateway's own",
			"remote_config: {}":              "gateway's own",
			strings.Repeat("a: b\n", 20_000): "longer",
		} {
			var bad *agentconf.InvalidError
			if _, err := w.Set(t.Context(), device, agentconf.Change{Document: document}); !errors.As(err, &bad) || bad.Field != "document" || !strings.Contains(bad.Reason, want) {
				t.Errorf("%.20q: %v, want %s", document, err, want)
			}
		}
	})
}

func TestWhichOneIsOffered(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.nothing("without any")
		w.set(prod, "log: {level: warn}\n")
		must(t, w.db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO device_group_member (grp, device) VALUES (3, 7), (5, 7)`)
			return err
		}))
		first := w.wants("product/1")
		w.set(agentconf.Target{Group: 5}, "a: 5")
		w.set(grp, "a: 3")
		w.set(device, "a: 7")
		last := w.wants("device/1")
		if last.Counter <= first.Counter || first.Counter < uint64(w.now.Unix()) {
			t.Errorf("counters %d and %d", first.Counter, last.Counter)
		}
		must(t, w.Remove(t.Context(), device, "", nil))
		w.wants("group/3/1")
		must(t, w.Remove(t.Context(), grp, "", nil))
		w.wants("group/5/1")
		if s := w.state(); s.Wanted != "group/5/1" || s.Offered != "group/5/1" || s.State != agentconf.Offered {
			t.Errorf("state %+v", s)
		}
		w.set(agentconf.Target{Device: 8}, "a: 8")
		w.set(agentconf.Target{Product: "80ly1tvowt696r15"}, "a: 9")
		w.now = w.now.Add(time.Hour)
		w.wants("group/5/1")
	})
}

func TestWhenItIsOfferedAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		later := func(d time.Duration) { w.now = w.now.Add(d) }
		w.set(device, "a: 1")
		c := w.wants("device/1")
		w.nothing("at once")
		later(2 * time.Minute)
		again := w.wants("device/1") // no answer
		if again.Counter <= c.Counter {
			t.Errorf("counter %d behind %d", again.Counter, c.Counter)
		}
		said := agentmsg.ConfigState{Offered: "device/1", Counter: again.Counter, Version: "device/1", State: agentmsg.ConfigTrial}
		w.says(said)
		later(time.Hour)
		w.nothing("on trial")
		said.State = agentmsg.ConfigApplied
		w.says(said)
		w.nothing("applied")
		if s := w.state(); s.State != agentmsg.ConfigApplied || s.Running != "device/1" || s.Wanted != "device/1" {
			t.Errorf("state %+v", s)
		}
		said.Version = "" // edited at the gateway
		w.says(said)
		w.wants("device/1")

		w.set(device, "a: 2")
		c = w.wants("device/2")
		w.says(agentmsg.ConfigState{Offered: "device/2", Counter: c.Counter, Version: "device/1", State: agentmsg.ConfigBack, Reason: "taken_back", Detail: "why"})
		later(time.Hour)
		w.nothing("taken back")
		if s := w.state(); s.State != agentmsg.ConfigBack || s.Running != "device/1" || s.Wanted != "device/2" || s.Reason != "taken_back" || s.Detail != "why" {
			t.Errorf("state %+v", s)
		}
		_, err := w.Set(t.Context(), device, agentconf.Change{Restore: 2})
		must(t, err)
		for _, tt := range []struct {
			reason, told string
			again        bool
		}{{"invalid", "device/3", false}, {"key", "device/3", false}, {"busy", "device/3", true}, {"expired", "device/3", true}, {"replay", "device/3", true},
			{"signature", "", false}, {"off", "", false}} {
			later(2 * time.Minute)
			w.wants("device/3")
			w.says(agentmsg.ConfigState{Offered: tt.told, State: agentmsg.ConfigRefused, Reason: tt.reason})
			later(2 * time.Minute)
			if got := w.offer() != nil; got != tt.again {
				t.Errorf("%s: offered again %v", tt.reason, got)
			}
			w.says(agentmsg.ConfigState{Version: "device/1"}) // as after a start, when nothing of it was kept
		}
	})
}

// TestAfterARestore: counters go on from the clock when the store is an older copy.
func TestAfterARestore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set(device, "a: 1")
		first := w.wants("device/1")
		w.now = w.now.Add(time.Hour)
		must(t, w.db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `DELETE FROM agent_config_state`)
			return err
		}))
		if c := w.wants("device/1"); c.Counter <= first.Counter {
			t.Errorf("counter %d behind %d", c.Counter, first.Counter)
		}
	})
}
