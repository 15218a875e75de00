package account

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// cheap is a configuration whose hashes take no time.
func cheap() Config {
	c := DefaultConfig()
	c.Hash.Memory, c.Hash.Time = 64, 1
	return c
}

// bench is accounts with a clock and the owner's key.
type bench struct {
	*Accounts
	t     testing.TB
	db    *store.DB
	clock time.Time
	owner *Caller
}

func newBench(t testing.TB, db *store.DB) *bench {
	t.Helper()
	b := &bench{Accounts: New(db, cheap()), t: t, db: db, clock: time.UnixMilli(1_800_000_000_000).UTC()}
	b.now = func() time.Time { return b.clock }
	text, _, err := b.Bootstrap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.owner = b.caller(text)
	return b
}

// each runs test on both engines.
func each(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(t, newBench(t, db)) })
}

// other is another node on the same store, which hears of nothing.
func (b *bench) other() *Accounts {
	a := New(b.db, cheap())
	a.now = b.now
	return a
}

func (b *bench) caller(token string) *Caller {
	b.t.Helper()
	c, err := b.Authenticate(b.ctx(), token)
	if err != nil {
		b.t.Fatalf("Authenticate: %v", err)
	}
	return c
}

func (b *bench) ctx() context.Context { return b.t.Context() }

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) want(what string, err, want error) {
	b.t.Helper()
	if !errors.Is(err, want) {
		b.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// hub is the owner for the hub as a whole.
func (b *bench) hub() *Principal { return b.owner.In(HubProject) }

// product makes a product's row, which is the registry's business.
func (b *bench) product(sn, project string) {
	b.t.Helper()
	b.must(b.db.Update(b.ctx(), func(tx *store.Tx) error {
		_, err := tx.Exec(b.ctx(), `INSERT INTO product (sn, secret, name, created_at, updated_at, project) VALUES (?, ?, '', 0, 0, ?)`, sn, []byte("s"), project)
		return err
	}))
}

func (b *bench) project(id string, q Quota) {
	b.t.Helper()
	_, err := b.CreateProject(b.ctx(), NewProject{ID: id, Quota: q})
	b.must(err)
}

const password = "correct horse"

// user makes a user who is a member of a project with a role.
func (b *bench) user(login, project string, role Role) *User {
	b.t.Helper()
	u, err := b.CreateUser(b.ctx(), NewUser{Login: login, Password: password})
	b.must(err)
	if role != "" {
		_, err = b.AddMember(b.ctx(), b.owner.In(project), u.ID, role, nil)
		b.must(err)
	}
	return u
}

var home = Origin{Address: "192.0.2.1:1000", Agent: "test"}

func (b *bench) login(name string) (token string, c *Caller) {
	b.t.Helper()
	token, _, err := b.Login(b.ctx(), Credentials{Login: name, Password: password}, home)
	b.must(err)
	return token, b.caller(token)
}

func (b *bench) count(q string, args ...any) (n int) {
	b.t.Helper()
	b.must(b.db.QueryRow(b.ctx(), q, args...).Scan(&n))
	return n
}
