package ota_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/ota"
)

// updated is a board that has confirmed the new system, in slot B.
func updated(t *testing.T, hub *devicetest.Hub) *board {
	t.Helper()
	a, err := shared()
	must(t, err)
	b := newBoardAt(t, hub, a)
	b.live(b.offer(), 0, attested)
	b.settle(func(s ota.Status) bool { return s.Update == nil })
	b.starts = nil
	return b
}

// settle runs the device until its records are as wanted.
func (b *board) settle(want func(s ota.Status) bool) { b.t.Helper(); b.goesBack(0, nil, want) }

// goesBack runs the device, start after start, until its records are as wanted, with use at each start; the power is cut at the given operation of all
// starts together. It returns how many there were.
func (b *board) goesBack(cut int, use func(ctx context.Context, o *ota.OTA), want func(s ota.Status) bool) (ops int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 60*time.Second)
	defer cancel()
	alive, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for left := cut; alive.Err() == nil; {
			b.boot()
			b.plug(max(left, 0))
			power := b.power
			b.run(alive, func(o *ota.OTA) {
				if use != nil {
					use(alive, o)
				}
			})
			ops += power.Ops()
			if left -= power.Ops(); power.Off() {
				left = 0
			}
		}
	})
	store := b.config(nil, nil).Store
	for ctx.Err() == nil {
		if s, err := ota.ReadStatus(store); err == nil && want(s) {
			break
		}
		time.Sleep(2 * time.Millisecond) // a poll with ctx as its deadline
	}
	stop()
	wg.Wait()
	if ctx.Err() != nil {
		s, err := ota.ReadStatus(store)
		b.t.Fatalf("cut at %d: %+v, %v; starts %q", cut, s, err, b.starts)
	}
	return ops
}

func runs(version string) func(s ota.Status) bool {
	return func(s ota.Status) bool {
		return s.Update == nil && slices.ContainsFunc(s.Installed, func(i update.Installed) bool { return i.Module == "system" && i.Version == version })
	}
}

// TestRollbackOfConfirmed goes back to the system before with all that belongs to it, through a trial, and forward again.
func TestRollbackOfConfirmed(t *testing.T) {
	b := updated(t, devicetest.New(t))
	for _, want := range []struct {
		version, from, to string
		system            []byte
	}{{"1.0", "B", "A", oldSystem}, {"2.0", "A", "B", newSystem}} {
		b.starts = nil
		b.goesBack(0, func(ctx context.Context, o *ota.OTA) {
			if b.running == want.from {
				if err := o.Rollback(ctx); err != nil {
					t.Error(err)
				}
			}
		}, runs(want.version))
		if !slices.Equal(b.starts, []string{want.from, want.to}) || !bytes.HasPrefix(b.disk(want.to+"/system").Bytes(), want.system) {
			t.Errorf("starts %q", b.starts)
		}
	}
	list, err := ota.History(b.config(nil, nil).Store)
	must(t, err)
	var phases []string
	for _, e := range list {
		if e.Rollback && e.Version == "1.0" {
			phases = append(phases, e.Phase)
		}
	}
	if want := []string{"arming", "restarting", "trial", "confirmed", "done"}; !slices.Equal(phases, want) {
		t.Errorf("history %q, want %q", phases, want)
	}
}

// TestRollbackThatCrashes: the old system no longer comes up, and the boot loader returns to the one that was confirmed.
func TestRollbackThatCrashes(t *testing.T) {
	b := updated(t, devicetest.New(t))
	b.crashes = oldSystem
	asked := false
	b.goesBack(0, func(ctx context.Context, o *ota.OTA) {
		if !asked {
			asked = true
			if err := o.Rollback(ctx); err != nil {
				t.Error(err)
			}
		}
	}, func(s ota.Status) bool { return s.Update == nil && len(b.log()) > 0 })
	if !slices.Equal(b.starts, []string{"B", "A", "A", "A", "B"}) || b.log()[0].Class != "BOOT_FAILED" {
		t.Errorf("starts %q, %+v", b.starts, b.log())
	}
	if s, err := ota.ReadStatus(b.config(nil, nil).Store); err != nil || !runs("2.0")(s) {
		t.Errorf("%+v, %v", s, err)
	}
}

// log is how ways back have ended without success.
func (b *board) log() (list []ota.Event) {
	events, _ := ota.History(b.config(nil, nil).Store) // none when it can't be read
	for _, e := range events {
		if e.Rollback && e.Phase == "settled" {
			list = append(list, e)
		}
	}
	return list
}

// TestRollbackOfTamperedSlot: one other byte is enough.
func TestRollbackOfTamperedSlot(t *testing.T) {
	b := updated(t, devicetest.New(t))
	_, err := b.disk("A/system").WriteAt([]byte("x"), 50_000)
	must(t, err)
	must(t, b.disk("A/system").Sync())
	said := make(chan error, 1)
	b.goesBack(0, func(ctx context.Context, o *ota.OTA) { said <- o.Rollback(ctx) }, func(ota.Status) bool { return len(said) > 0 })
	if err := <-said; !errors.Is(err, update.ErrSlotChanged) || b.running != "B" {
		t.Errorf("error %v, slot %s", err, b.running)
	}
}

// TestRollbackPowerCut cuts the power at writes and syncs of the records and the environment: whatever the boot loader starts is whole, and the device arrives.
func TestRollbackPowerCut(t *testing.T) {
	hub := devicetest.New(t)
	way := func(cut int) int {
		b := updated(t, hub)
		return b.goesBack(cut, func(ctx context.Context, o *ota.OTA) {
			if b.running == "B" {
				_ = o.Rollback(ctx) // it is refused while it goes on
			}
		}, runs("1.0"))
	}
	ops := way(0)
	t.Logf("%d writes and syncs", ops)
	if ops < 20 {
		t.Fatal("too few to have cut all")
	}
	step := 6
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		step = 1
	}
	for cut := 1 + int(time.Now().UnixNano()%int64(step)); cut <= ops; cut += step {
		way(cut)
	}
}
