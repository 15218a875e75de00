package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func open(t testing.TB, db *store.DB) *Registry {
	t.Helper()
	r, err := New(t.Context(), db, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return r
}

func product(t testing.TB, r *Registry) *Product {
	t.Helper()
	p, err := r.CreateProduct(t.Context(), NewProduct{Name: "meter"})
	if err != nil {
		t.Fatalf("CreateProduct: %v", err)
	}
	return p
}

func template(t testing.TB, id string) *thing.Template {
	t.Helper()
	tmpl, err := thing.ParseTemplate([]byte(`{"Property":[{"Identifier":"` + id + `","Name":"n","AccessMode":"rw","DataType":{"Type":"int32","Spec":{"Min":0,"Max":9}}}],"Event":[],"Command":[]}`))
	if err != nil {
		t.Fatalf("ParseTemplate: %v", err)
	}
	return tmpl
}

func TestProductLife(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		var seen []ChangeKind
		r.Watch(func(c Change) { seen = append(seen, c.Kind) })
		p, err := r.CreateProduct(ctx, NewProduct{Name: "meter", Description: "d", Kind: KindGateway, DynamicRegister: true, Template: template(t, "t")})
		if err != nil {
			t.Fatalf("CreateProduct: %v", err)
		}
		if err := ident.CheckProductSN(p.SN); err != nil {
			t.Errorf("generated SN: %v", err)
		}
		if len(p.Secret.Reveal()) != 16 || p.Model == nil || !p.Model.HasProperty("t") || !p.Shadow || !p.DynamicRegister || p.PreRegister {
			t.Errorf("product = %+v", p)
		}
		if got, want := len(p.Topics), len(topic.DefaultTemplates()); got != want {
			t.Errorf("%d topics, want the %d defaults", got, want)
		}

		name, off, on := "renamed", false, true
		if p, err = r.UpdateProduct(ctx, p.SN, ProductUpdate{Name: &name, Shadow: &off, Published: &on}); err != nil {
			t.Fatalf("UpdateProduct: %v", err)
		}
		if p.Name != name || p.Shadow || !p.Published || p.Description != "d" || p.Kind != KindGateway {
			t.Errorf("updated product = %+v", p)
		}
		if _, err := r.SetTemplate(ctx, p.SN, template(t, "u")); !errors.Is(err, ErrPublished) {
			t.Errorf("SetTemplate of a published product: %v, want ErrPublished", err)
		}
		if _, err = r.UpdateProduct(ctx, p.SN, ProductUpdate{Published: &off}); err != nil {
			t.Fatalf("unpublish: %v", err)
		}
		if p, err = r.SetTemplate(ctx, p.SN, template(t, "u")); err != nil || p.Model.HasProperty("t") || !p.Model.HasProperty("u") {
			t.Errorf("SetTemplate: %v", err)
		}
		if p, err = r.SetTemplate(ctx, p.SN, nil); err != nil || p.Model != nil || p.Template != nil {
			t.Errorf("SetTemplate(nil): %v, model %v", err, p.Model)
		}
		if p, err = r.SetTopics(ctx, p.SN, []topic.Template{{Path: "a/b", Perm: topic.PubSub}}); err != nil || len(p.Topics) != 1 || p.Topics[0].Perm != topic.PubSub {
			t.Errorf("SetTopics: %v, %v", err, p.Topics)
		}
		if err := r.DeleteProduct(ctx, p.SN); err != nil {
			t.Errorf("DeleteProduct: %v", err)
		}
		if _, err := r.Product(ctx, p.SN); !errors.Is(err, ErrProductNotFound) {
			t.Errorf("deleted product: %v, want ErrProductNotFound", err)
		}
		want := []ChangeKind{ProductCreated, ProductUpdated, ProductUpdated, TemplateChanged, TemplateChanged, TopicsChanged, ProductDeleted}
		if !slices.Equal(seen, want) {
			t.Errorf("watched %v, want %v", seen, want)
		}
	})
}

func TestInvalid(t *testing.T) {
	r := open(t, storetest.SQLite(t))
	p := product(t, r)
	many := make([]topic.Template, MaxTopics+1)
	for i := range many {
		many[i] = topic.Template{Path: fmt.Sprintf("t%d", i), Perm: topic.Pub}
	}
	long := strings.Repeat("x", MaxName+1)
	d := ident.Device{Product: p.SN, SN: "nobody"}
	ctx := t.Context()
	tests := []struct {
		name string
		do   func() error
		want error // nil: an *ErrInvalid
	}{
		{"empty name", func() error { _, err := r.CreateProduct(ctx, NewProduct{}); return err }, nil},
		{"long name", func() error { _, err := r.CreateProduct(ctx, NewProduct{Name: long}); return err }, nil},
		{"kind", func() error { _, err := r.CreateProduct(ctx, NewProduct{Name: "a", Kind: "toaster"}); return err }, nil},
		{"topics", func() error { _, err := r.SetTopics(ctx, p.SN, many); return err }, ErrLimit},
		{"topic twice", func() error { _, err := r.SetTopics(ctx, p.SN, append(many[:1:1], many[0])); return err }, nil},
		{"bad topic", func() error {
			_, err := r.SetTopics(ctx, p.SN, []topic.Template{{Path: "a/+", Perm: topic.Pub}})
			return err
		}, nil},
		{"no product", func() error { _, err := r.CreateDevice(ctx, NewDevice{Product: "0000000000000000"}); return err }, ErrProductNotFound},
		{"product update", func() error { _, err := r.UpdateProduct(ctx, "0000000000000000", ProductUpdate{}); return err }, ErrProductNotFound},
		{"topics of none", func() error { _, err := r.SetTopics(ctx, "0000000000000000", nil); return err }, ErrProductNotFound},
		{"template of none", func() error { _, err := r.SetTemplate(ctx, "0000000000000000", nil); return err }, ErrProductNotFound},
		{"device SN", func() error { _, err := r.CreateDevice(ctx, NewDevice{Product: p.SN, SN: "a b"}); return err }, nil},
		{"count", func() error { _, err := r.CreateDevices(ctx, p.SN, 0, nil); return err }, nil},
		{"too many", func() error { _, err := r.CreateDevices(ctx, p.SN, MaxBatch+1, nil); return err }, ErrLimit},
		{"SN twice", func() error { _, err := r.CreateDevices(ctx, p.SN, 0, []string{"abcd", "abcd"}); return err }, nil},
		{"no device", func() error { _, err := r.Device(ctx, d); return err }, ErrDeviceNotFound},
		{"no device id", func() error { _, err := r.DeviceByID(ctx, 1); return err }, ErrDeviceNotFound},
		{"disable none", func() error { _, err := r.SetEnabled(ctx, d, false); return err }, ErrDeviceNotFound},
		{"reset none", func() error { _, err := r.Reset(ctx, d, true); return err }, ErrDeviceNotFound},
		{"delete none", func() error { return r.DeleteDevice(ctx, d) }, ErrDeviceNotFound},
		{"cursor", func() error { _, _, err := r.Devices(ctx, Filter{}, Page{Cursor: "!"}); return err }, nil},
		{"limit", func() error { _, _, err := r.Products(ctx, Filter{}, Page{Limit: -1}); return err }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.do()
			if tt.want != nil {
				if !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				return
			}
			if _, ok := errors.AsType[*ErrInvalid](err); !ok {
				t.Errorf("got %v, want an *ErrInvalid", err)
			}
		})
	}
}

func TestDeviceLife(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		p := product(t, r)
		var seen []Change
		r.Watch(func(c Change) { seen = append(seen, c) })
		d, err := r.CreateDevice(ctx, NewDevice{Product: p.SN, SN: "00:14:32:e1:72:f1", Name: "one"})
		if err != nil {
			t.Fatalf("CreateDevice: %v", err)
		}
		if _, err := r.CreateDevice(ctx, NewDevice{Product: p.SN, SN: d.Identity.SN}); !errors.Is(err, ErrExists) {
			t.Errorf("the same SN again: %v, want ErrExists", err)
		}
		if err := r.DeleteProduct(ctx, p.SN); !errors.Is(err, ErrHasDevices) {
			t.Errorf("DeleteProduct with a device: %v, want ErrHasDevices", err)
		}
		got, err := r.Device(ctx, d.Identity)
		if err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("Device = %+v, %v, want %+v", got, err, d)
		}
		byID, err := r.DeviceByID(ctx, d.ID)
		if err != nil || byID != got {
			t.Errorf("DeviceByID = %p, %v, want the cached %p", byID, err, got)
		}

		secret := d.Secret
		for _, step := range []struct {
			name   string
			do     func() (*Device, error)
			state  State
			secret func(credential.Secret) bool
		}{
			{"disable", func() (*Device, error) { return r.SetEnabled(ctx, d.Identity, false) }, Disabled, nil},
			{"disable again", func() (*Device, error) { return r.SetEnabled(ctx, d.Identity, false) }, Disabled, nil},
			{"enable, never connected", func() (*Device, error) { return r.SetEnabled(ctx, d.Identity, true) }, Inactive, nil},
			{"connect", func() (*Device, error) { return connect(ctx, r, d) }, Online, nil},
			{"disable online", func() (*Device, error) { return r.SetEnabled(ctx, d.Identity, false) }, Disabled, nil},
			{"enable", func() (*Device, error) { return r.SetEnabled(ctx, d.Identity, true) }, Offline, nil},
			{"reset", func() (*Device, error) { return r.Reset(ctx, d.Identity, false) }, Inactive, nil},
			{"disable to reset", func() (*Device, error) { return r.SetEnabled(ctx, d.Identity, false) }, Disabled, nil},
			{"reset while disabled", func() (*Device, error) { return r.Reset(ctx, d.Identity, false) }, Disabled, nil},
			{"enable after reset", func() (*Device, error) { return r.SetEnabled(ctx, d.Identity, true) }, Inactive, nil},
			{"reset secret", func() (*Device, error) { return r.Reset(ctx, d.Identity, true) }, Inactive, func(s credential.Secret) bool { return s != secret }},
		} {
			got, err := step.do()
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if got.State != step.state {
				t.Errorf("%s: state %v, want %v", step.name, got.State, step.state)
			}
			if again, err := r.Device(ctx, d.Identity); err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("%s: then Device = %+v, %v, want %+v", step.name, again, err, got)
			}
			if step.secret == nil && got.Secret != secret || step.secret != nil && !step.secret(got.Secret) {
				t.Errorf("%s: secret is not as expected", step.name)
			}
		}
		if err := r.DeleteDevice(ctx, d.Identity); err != nil {
			t.Fatalf("DeleteDevice: %v", err)
		}
		if _, err := r.Device(ctx, d.Identity); !errors.Is(err, ErrDeviceNotFound) {
			t.Errorf("deleted device: %v, want ErrDeviceNotFound", err)
		}
		var kinds []ChangeKind
		for _, c := range seen {
			if c.DeviceID != d.ID || c.Device != d.Identity || c.Product != p.SN {
				t.Errorf("change %+v is not of the device", c)
			}
			kinds = append(kinds, c.Kind)
		}
		want := []ChangeKind{DeviceCreated, DeviceDisabled, DeviceEnabled, DeviceDisabled, DeviceEnabled, DeviceReset,
			DeviceDisabled, DeviceReset, DeviceEnabled, DeviceReset, DeviceDeleted}
		if !slices.Equal(kinds, want) {
			t.Errorf("watched %v, want %v", kinds, want)
		}
	})
}

// connect does what presence does: it writes the row and tells the registry.
func connect(ctx context.Context, r *Registry, d *Device) (*Device, error) {
	now := time.UnixMilli(1_700_000_000_000).UTC()
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE device SET state = ?, activated_at = ?, online_at = ? WHERE id = ?`, int64(Online), now.UnixMilli(), now.UnixMilli(), d.ID)
		return err
	})
	r.Touch(d.ID, func(d *Device) { d.State, d.Activated, d.OnlineAt = Online, MomentOf(now), MomentOf(now) })
	if err != nil {
		return nil, err
	}
	return r.Device(ctx, d.Identity)
}

func TestBatchAndPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		p, other := product(t, r), product(t, r)
		const n = 2_345
		start := time.Now()
		made, err := r.CreateDevices(ctx, p.SN, n, nil)
		if err != nil {
			t.Fatalf("CreateDevices: %v", err)
		}
		t.Logf("%d devices in %v", n, time.Since(start))
		if _, err := r.CreateDevices(ctx, other.SN, 0, []string{"abc-1", "abc-2", "abd-3"}); err != nil {
			t.Fatalf("CreateDevices by SN: %v", err)
		}
		if _, err := r.CreateDevices(ctx, other.SN, 0, []string{"abc-9", "abc-2"}); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "abc-2") {
			t.Errorf("a list with an SN that is taken: %v, want ErrExists with its name", err)
		}
		if _, err := r.Device(ctx, ident.Device{Product: other.SN, SN: "abc-9"}); !errors.Is(err, ErrDeviceNotFound) {
			t.Errorf("a refused list left a device behind: %v", err)
		}

		var all []int64
		page := Page{Limit: 1000}
		for {
			list, next, err := r.Devices(ctx, Filter{Product: p.SN}, page)
			if err != nil {
				t.Fatalf("Devices: %v", err)
			}
			for _, d := range list {
				all = append(all, d.ID)
			}
			if page.Cursor = next; next == "" {
				break
			}
		}
		if len(all) != n || !slices.IsSorted(all) || all[0] != made[0].ID || all[n-1] != made[n-1].ID {
			t.Errorf("pages hold %d devices, want the %d in order", len(all), n)
		}
		inactive, disabled := Inactive, Disabled
		if _, err := r.SetEnabled(ctx, ident.Device{Product: other.SN, SN: "abc-1"}, false); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name   string
			filter Filter
			want   int
		}{
			{"all", Filter{}, n + 3},
			{"SN prefix", Filter{Product: other.SN, SNPrefix: "abc"}, 2},
			{"case", Filter{Product: other.SN, SNPrefix: "ABC"}, 0},
			{"wildcard", Filter{Product: other.SN, SNPrefix: "%"}, 0},
			{"name", Filter{Product: other.SN, NamePrefix: "x"}, 0},
			{"inactive", Filter{Product: other.SN, State: &inactive}, 2},
			{"disabled", Filter{State: &disabled}, 1},
		} {
			if got, err := r.CountDevices(ctx, tt.filter, false); err != nil || got.Total != tt.want {
				t.Errorf("%s: %v devices, %v, want %d", tt.name, got, err, tt.want)
			}
		}
		list, next, err := r.Products(ctx, Filter{}, Page{Limit: 1})
		if err != nil || len(list) != 1 || next == "" || len(list[0].Topics) == 0 {
			t.Fatalf("first page of products: %v, %q, %v", list, next, err)
		}
		second, next, err := r.Products(ctx, Filter{}, Page{Limit: 1, Cursor: next})
		if err != nil || len(second) != 1 || next != "" || second[0].SN == list[0].SN {
			t.Errorf("second page of products: %v, %q, %v", second, next, err)
		}
	})
}

func TestCacheIsNotStale(t *testing.T) {
	r := open(t, storetest.SQLite(t))
	p := product(t, r)
	d, err := r.CreateDevice(t.Context(), NewDevice{Product: p.SN})
	if err != nil {
		t.Fatal(err)
	}
	old := *d
	ticket := r.devices.ticket()
	r.Touch(d.ID, func(*Device) {}) // not held: only notes the change
	r.devices.fill(ticket, &old)
	if _, ok := r.devices.get(d.Identity); ok {
		t.Error("a snapshot from before a change was kept")
	}
	other := Device{ID: d.ID + 1, Identity: ident.Device{Product: p.SN, SN: "other"}}
	r.devices.fill(ticket, &other)
	if _, ok := r.devices.getID(other.ID); !ok {
		t.Error("a snapshot of an unchanged device was not kept")
	}
	for range changesKept + 1 {
		r.Invalidate(1)
	}
	r.Invalidate(other.ID)
	r.devices.fill(ticket, &other)
	if _, ok := r.devices.getID(other.ID); ok {
		t.Error("a snapshot older than what is remembered of changes was kept")
	}
}

func TestIDs(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newIDSource(0, func() time.Time { return now })
	last := int64(0)
	for _, n := range []int{1, 10_000, 1, 5} {
		first := s.take(n)
		if first <= last {
			t.Errorf("take(%d) = %d, not above %d", n, first, last)
		}
		last = first + int64(n) - 1
	}
	now = now.Add(-time.Hour) // a step back
	if first := s.take(1); first <= last {
		t.Errorf("after a step back of the clock: %d, not above %d", first, last)
	}
}

func BenchmarkProduct(b *testing.B) {
	r := open(b, storetest.SQLite(b))
	p := product(b, r)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Product(ctx, p.SN); err != nil {
			b.Fatal(err)
		}
	}
}
