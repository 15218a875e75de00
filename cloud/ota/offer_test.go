package ota

import (
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// TestAsksUnderAnOffer: a device has connected and not subscribed yet, so that the offer which the hub makes by itself finds nobody; it subscribes and asks
// before the note of that offer is taken back. It is offered the firmware a second later, and not only after the time for devices that do not listen.
func TestAsksUnderAnOffer(t *testing.T) {
	for name, begin := range map[string]func(f *fixture, fw *Firmware) func(){
		"campaign": func(f *fixture, fw *Firmware) func() {
			f.campaign(fw, Spec{})
			return func() {
				if err := f.tick(f.t.Context()); err != nil {
					f.t.Fatal(err)
				}
			}
		},
		"task": func(f *fixture, fw *Firmware) func() {
			f.task(fw, "thermo-0")
			return func() {
				if !f.sooner.due(f.clock) && f.clock.Second()%10 != 0 {
					return // as Run does
				}
				if err := f.push(f.t.Context()); err != nil {
					f.t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, storetest.SQLite(t))
			f.clock = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			d := f.fleet("thermo", 1)[0]
			turn := begin(f, f.firmwareOf("2.0", "new"))
			f.connected(d)
			f.wire.away[d.Identity.SN] = true
			asked := 0
			f.wire.missed = func(ident.Device) {
				asked++
				f.wire.mu.Lock()
				f.wire.away[d.Identity.SN] = false
				f.wire.mu.Unlock()
				if got := f.say(d, 1, requestOld); got != "" {
					t.Errorf("answered under the note of another offer: %s", got)
				}
			}
			for range 4 {
				turn()
				f.clock = f.clock.Add(time.Second)
			}
			if got := f.offered(); asked != 1 || len(got) != 1 {
				t.Fatalf("asked %d times under an offer, was offered it %d times", asked, len(got))
			}
			turn()
			if got := f.offered(); len(got) != 0 {
				t.Errorf("offered a second time")
			}
		})
	}
}

// TestPutOff: the younger its session, the sooner a device is tried again that did not take its offer.
func TestPutOff(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.fleet("thermo", 1)[0]
	f.task(f.firmwareOf("2.0", "new"), "thermo-0")
	f.connected(d)
	f.wire.away[d.Identity.SN] = true
	for _, want := range []time.Duration{1, 1, 2, 4, 8, 16, 30, 30} {
		var tries int
		f.wire.missed = func(ident.Device) { tries++ }
		if err := f.push(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := f.query(t.Context(), `WHERE d.device = ?`, d.ID)
		if err != nil || len(list) != 1 || list[0].State != Initial || tries != 1 {
			t.Fatalf("%+v, %d tries, %v", list, tries, err)
		}
		if got := list[0].nextAt.Sub(f.clock).Round(time.Second); got != want*time.Second {
			t.Errorf("tried again after %s, want %ds", got, want)
		}
		f.clock = list[0].nextAt
	}
}

// connected notes that the device's session begins now.
func (f *fixture) connected(d *registry.Device) {
	f.t.Helper()
	err := f.Store.Update(f.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(f.t.Context(), `UPDATE session SET connected_at = ? WHERE device = ?`, f.clock.UnixMilli(), d.ID)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// TestToldAgain: a device that goes on with an update that was called off is told so when it speaks of it; one whose update ended otherwise is not.
func TestToldAgain(t *testing.T) {
	const (
		loads = `{"Method":"report_progress","Payload":{"Module":"default","State":"downloading","Percent":40}}`
		word  = `{"Method":"cancel_update","Payload":{"Module":"default","Version":"2.0"}}`
	)
	f := newFixture(t, storetest.SQLite(t))
	d := f.device("thermo-1")
	if got := f.say(d, 1, loads); got != "" {
		t.Errorf("of nothing: %s", got)
	}
	task := f.task(f.firmwareOf("2.0", "x"), "thermo-1")
	parseOffer(t, f.say(d, 1, requestOld))
	if got := f.say(d, 1, loads); got != "" {
		t.Errorf("while it goes on: %s", got)
	}
	if _, err := f.CancelTask(t.Context(), f.product, task.ID); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{loads, said(task, 1, 1, "downloading", "", 0, 0)} {
		if got := f.say(d, 1, says); got != word {
			t.Errorf("%s: got %q, want %q", says, got, word)
		}
	}
	for _, says := range []string{said(task, 1, 2, "failed", "NET", 0, 0), reportOld, succeed} {
		if got := f.say(d, 1, says); got != "" {
			t.Errorf("%s: got %q", says, got)
		}
	}
	f.task(f.firmwareOf("3.0", "y"), "thermo-1")
	parseOffer(t, f.say(d, 2, requestOld))
	f.say(d, 2, `{"Method":"report_fail","Payload":{"ErrCode":-1}}`)
	if got := f.say(d, 2, loads); got != "" {
		t.Errorf("of one that has failed: %s", got)
	}
}
