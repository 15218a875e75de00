package account

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/throttle"
)

func TestLogin(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		u := b.user("Ann@Example.com", DefaultProject, RoleOperator)
		token, c := b.login("ann@example.COM ")
		if c.Kind != KindUser || c.ID != u.ID || c.Name != "ann@example.com" || !c.Home().May(RuleWrite) || c.Home().May(KeyWrite) || c.Hub() != 0 {
			t.Errorf("caller %+v", c.Identity)
		}
		if n := b.count(`SELECT COUNT(*) FROM account WHERE password LIKE '$argon2id$v=19$m=64,t=1,p=1$%'`); n != 1 {
			t.Error("the password is not stored as argon2id")
		}
		for name, try := range map[string]Credentials{"password": {Login: "ann@example.com", Password: "wrong"}, "nobody": {Login: "bob", Password: password},
			"no password": {Login: "ann@example.com"}, "no name": {}, "endless": {Login: "ann@example.com", Password: strings.Repeat("x", 1<<20)}} {
			_, _, err := b.Login(ctx, try, Origin{Address: "192.0.2.7:1"})
			b.want(name, err, ErrWrongLogin)
		}
		if _, err := b.other().Authenticate(ctx, token); err != nil {
			t.Errorf("on another node: %v", err)
		}
		list, _, err := b.SearchSessions(ctx, u.ID, listing.Query{})
		if err != nil || len(list) != 1 || list[0].Address != home.Address || list[0].Agent != "test" || list[0].Method != MethodPassword {
			t.Errorf("SearchSessions = %+v, %v", list, err)
		}
		b.must(b.EndSession(ctx, u.ID, c.Session))
		_, err = b.Authenticate(ctx, token)
		b.want("ended session", err, ErrBadKey)
		b.want("end it again", b.EndSession(ctx, u.ID, c.Session), ErrSessionNotFound)
	})
}

// A login whose password was right when it was compared makes no session once the password is another, or the user is disabled; and none without the
// second factor that was switched on meanwhile.
func TestLoginWhilePasswordChanges(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		ann := b.user("ann", DefaultProject, RoleViewer)
		checked := func() *storedUser {
			u, err := b.checkPassword(ctx, "ann", password)
			b.must(err)
			return u
		}
		with := Credentials{Login: "ann", Password: password}
		u := checked()
		if _, _, err := b.enter(ctx, u, with, home); err != nil {
			t.Fatal(err)
		}
		_, c := b.login("ann")
		u = checked()
		b.must(b.ChangePassword(ctx, c, with, "another one entirely", home))
		_, _, err := b.enter(ctx, u, with, home)
		b.want("a password of before", err, ErrWrongLogin)
		if list, _, err := b.SearchSessions(ctx, ann.ID, listing.Query{}); err != nil || len(list) != 1 || list[0].ID != c.Session {
			t.Errorf("sessions after the change: %+v, %v", list, err)
		}
		b.must(b.ChangePassword(ctx, c, Credentials{Password: "another one entirely"}, password, home))
		u = checked()
		key, err := b.EnrolTOTP(ctx, c, with, home)
		b.must(err)
		code, err := totp.GenerateCode(key.Secret, b.clock)
		b.must(err)
		_, err = b.ConfirmTOTP(ctx, c, code, home)
		b.must(err)
		_, _, err = b.enter(ctx, u, with, home)
		b.want("a second factor of now", err, ErrTOTPRequired)
	})
}

func TestSessionsEndByThemselves(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.user("ann", DefaultProject, RoleViewer)
	idle, _ := b.login("ann")
	used, _ := b.login("ann")
	for range 20 { // ten days
		b.clock = b.clock.Add(11 * time.Hour)
		if _, err := b.Authenticate(t.Context(), used); err != nil {
			break
		}
	}
	if got := b.clock.Sub(time.UnixMilli(1_800_000_000_000)); got < b.cfg.SessionLife || got > b.cfg.SessionLife+11*time.Hour {
		t.Errorf("a session that is used ends after %v", got)
	}
	_, err := b.Authenticate(t.Context(), idle)
	b.want("idle session", err, ErrBadKey)
	if n, err := b.TrimSessions(t.Context(), b.clock); err != nil || n != 2 {
		t.Errorf("TrimSessions = %d, %v", n, err)
	}
}

func TestPasswords(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		for _, n := range []NewUser{{Login: ""}, {Login: "a b"}, {Login: "u_abc"}, {Login: "x", Password: "short"}, {Login: "longenough", Password: "LongEnough"}, {Login: "x", Issuer: "https://a"}} {
			if _, err := b.CreateUser(ctx, n); err == nil {
				t.Errorf("CreateUser(%+v) succeeded", n)
			}
		}
		u := b.user("ann", DefaultProject, RoleViewer)
		_, err := b.CreateUser(ctx, NewUser{Login: "ANN"})
		b.want("the same login", err, ErrExists)
		other, _ := b.login("ann")
		mine, c := b.login("ann")
		b.want("wrong password", b.ChangePassword(ctx, c, Credentials{Password: "wrong"}, "another secret", home), ErrWrongLogin)
		b.must(b.ChangePassword(ctx, c, Credentials{Password: password}, "another secret", home))
		b.caller(mine)
		_, err = b.Authenticate(ctx, other)
		b.want("other session after the change", err, ErrBadKey)
		_, _, err = b.Login(ctx, Credentials{Login: "ann", Password: password}, home)
		b.want("old password", err, ErrWrongLogin)
		b.want("a key's password", b.ChangePassword(ctx, b.owner, Credentials{}, "another secret", home), ErrNotUser)
		again := "third secret"
		_, err = b.UpdateUser(ctx, b.hub(), u.ID, UserUpdate{Password: &again})
		b.must(err)
		_, err = b.Authenticate(ctx, mine)
		b.want("session after an admin's change", err, ErrBadKey)
	})
}

// A password that was hashed at another cost is hashed anew when it is shown.
func TestRehash(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.user("ann", DefaultProject, RoleViewer)
	costly := cheap()
	costly.Hash.Memory = 128
	node := New(b.db, costly)
	for range 2 {
		if _, _, err := node.Login(t.Context(), Credentials{Login: "ann", Password: password}, home); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.count(`SELECT COUNT(*) FROM account WHERE password LIKE '$argon2id$v=19$m=128,%'`); n != 1 {
		t.Error("not hashed anew")
	}
}

// A flood of logins is bounded, and whoever waits for too long is told so.
func TestHashingIsBounded(t *testing.T) {
	cfg := cheap().Hash
	cfg.Parallel, cfg.Waiting, cfg.Wait = 1, 1, time.Millisecond
	h := newHasher(cfg)
	free, err := h.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.take(t.Context()); !errors.Is(err, ErrBusy) {
		t.Errorf("waited for ever: %v", err)
	}
	free()
	h.cfg.Wait = time.Minute
	hold, err := h.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := h.take(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the one that waits: %v", err)
		}
	})
	for len(h.waiting) < 2 {
		time.Sleep(time.Millisecond) // polls: it is about to wait
	}
	if _, err := h.take(t.Context()); !errors.Is(err, ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	wg.Wait()
	hold()
	if len(h.waiting) != 0 || len(h.slots) != 0 {
		t.Error("places are lost")
	}
}

// Guesses slow down whoever makes them, from there, and nobody else.
func TestThrottle(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.user("ann", DefaultProject, RoleViewer)
	guess := func(name, address string) error {
		_, _, err := b.Login(t.Context(), Credentials{Login: name, Password: "wrong guess"}, Origin{Address: address})
		return err
	}
	for range b.cfg.Throttle.Free + 1 {
		b.want("free try", guess("ann", "203.0.113.9:1"), ErrWrongLogin)
	}
	b.want("too many", guess("ann", "203.0.113.9:2"), ErrThrottled)
	b.want("another name from there", guess("bob", "203.0.113.9:3"), ErrWrongLogin)
	b.login("ann") // the right user, from elsewhere
	_, _, err := b.Login(t.Context(), Credentials{Login: "ann", Password: password}, Origin{Address: "203.0.113.9:4"})
	b.want("the right password from there", err, ErrThrottled)
	b.clock = b.clock.Add(time.Second)
	b.want("a second later", guess("ann", "203.0.113.9:5"), ErrWrongLogin)
	b.clock = b.clock.Add(time.Second)
	var wait *ThrottledError
	if err := guess("ann", "203.0.113.9:6"); !errors.As(err, &wait) || wait.After != time.Second {
		t.Errorf("the next wait is %v, want another second of two", err)
	}
	b.clock = b.clock.Add(b.cfg.Throttle.Forget)
	b.want("forgotten", guess("ann", "203.0.113.9:7"), ErrWrongLogin)
	for i := range 2 * b.cfg.Throttle.Pairs {
		b.gate.Wrong(throttle.Pair{Name: "x", Host: string(rune(i))}, b.clock)
	}
	if n := b.gate.Len(); n > b.cfg.Throttle.Pairs {
		t.Errorf("%d pairs are remembered", n)
	}
}

// That a user is not there, is disabled or has no password must not show in the time that the answer takes: one hash is made
// for each, of the same cost.
func TestUnknownUsersCostTheSame(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.user("ann", DefaultProject, RoleViewer)
	_, err := b.CreateUser(t.Context(), NewUser{Login: "sso", Issuer: "https://idp", Subject: "1"})
	b.must(err)
	off := b.user("off", DefaultProject, RoleViewer)
	yes := true
	_, err = b.UpdateUser(t.Context(), b.hub(), off.ID, UserUpdate{Disabled: &yes})
	b.must(err)
	for _, tt := range []struct{ name, password string }{{"ann", "wrong"}, {"nobody", "wrong"}, {"sso", "wrong"}, {"sso", ""}, {"off", password}, {"off", "wrong"}} {
		before := b.hasher.hashed.Load()
		_, _, err := b.Login(t.Context(), Credentials{Login: tt.name, Password: tt.password}, home)
		b.want(tt.name, err, ErrWrongLogin)
		if n := b.hasher.hashed.Load() - before; n != 1 {
			t.Errorf("%s: %d hashes", tt.name, n)
		}
	}
	u, err := readUser(t.Context(), b.db, "ann")
	b.must(err)
	real, err := parseHash(u.password)
	b.must(err)
	dummy, err := parseHash(b.hasher.dummy)
	b.must(err)
	if real.memory != dummy.memory || real.time != dummy.time || real.threads != dummy.threads || len(real.sum) != len(dummy.sum) || len(real.salt) != len(dummy.salt) {
		t.Errorf("the dummy %+v costs other than %+v", dummy, real)
	}
}

func TestTOTP(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		b.user("ann", DefaultProject, RoleViewer)
		other, _ := b.login("ann")
		_, c := b.login("ann")
		code := func(e *Enrolment, at time.Time) string {
			text, err := totp.GenerateCode(e.Secret, at)
			b.must(err)
			return text
		}
		_, err := b.EnrolTOTP(ctx, c, Credentials{Password: "wrong"}, home)
		b.want("enrol without the password", err, ErrWrongLogin)
		e, err := b.EnrolTOTP(ctx, c, Credentials{Password: password}, home)
		b.must(err)
		if n := b.count(`SELECT COUNT(*) FROM account_totp WHERE secret = ?`, []byte(e.Secret)); n != 0 || !strings.HasPrefix(e.URL, "otpauth://totp/Hawser:ann?") {
			t.Errorf("stored in clear: %d; URL %s", n, e.URL)
		}
		b.login("ann") // not confirmed yet
		_, err = b.ConfirmTOTP(ctx, c, "000000", home)
		b.want("wrong code", err, ErrWrongTOTP)
		codes, err := b.ConfirmTOTP(ctx, c, code(e, b.clock), home)
		b.must(err)
		_, err = b.Authenticate(ctx, other)
		b.want("another session", err, ErrBadKey)

		try := func(c Credentials) error {
			c.Login, c.Password = "ann", password
			_, _, err := b.Login(ctx, c, home)
			return err
		}
		b.want("without a code", try(Credentials{}), ErrTOTPRequired)
		b.want("the code of the confirmation again", try(Credentials{Code: code(e, b.clock)}), ErrWrongTOTP)
		b.clock = b.clock.Add(time.Minute)
		b.must(try(Credentials{Code: code(e, b.clock)}))
		b.want("a code twice", try(Credentials{Code: code(e, b.clock)}), ErrWrongTOTP)
		b.want("an older code", try(Credentials{Code: code(e, b.clock.Add(-30*time.Second))}), ErrWrongTOTP)
		b.must(try(Credentials{Code: code(e, b.clock.Add(30*time.Second))}))
		b.clock = b.clock.Add(time.Hour)
		b.want("a code of long ago", try(Credentials{Code: code(e, b.clock.Add(-time.Minute))}), ErrWrongTOTP)
		b.must(try(Credentials{Recovery: strings.ToUpper(codes[3])}))
		b.want("a recovery code twice", try(Credentials{Recovery: codes[3]}), ErrWrongTOTP)
		b.must(try(Credentials{Recovery: codes[4]}))

		_, err = b.RenewRecovery(ctx, c, Credentials{Password: password}, home)
		b.want("other recovery codes without a code", err, ErrTOTPRequired)
		fresh, err := b.RenewRecovery(ctx, c, Credentials{Password: password, Recovery: codes[6]}, home)
		b.must(err)
		b.want("an old recovery code", try(Credentials{Recovery: codes[5]}), ErrWrongTOTP)
		b.must(try(Credentials{Recovery: fresh[6]}))
		codes = fresh
		_, err = b.EnrolTOTP(ctx, c, Credentials{Password: password, Recovery: codes[5]}, home)
		b.want("enrol twice", err, ErrTOTPOn)
		b.want("off without a code", b.DisableTOTP(ctx, c, Credentials{Password: password}, home), ErrTOTPRequired)
		b.must(b.DisableTOTP(ctx, c, Credentials{Password: password, Code: code(e, b.clock)}, home))
		b.must(try(Credentials{}))
		_, err = b.ConfirmTOTP(ctx, c, code(e, b.clock), home)
		b.want("confirm nothing", err, ErrTOTPOff)
		_, err = b.RenewRecovery(ctx, c, Credentials{Password: password}, home)
		b.want("recovery codes for nothing", err, ErrTOTPOff)
	})
}

// Who has the password may not guess at codes from a thousand addresses.
func TestCodesAreThrottledForTheUser(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.user("ann", DefaultProject, RoleViewer)
	_, c := b.login("ann")
	e, err := b.EnrolTOTP(t.Context(), c, Credentials{Password: password}, home)
	b.must(err)
	code, err := totp.GenerateCode(e.Secret, b.clock)
	b.must(err)
	_, err = b.ConfirmTOTP(t.Context(), c, code, home)
	b.must(err)
	for i := range 50 {
		from := Origin{Address: "198.51.100." + string(rune('0'+i%10)) + ":1"}
		_, _, err = b.Login(t.Context(), Credentials{Login: "ann", Password: password, Code: "123456"}, from)
		if errors.Is(err, ErrThrottled) && i >= b.cfg.Throttle.Free+1 {
			return
		}
	}
	t.Errorf("50 guesses, the last: %v", err)
}

func TestResetTOTP(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	u := b.user("ann", DefaultProject, RoleViewer)
	token, c := b.login("ann")
	e, err := b.EnrolTOTP(t.Context(), c, Credentials{Password: password}, home)
	b.must(err)
	code, err := totp.GenerateCode(e.Secret, b.clock)
	b.must(err)
	_, err = b.ConfirmTOTP(t.Context(), c, code, home)
	b.must(err)
	b.must(b.ResetTOTP(t.Context(), b.hub(), "ann"))
	if u, err := b.User(t.Context(), u.ID); err != nil || u.TOTP {
		t.Errorf("still on: %+v, %v", u, err)
	}
	_, err = b.Authenticate(t.Context(), token)
	b.want("session", err, ErrBadKey)
	b.login("ann")
}
