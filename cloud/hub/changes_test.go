package hub

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// A key that is deleted and a session that is ended on one node are worth nothing on the other, which holds them in memory and
// would not look at the store again for long.
func TestRevocationsReachOtherNodes(t *testing.T) {
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	db := storetest.SQLite(t)
	b, err := bus.Open(ctx, bus.Config{Name: "test"}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	cfg := account.DefaultConfig()
	cfg.Recheck = time.Hour
	var nodes []*account.Accounts
	for _, name := range []string{"n1", "n2"} {
		reg, err := registry.New(ctx, db, log)
		if err != nil {
			t.Fatal(err)
		}
		a := account.New(db, cfg)
		stop, err := (&changes{node: name, bus: b, reg: reg, accounts: a, log: log}).start()
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		nodes = append(nodes, a)
	}
	here, there := nodes[0], nodes[1]
	owner, _, err := here.Bootstrap(ctx)
	if err != nil {
		t.Fatal(err)
	}
	me, err := here.Authenticate(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	key, made, err := here.CreateKey(ctx, me, me.Home(), account.NewKey{Name: "k", Role: account.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	u, err := here.CreateUser(ctx, account.NewUser{Login: "ann", Password: "long enough"})
	if err != nil {
		t.Fatal(err)
	}
	session, s, err := here.Login(ctx, account.Credentials{Login: "ann", Password: "long enough"}, account.Origin{Address: "192.0.2.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what, token string, end func() error) {
		t.Helper()
		if _, err := there.Authenticate(ctx, token); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		deadline := time.After(time.Minute)
		for {
			if _, err := there.Authenticate(ctx, token); errors.Is(err, account.ErrBadKey) {
				return
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%s: still taken on the other node", what)
			}
		}
	}
	refused("key", key, func() error { return here.DeleteKey(ctx, me.Home(), made.ID) })
	refused("session", session, func() error { return here.EndSession(ctx, u.ID, s.ID) })
}
