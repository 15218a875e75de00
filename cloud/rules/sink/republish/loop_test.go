package republish

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// sent are the messages that went to devices.
type sent struct {
	mu  sync.Mutex
	got []string
}

func (s *sent) Publish(_ context.Context, dev ident.Device, name string, payload []byte, _ byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, dev.SN+" "+name[strings.LastIndex(name, "/"):]+" "+string(payload))
	return nil
}

func (s *sent) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}

// project is rules over a store, with two devices.
type project struct {
	t       *testing.T
	db      *store.DB
	rules   *rules.Rules
	ids     *message.IDs
	product string
	ping    *registry.Device
	sent    sent
}

func newProject(t *testing.T, db *store.DB) *project {
	t.Helper()
	p := &project{t: t, db: db, ids: message.NewIDs(1, 0, time.Now)}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	reg, err := registry.New(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	product, err := reg.CreateProduct(t.Context(), registry.NewProduct{Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	p.product = product.SN
	for _, sn := range []string{"ping", "pong"} {
		d, err := reg.CreateDevice(t.Context(), registry.NewDevice{Product: product.SN, SN: sn})
		if err != nil {
			t.Fatal(err)
		}
		if sn == "ping" {
			p.ping = d
		}
	}
	p.rules, err = rules.New(t.Context(), rules.DefaultConfig(), rules.Deps{Store: db, Registry: reg, IDs: p.ids, Sender: &p.sent,
		Kinds: map[string]rules.Factory{Kind: New}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.rules.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return p
}

func (p *project) rule(name, sql, to string) int64 {
	p.t.Helper()
	config, err := json.Marshal(Config{Topic: to, QoS: 1})
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := p.rules.Create(p.t.Context(), rules.NewRule{Name: name, SQL: sql, Enabled: true, Actions: []rules.Action{{Kind: Kind, Config: config}}})
	if err != nil {
		p.t.Fatal(err)
	}
	return r.ID
}

// take has the rules see a message of the device ping, as the path does.
func (p *project) take(tail, payload string) {
	p.t.Helper()
	m := &uplink.Message{ID: p.ids.Next(), Device: p.ping.Identity, DeviceID: p.ping.ID, Name: topic.Name(p.ping.Identity, tail), Payload: []byte(payload), At: time.Now()}
	out := p.rules.Match(m, m.Name, m.Root, nil)
	if err := p.db.Do(p.t.Context(), &store.Unit{Device: m.DeviceID, Out: out}); err != nil {
		p.t.Fatal(err)
	}
}

// dead waits for n dead letters of the rules and returns why they are.
func (p *project) dead(n int, ids ...int64) []string {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); ; <-time.After(5 * time.Millisecond) {
		var why []string
		for _, id := range ids {
			list, err := p.rules.DeadLetters(p.t.Context(), rules.DeadFilter{Rule: id}, 0, 10)
			if err != nil {
				p.t.Fatal(err)
			}
			for _, d := range list {
				why = append(why, d.Failures[len(d.Failures)-1].Error)
			}
		}
		if len(why) >= n || time.Now().After(end) {
			return why
		}
	}
}

// Two rules that republish to each other end after MaxHops, with a dead letter that says so.
func TestTwoRulesInALoop(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := newProject(t, db)
		a := p.rule("a", "SELECT * FROM '/"+p.product+"/ping/there'", "/"+p.product+"/pong/back")
		b := p.rule("b", "SELECT * FROM '/"+p.product+"/pong/back'", "/"+p.product+"/ping/there")
		p.take("there", `{"n":1}`)
		why := p.dead(1, a, b)
		if len(why) != 1 || !strings.Contains(why[0], "republished too often") {
			t.Fatalf("dead letters: %q", why)
		}
		want := `pong /back {"n":1}|ping /there {"n":1}|pong /back {"n":1}|ping /there {"n":1}`
		if got := strings.Join(p.sent.all(), "|"); got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	})
}

// A device that is named by a field and does not exist is the record's fault, which is told by its name.
func TestNoSuchDevice(t *testing.T) {
	p := newProject(t, storetest.SQLite(t))
	id := p.rule("relay", "SELECT * FROM '/"+p.product+"/+/upload'", "/${productSN}/${to}/set")
	p.take("upload", `{"to":"nobody"}`)
	p.take("upload", `{"to":"pong"}`)
	p.take("upload", `{}`)
	why := p.dead(2, id)
	if len(why) != 2 || !strings.Contains(why[0], "has no device "+p.product+"/nobody") || !strings.Contains(why[1], "${to}") {
		t.Errorf("dead letters: %q", why)
	}
	if got := p.sent.all(); len(got) != 1 || got[0] != `pong /set {"to":"pong"}` {
		t.Errorf("sent %q", got)
	}
}
