package idempotency

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func TestAnAnswerIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, a := t.Context(), New(DefaultConfig(), db)
		now := time.Now()
		a.now = func() time.Time { return now }
		claim, kept, err := a.Begin(ctx, "key:a", "order-1", time.Minute)
		if err != nil || claim == nil || kept != nil {
			t.Fatalf("first: %v, %v, %v", claim, kept, err)
		}
		if _, _, err := New(DefaultConfig(), db).Begin(ctx, "key:a", "order-1", time.Minute); !errors.Is(err, ErrInHand) {
			t.Errorf("on another node meanwhile: %v", err)
		}
		if err := claim.Keep(ctx, []byte("digest"), Answer{201, []byte(`{"deviceSecret":"hush"}`)}); err != nil {
			t.Fatal(err)
		}
		_, kept, err = New(DefaultConfig(), db).Begin(ctx, "key:a", "order-1", time.Minute)
		if err != nil || kept == nil || kept.Status != 201 || string(kept.Body) != `{"deviceSecret":"hush"}` {
			t.Fatalf("again: %+v, %v", kept, err)
		}
		if kept.Same([]byte("digest")) != nil || !errors.Is(kept.Same([]byte("other")), ErrOther) {
			t.Error("the request is not told from others")
		}
		var stored []byte
		if err := db.QueryRow(ctx, `SELECT answer FROM idempotency`).Scan(&stored); err != nil || strings.Contains(string(stored), "hush") {
			t.Errorf("the answer is not sealed: %q, %v", stored, err)
		}
		if claim, _, err := a.Begin(ctx, "key:b", "order-1", time.Minute); err != nil || claim == nil {
			t.Errorf("another caller: %v", err)
		}
		now = now.Add(25 * time.Hour)
		if claim, _, err := a.Begin(ctx, "key:a", "order-1", time.Minute); err != nil || claim == nil {
			t.Errorf("after a day: %v", err)
		}
		if n, err := a.Trim(ctx, now); err != nil || n != 1 {
			t.Errorf("trim: %d, %v, want that of the other caller", n, err)
		}
	})
}

func TestANameIsFreeAgain(t *testing.T) {
	db := storetest.SQLite(t)
	ctx, a := t.Context(), New(DefaultConfig(), db)
	now := time.Now()
	a.now = func() time.Time { return now }
	claim, _, err := a.Begin(ctx, "c", "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.Free(ctx); err != nil {
		t.Fatal(err)
	}
	old, _, err := a.Begin(ctx, "c", "k", time.Minute)
	if err != nil || old == nil {
		t.Fatalf("after it was given back: %v", err)
	}
	now = now.Add(2 * time.Minute) // its hub has died
	fresh, _, err := a.Begin(ctx, "c", "k", time.Minute)
	if err != nil || fresh == nil {
		t.Fatalf("after its time: %v", err)
	}
	if err := old.Keep(ctx, []byte("r"), Answer{200, []byte("late")}); err != nil { // it had not, it was only slow
		t.Fatal(err)
	}
	if _, _, err := a.Begin(ctx, "c", "k", time.Minute); !errors.Is(err, ErrInHand) {
		t.Errorf("the late answer was kept for the new request: %v", err)
	}
}

func TestBounds(t *testing.T) {
	db := storetest.SQLite(t)
	ctx, a := t.Context(), New(Config{Keep: time.Hour, MaxAnswer: 10, MaxKeys: 2}, db)
	claim, _, err := a.Begin(ctx, "c", "long", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.Keep(ctx, []byte("r"), Answer{200, []byte("more than ten bytes")}); err != nil {
		t.Fatal(err)
	}
	if _, kept, err := a.Begin(ctx, "c", "long", time.Minute); err != nil || kept == nil || kept.Status != 200 || kept.Body != nil {
		t.Errorf("long answer: %+v, %v", kept, err)
	}
	if _, _, err := a.Begin(ctx, "c", "two", time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Begin(ctx, "c", "three", time.Minute); !errors.Is(err, ErrTooMany) {
		t.Errorf("third key: %v", err)
	}
}

// Of many at the same time one gets the name.
func TestOneAtATime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := New(DefaultConfig(), db)
		for round := range 5 {
			var won, inHand atomic.Int32
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					claim, _, err := a.Begin(t.Context(), "c", fmt.Sprint(round), time.Minute)
					switch {
					case claim != nil:
						won.Add(1)
					case errors.Is(err, ErrInHand):
						inHand.Add(1)
					default:
						t.Errorf("got %v", err)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 || inHand.Load() != 7 {
				t.Errorf("%d won, %d were told that it is in hand", won.Load(), inHand.Load())
			}
		}
	})
}
