package auth

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/throttle"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// TestThrottle: wrong credentials are answered later and later, by pair; the right one is answered at once, from the same
// address too.
func TestThrottle(t *testing.T) {
	reg, err := registry.New(t.Context(), storetest.SQLite(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p, err := reg.CreateProduct(t.Context(), registry.NewProduct{Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := reg.CreateDevice(t.Context(), registry.NewDevice{Product: p.SN})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{FreeTries: 2, MaxDelay: time.Hour, Forget: time.Hour, Pairs: 10, Delayed: 10}, Deps{Registry: reg, Log: slog.New(slog.DiscardHandler)})
	login := func(ctx context.Context, secret, remote string) error {
		_, err := s.Login(ctx, Attempt{Login: credential.Login{Device: d.Identity, Mode: credential.ModeSecret}, ClientID: d.Identity.ClientID(),
			Password: []byte(secret), Remote: remote})
		return err
	}
	if err := login(t.Context(), d.Secret.Reveal(), "10.0.0.9:1"); err != nil { // and the registry's cache is warm
		t.Fatal(err)
	}
	for range 8 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		var r *Refusal
		if err := login(ctx, "wrong", "10.0.0.1:1"); !errors.As(err, &r) || r.Reason != WrongSecret {
			t.Errorf("wrong secret: %v", err)
		}
		cancel()
	}
	if got := s.throttle.Wrong(throttle.Pair{Name: d.Identity.ClientID(), Host: "10.0.0.1"}, time.Now()); got < 5*time.Second {
		t.Errorf("the ninth wrong try waits %s", got)
	}
	if got := s.throttle.Wrong(throttle.Pair{Name: d.Identity.ClientID(), Host: "10.0.0.2"}, time.Now()); got != 0 {
		t.Errorf("the first wrong try from elsewhere waits %s", got)
	}
	if err := login(t.Context(), d.Secret.Reveal(), "10.0.0.1:2"); err != nil {
		t.Errorf("the right secret from the same address: %v", err)
	}
	if got := s.throttle.Wrong(throttle.Pair{Name: d.Identity.ClientID(), Host: "10.0.0.1"}, time.Now()); got != 0 {
		t.Errorf("after a right one a wrong one waits %s", got)
	}
}
