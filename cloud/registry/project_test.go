package registry

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/ident"
)

func TestProjects(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		mine := product(t, r)
		theirs, err := r.CreateProduct(ctx, NewProduct{Name: "theirs", Project: "other"})
		if err != nil || mine.Project != DefaultProject || theirs.Project != "other" {
			t.Fatalf("projects %q and %q, %v", mine.Project, theirs.Project, err)
		}
		d, err := r.CreateDevice(ctx, NewDevice{Product: theirs.SN})
		if err != nil || d.Project != "other" {
			t.Fatalf("a device's project is %q, %v, want its product's", d.Project, err)
		}
		for project, want := range map[string]string{"other": theirs.SN, DefaultProject: mine.SN} {
			list, next, err := r.Products(ctx, Filter{Project: project}, Page{})
			if err != nil || next != "" || len(list) != 1 || list[0].SN != want {
				t.Errorf("products of %s: %v, %q, %v, want %s alone", project, list, next, err, want)
			}
		}
		for project, want := range map[string]int{"other": 1, DefaultProject: 0, "": 1} {
			if got, err := r.CountDevices(ctx, Filter{Project: project}, false); err != nil || got.Total != want {
				t.Errorf("devices of %q: %v, %v, want %d", project, got, err, want)
			}
		}
	})
}

// TestRevision: it rises with each change, not with presence, and an update may be held to the one that its caller has seen.
// TestWriters: of two who change the same revision at the same moment one is refused, whatever they change.
func TestWriters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		p := product(t, r)
		d, err := r.CreateDevice(ctx, NewDevice{Product: p.SN})
		if err != nil {
			t.Fatal(err)
		}
		tmpl := template(t, "t")
		topics := func(only IfRevision) error { _, err := r.SetTopics(ctx, p.SN, nil, only); return err }
		model := func(only IfRevision) error { _, err := r.SetTemplate(ctx, p.SN, tmpl, only); return err }
		reset := func(only IfRevision) error { _, err := r.Reset(ctx, d.Identity, true, only); return err }
		disable := func(only IfRevision) error { _, err := r.SetEnabled(ctx, d.Identity, false, only); return err }
		enable := func(only IfRevision) error { _, err := r.SetEnabled(ctx, d.Identity, true, only); return err }
		remove := func(only IfRevision) error { return r.DeleteDevice(ctx, d.Identity, only) }
		for _, pair := range []struct {
			name     string
			revision func() int64
			writers  [2]func(IfRevision) error
		}{
			{"topics and model", func() int64 { return reread(t, r.Product, p.SN).Revision }, [2]func(IfRevision) error{topics, model}},
			{"reset and disable", func() int64 { return reread(t, r.Device, d.Identity).Revision }, [2]func(IfRevision) error{reset, disable}},
			{"enable twice", func() int64 { return reread(t, r.Device, d.Identity).Revision }, [2]func(IfRevision) error{enable, enable}},
			{"delete and reset", func() int64 { return reread(t, r.Device, d.Identity).Revision }, [2]func(IfRevision) error{remove, reset}},
		} {
			if pair.name == "enable twice" && reread(t, r.Device, d.Identity).State != Disabled {
				if _, err := r.SetEnabled(ctx, d.Identity, false); err != nil {
					t.Fatal(err)
				}
			}
			seen := IfRevision(pair.revision())
			var errs [2]error
			var wg sync.WaitGroup
			for i, write := range pair.writers {
				wg.Go(func() { errs[i] = write(seen) })
			}
			wg.Wait()
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Errorf("%s: %v and %v, want one refused", pair.name, errs[0], errs[1])
			}
			if err := cmp.Or(errs[0], errs[1]); !errors.Is(err, ErrRevision) && !errors.Is(err, ErrDeviceNotFound) {
				t.Errorf("%s: %v, want ErrRevision", pair.name, err)
			}
		}
		stale := IfRevision(1)
		if err := r.DeleteProduct(ctx, p.SN, stale); !errors.Is(err, ErrRevision) {
			t.Errorf("delete of a product that was changed: %v, want ErrRevision", err)
		}
	})
}

func reread[K, V any](t *testing.T, read func(context.Context, K) (V, error), key K) V {
	t.Helper()
	v, err := read(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRevision(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		p := product(t, r)
		d, err := r.CreateDevice(ctx, NewDevice{Product: p.SN})
		if err != nil || p.Revision != 1 || d.Revision != 1 {
			t.Fatalf("new: revisions %d and %d, %v, want 1", p.Revision, d.Revision, err)
		}
		name, old := "b", int64(1)
		if p, err = r.UpdateProduct(ctx, p.SN, ProductUpdate{Name: &name, IfRevision: &old}); err != nil || p.Revision != 2 {
			t.Errorf("update: %v, %v, want revision 2", p, err)
		}
		if _, err = r.UpdateProduct(ctx, p.SN, ProductUpdate{Name: &name, IfRevision: &old}); !errors.Is(err, ErrRevision) {
			t.Errorf("update of an old revision: %v, want ErrRevision", err)
		}
		if p, err = r.SetTopics(ctx, p.SN, nil); err != nil || p.Revision != 3 {
			t.Errorf("topics: %v, %v, want revision 3", p, err)
		}
		if p, err = r.SetTemplate(ctx, p.SN, template(t, "t")); err != nil || p.Revision != 4 {
			t.Errorf("template: %v, %v, want revision 4", p, err)
		}
		if d, err = connect(ctx, r, d); err != nil || d.Revision != 1 {
			t.Errorf("connected: %v, %v, want revision 1", d, err)
		}
		if d, err = r.UpdateDevice(ctx, d.Identity, DeviceUpdate{Name: &name, IfRevision: &old}); err != nil || d.Revision != 2 || d.Name != name {
			t.Errorf("update: %v, %v, want revision 2", d, err)
		}
		if _, err = r.UpdateDevice(ctx, d.Identity, DeviceUpdate{Name: &name, IfRevision: &old}); !errors.Is(err, ErrRevision) {
			t.Errorf("update of an old revision: %v, want ErrRevision", err)
		}
		if d, err = r.SetEnabled(ctx, d.Identity, false); err != nil || d.Revision != 3 {
			t.Errorf("disable: %v, %v, want revision 3", d, err)
		}
		nobody := ident.Device{Product: p.SN, SN: "nobody"}
		if _, err = r.UpdateDevice(ctx, nobody, DeviceUpdate{IfRevision: &old}); !errors.Is(err, ErrDeviceNotFound) {
			t.Errorf("update of none: %v, want ErrDeviceNotFound", err)
		}
	})
}
