package shadow

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestHistory: the last changes are there, newest first, with who made them; what changed no value, is too old or too deep is not.
func TestHistory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		r.shadows.History.Depth = 4
		ctx, dev, up := t.Context(), r.device.Identity, topic.ShadowUpstream
		update := func(body string) {
			t.Helper()
			r.want(up, `{"Method":"update","State":{"Reported":`+body+`}}`, fmt.Sprintf(`{"Method":"reply","Payload":{"RetCode":0},"Version":%d,"Timestamp":T}`, r.version()+1))
		}
		update(`{"a":1}`)
		update(`{"a":1}`) // a revision, and no change
		if _, err := r.shadows.Desire(ctx, dev, Wish{Desired: []byte(`{"b":2}`), By: By{ActorUser, "u_1"}}); err != nil {
			t.Fatal(err)
		}
		r.want(up, `{"Method":"update","State":{"Desired":null}}`, `{"Method":"reply","Payload":{"RetCode":0},"Version":4,"Timestamp":T}`)
		if err := r.shadows.Delete(ctx, dev, nil, By{ActorKey, "k_1"}); err != nil {
			t.Fatal(err)
		}
		want := []string{
			`5 v0 key k_1 {"reported":{"a":null,"b":null}}`,
			`4 v4 device  {"reported":{"b":2},"desired":{"b":null}}`,
			`3 v3 user u_1 {"desired":{"b":2}}`,
		}
		list := func(before int64, limit int) (all []string) {
			t.Helper()
			changes, err := r.shadows.Changes(ctx, dev, before, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				if time.Since(c.At) > time.Minute {
					t.Errorf("revision %d at %v", c.Revision, c.At)
				}
				all = append(all, fmt.Sprintf("%d v%d %s %s %s", c.Revision, c.Version, c.By.Actor, c.By.Name, c.What))
			}
			return all
		}
		if got := list(0, 10); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := list(5, 1); len(got) != 1 || got[0] != want[1] {
			t.Errorf("second page %v", got)
		}
		trim := r.shadows.Trimmer()
		if n, err := trim.Trim(ctx, time.Now()); n != 0 || err != nil {
			t.Errorf("Trim took %d, %v", n, err)
		}
		if n, err := trim.Trim(ctx, time.Now().Add(r.shadows.History.MaxAge+time.Hour)); n == 0 || err != nil || len(list(0, 10)) != 0 {
			t.Errorf("Trim took %d, %v", n, err)
		}
	})
}

// TestWishTooLargeForDevice: what no message can hold is refused when the device is known, unless it has announced more.
func TestWishTooLargeForDevice(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	wish := Wish{Desired: []byte(`{"a":"` + strings.Repeat("x", 2000) + `"}`)}
	if _, err := r.shadows.Desire(t.Context(), r.device.Identity, wish); err != nil {
		t.Fatalf("a device that has never been there: %v", err)
	}
	r.shadows.Registry.Touch(r.device.ID, func(d *registry.Device) { d.Activated = registry.MomentOf(time.Now()) })
	before := r.version()
	wish.Desired = []byte(`{"b":"` + strings.Repeat("x", 2000) + `"}`)
	if _, err := r.shadows.Desire(t.Context(), r.device.Identity, wish); !errors.Is(err, ErrTooLargeForDevice) || r.version() != before {
		t.Errorf("Desire: %v, version %d", err, r.version())
	}
	r.told.buffer = 8192
	if _, err := r.shadows.Desire(t.Context(), r.device.Identity, wish); err != nil {
		t.Errorf("a device with a larger buffer: %v", err)
	}
}

// TestFault: a fault of the hub's own is answered too, once.
func TestFault(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	err := r.shadows.Store.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO shadow (device, revision, version, doc, updated_at) VALUES (?, 1, 1, ?, 0)`, r.device.ID, []byte("damaged"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []topic.Kind{topic.ShadowUpstream, topic.ShadowGet} {
		r.line.take()
		if err := r.path.Do(t.Context(), r.message(kind, `{"Method":"update","State":{"Reported":{"a":1}}}`)); err == nil {
			t.Errorf("%s was taken", kind)
		}
		if got := r.line.take(); len(got) != 1 || plain(got[0]) != `{"Method":"reply","Payload":{"RetCode":130},"Version":0,"Timestamp":T}` {
			t.Errorf("%s: answers %v", kind, got)
		}
	}
}

// TestSwitchedOffLater: a refusal tells the version of what is kept.
func TestSwitchedOffLater(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.want(topic.ShadowUpstream, `{"Method":"update","State":{"Reported":{"a":1}}}`, `{"Method":"reply","Payload":{"RetCode":0},"Version":1,"Timestamp":T}`)
	off := false
	if _, err := r.shadows.Registry.UpdateProduct(t.Context(), r.product.SN, registry.ProductUpdate{Shadow: &off}); err != nil {
		t.Fatal(err)
	}
	r.want(topic.ShadowGet, ``, `{"Method":"reply","Payload":{"RetCode":100027},"Version":1,"Timestamp":T}`)
}
