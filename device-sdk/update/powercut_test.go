package update_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
)

// TestPowerCutAtEveryWrite cuts the power at each write and each sync of an update, of the slot, the records and the boot loader's state alike.
// Afterwards the board starts, and the update completes; or is reverted, where the new release is not well.
func TestPowerCutAtEveryWrite(t *testing.T) {
	hub := devicetest.New(t)
	for _, tt := range []struct {
		name   string
		step   int // every which cut is made; all of them in long tests
		offer  func(r *rig) string
		change func(c *update.Config)
		done   func(u devicetest.Update) bool
		want   []byte
	}{
		{"delta", 1, func(r *rig) string { return r.offer(devicetest.Offer{}) }, nil, attested, newImage},
		{"plain", 4, func(r *rig) string {
			return r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}, Plain: true})})
		}, nil, attested, newImage},
		{"not well", 4, func(r *rig) string { return r.offer(devicetest.Offer{}) }, func(c *update.Config) {
			c.TrialTimeout = 20 * time.Millisecond
			c.Healthy = func(context.Context) error { return errors.New("no pressure") }
		}, in("rolled_back"), oldImage},
		{"stock", 4, func(r *rig) string {
			number, err := r.hub.OfferStockFirmware(r.id, "2.0", newImage)
			if err != nil {
				r.t.Fatal(err)
			}
			return number
		}, func(c *update.Config) { c.AllowUnsigned, c.Root = true, nil }, in("succeeded"), newImage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cut := func(at int) (ops int) {
				r := newRigWith(t, hub, newAuthority(t), oldBoard(t))
				r.change = tt.change
				return r.cutAt(tt.offer(r), at, tt.done, tt.want)
			}
			ops := cut(0)
			if ops < 25 {
				t.Fatalf("only %d writes and syncs", ops)
			}
			step := tt.step
			if os.Getenv("HAWSER_TEST_LONG") != "" {
				step = 1
			}
			for at := 1; at <= ops; at += step {
				if cut(at); t.Failed() {
					t.Fatalf("cut at %d of %d", at, ops)
				}
			}
		})
	}
}

// cutAt runs an update in which the power is cut once, and returns how many operations there were.
func (r *rig) cutAt(number string, cut int, done func(u devicetest.Update) bool, want []byte) (ops int) {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	alive, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { ops = r.livesWithCuts(alive, cut) })
	u, err := r.hub.WaitUpdate(ctx, number, done)
	if err == nil {
		r.idle(ctx)
	}
	stop()
	wg.Wait()
	if err != nil {
		r.t.Errorf("cut at %d: %v: states %q, attested %+v", cut, err, u.States, u.Attested)
	}
	r.runs(want)
	if boot, err := r.board.Boot(r.t.Context()); err != nil || !boot.Confirmed || boot.Armed {
		r.t.Errorf("boot loader %+v, %v", boot, err)
	}
	return ops
}

// livesWithCuts runs a board through restarts; the power is cut at the given operation of all starts together, as if one supply counted. After the
// cut it runs on without.
func (r *rig) livesWithCuts(ctx context.Context, cut int) (ops int) {
	left, wasCut := cut, cut == 0
	for ctx.Err() == nil {
		if err := r.board.PowerOn(max(left, 0)); err != nil {
			r.t.Error(err)
			return ops
		}
		r.run(ctx)
		n := r.board.Power().Ops()
		ops += n
		if wasCut = wasCut || r.board.Power().Off(); wasCut {
			left = 0
		} else {
			left -= n
		}
	}
	return ops
}
