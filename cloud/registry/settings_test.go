package registry

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func TestSettings(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := open(t, db)
		p := product(t, r)
		if p.Settings != (Settings{}) {
			t.Errorf("a new product's settings: %+v, want the hub's", p.Settings)
		}
		rate, size, off := 0.5, int64(4096), false
		want := Settings{PublishRate: &rate, MaxPacket: &size, Retain: &off}
		p, err := r.UpdateProduct(t.Context(), p.SN, ProductUpdate{Settings: &want})
		if err != nil || !reflect.DeepEqual(p.Settings, want) || p.Revision != 2 {
			t.Errorf("settings %+v, %v, want %+v", p.Settings, err, want)
		}
		if p, err = r.UpdateProduct(t.Context(), p.SN, ProductUpdate{Settings: &Settings{}}); err != nil || p.Settings != (Settings{}) {
			t.Errorf("settings %+v, %v, want the hub's again", p.Settings, err)
		}
	})
}

func TestSettingsBounds(t *testing.T) {
	r := open(t, storetest.SQLite(t))
	n := func(v int64) *int64 { return &v }
	f := func(v float64) *float64 { return &v }
	for _, s := range []Settings{
		{PublishRate: f(0)}, {PublishRate: f(-1)}, {PublishRate: f(math.NaN())}, {PublishRate: f(MaxPublishRate + 1)},
		{PublishBytes: n(0)}, {PublishBytes: n(MaxPublishBytes + 1)}, {MaxPacket: n(MinPacket - 1)}, {MaxPacket: n(MaxPacket + 1)},
		{MaxSubscriptions: n(0)}, {MaxSubscriptions: n(MaxSubscriptionsSet + 1)},
	} {
		_, err := r.CreateProduct(t.Context(), NewProduct{Name: "p", Settings: s})
		if e, ok := errors.AsType[*ErrInvalid](err); !ok || e.Reason == "" {
			t.Errorf("%+v: %v, want an *ErrInvalid", s, err)
		}
	}
}
