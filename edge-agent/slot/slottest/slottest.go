// Package slottest is the conformance suite of slot.Control: what every driver does, whatever the boot loader.
package slottest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/hawser-iot/hawser/edge-agent/slot"
)

// Device is a device with slots A and B, of which A runs, is good and was never tried to replace.
type Device struct {
	slot.Control
	// Boot starts the device again as its boot loader does, and returns the slot that runs then.
	Boot func(t *testing.T) string
	// Tries is how many starts a slot has that was armed with 3.
	Tries int
	// AtOnce says that an armed slot runs without a start.
	AtOnce bool
	// Uncounted says that nobody counts starts.
	Uncounted bool
}

// Run holds the devices that make returns to the contract.
func Run(t *testing.T, make func(t *testing.T) Device) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, d Device)
	}{
		{"fresh", fresh}, {"confirmed", confirmed}, {"never confirmed", neverConfirmed}, {"reverted", reverted},
		{"given up before it is written", givenUp}, {"armed twice", armedTwice}, {"back and forth", backAndForth}, {"refused", refused},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, make(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want checks what Get says.
func (d Device) want(t *testing.T, booted string, order ...string) slot.State {
	t.Helper()
	s, err := d.Get(context.Background())
	must(t, err)
	if s.Booted != booted || !slices.Equal(s.Order, order) {
		t.Fatalf("%s runs and the order is %q, want %s and %q", s.Booted, s.Order, booted, order)
	}
	for _, o := range order {
		if s.Left[o] < 1 {
			t.Fatalf("%s is in the order with %d tries", o, s.Left[o])
		}
	}
	return s
}

func (d Device) boots(t *testing.T, want string) {
	t.Helper()
	if got := d.Boot(t); got != want {
		t.Fatalf("%s was started, want %s", got, want)
	}
}

// running is the slot that runs when B was armed.
func (d Device) running() string {
	if d.AtOnce {
		return "B"
	}
	return "A"
}

func fresh(t *testing.T, d Device) {
	s, err := d.Get(context.Background())
	must(t, err)
	if s.Booted != "A" || s.Next() != "A" || !s.Bootable("A") {
		t.Fatalf("state %+v", s)
	}
	for range 5 {
		d.boots(t, "A")
		must(t, d.Confirm(context.Background(), "A"))
	}
}

func confirmed(t *testing.T, d Device) {
	ctx := context.Background()
	must(t, d.Arm(ctx, "B", 3))
	d.want(t, d.running(), "B", "A")
	d.boots(t, "B")
	must(t, d.Confirm(ctx, "B"))
	must(t, d.Confirm(ctx, "B"))
	d.want(t, "B", "B", "A")
	for range 5 {
		d.boots(t, "B")
		must(t, d.Confirm(ctx, "B"))
	}
}

func neverConfirmed(t *testing.T, d Device) {
	if d.Uncounted {
		return // whoever armed it reverts it
	}
	must(t, d.Arm(context.Background(), "B", 3))
	for range d.Tries {
		d.boots(t, "B")
	}
	d.boots(t, "A")
	s, err := d.Get(context.Background())
	must(t, err)
	if s.Booted != "A" || s.Bootable("B") {
		t.Fatalf("after all tries: %+v", s)
	}
	must(t, d.Confirm(context.Background(), "A"))
	d.boots(t, "A")
}

func reverted(t *testing.T, d Device) {
	ctx := context.Background()
	must(t, d.Arm(ctx, "B", 3))
	d.boots(t, "B")
	must(t, d.Revert(ctx, "B"))
	d.boots(t, "A")
	d.want(t, "A", "A")
	if err := d.Revert(ctx, "A"); !errors.Is(err, slot.ErrLast) {
		t.Fatalf("the last slot was given up: %v", err)
	}
}

func givenUp(t *testing.T, d Device) {
	ctx := context.Background()
	s, err := d.Get(ctx)
	must(t, err)
	if s.Bootable("B") {
		must(t, d.Revert(ctx, "B"))
	}
	d.want(t, "A", "A")
	for range 5 { // as often as it likes: there is nothing else
		d.boots(t, "A")
		must(t, d.Confirm(ctx, "A"))
	}
	d.want(t, "A", "A")
	if err := d.Revert(ctx, "A"); !errors.Is(err, slot.ErrLast) {
		t.Fatalf("the last slot was given up: %v", err)
	}
}

func armedTwice(t *testing.T, d Device) {
	ctx := context.Background()
	must(t, d.Arm(ctx, "B", 3))
	must(t, d.Arm(ctx, "B", 3))
	d.want(t, d.running(), "B", "A")
	must(t, d.Revert(ctx, "B"))
	d.boots(t, "A")
	d.want(t, "A", "A")
}

func backAndForth(t *testing.T, d Device) {
	ctx := context.Background()
	for range 2 {
		for _, next := range []string{"B", "A"} {
			s, err := d.Get(ctx)
			must(t, err)
			if s.Bootable(next) {
				must(t, d.Revert(ctx, next))
			}
			d.want(t, s.Booted, s.Booted)
			must(t, d.Arm(ctx, next, 3))
			d.boots(t, next)
			must(t, d.Confirm(ctx, next))
		}
	}
	d.want(t, "A", "A", "B")
}

func refused(t *testing.T, d Device) {
	ctx := context.Background()
	for what, err := range map[string]error{
		"arm": d.Arm(ctx, "C", 3), "confirm": d.Confirm(ctx, "C"), "revert": d.Revert(ctx, "C"),
	} {
		if !errors.Is(err, slot.ErrUnknown) {
			t.Errorf("%s of a slot that there is not: %v", what, err)
		}
	}
	if err := d.Arm(ctx, "A", 3); !errors.Is(err, slot.ErrBooted) {
		t.Errorf("arm of the slot that runs: %v", err)
	}
	for _, n := range []int{0, -1, slot.MaxTries + 1} {
		if err := d.Arm(ctx, "B", n); err == nil {
			t.Errorf("armed with %d tries", n)
		}
	}
}
