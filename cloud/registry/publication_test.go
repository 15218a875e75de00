package registry

import (
	"errors"
	"testing"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func TestVersions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		p, err := r.CreateProduct(ctx, NewProduct{Name: "meter", Template: template(t, "t")})
		if err != nil {
			t.Fatal(err)
		}
		v, err := r.Publish(ctx, p.SN, Publication{By: "user:ann", Note: "first", IfRevision: &p.Revision})
		if err != nil || v.Number != 1 || v.By != "user:ann" || v.Note != "first" || len(v.Template.Property) != 1 || v.Published.IsZero() {
			t.Fatalf("Publish: %v, %+v", err, v)
		}
		if _, err := r.Publish(ctx, p.SN, Publication{}); !errors.Is(err, ErrPublished) {
			t.Errorf("Publish again: %v, want ErrPublished", err)
		}
		if _, err := r.RestoreVersion(ctx, p.SN, 1); !errors.Is(err, ErrPublished) {
			t.Errorf("RestoreVersion of a published product: %v, want ErrPublished", err)
		}
		if p, err = r.Unpublish(ctx, p.SN); err != nil || p.Published {
			t.Fatalf("Unpublish: %v", err)
		}
		if _, err := r.SetTemplate(ctx, p.SN, template(t, "u")); err != nil {
			t.Fatal(err)
		}
		stale := p.Revision
		if _, err := r.Publish(ctx, p.SN, Publication{IfRevision: &stale}); !errors.Is(err, ErrRevision) {
			t.Errorf("Publish of a revision that has passed: %v", err)
		}
		on := true
		for range 2 { // the second makes no version
			if p, err = r.UpdateProduct(ctx, p.SN, ProductUpdate{Published: &on, By: "key:k1"}); err != nil || !p.Published {
				t.Fatalf("published by an update: %v", err)
			}
		}
		list, next, err := r.Versions(ctx, p.SN, Page{})
		if err != nil || len(list) != 2 || next != "" || list[0].Number != 2 || list[0].By != "key:k1" || list[1].Note != "first" {
			t.Fatalf("Versions: %v, %+v, next %q", err, list, next)
		}
		list, next, err = r.Versions(ctx, p.SN, Page{Limit: 1})
		if err != nil || len(list) != 1 || next == "" {
			t.Fatalf("first page: %v, %+v, next %q", err, list, next)
		}
		if list, next, err = r.Versions(ctx, p.SN, Page{Limit: 1, Cursor: next}); err != nil || len(list) != 1 || list[0].Number != 1 || next != "" {
			t.Fatalf("second page: %v, %+v, next %q", err, list, next)
		}
		if v, err = r.Version(ctx, p.SN, 2); err != nil || v.Template.Property[0].Identifier != "u" {
			t.Errorf("Version: %v, %+v", err, v)
		}
		if _, err := r.Version(ctx, p.SN, 3); !errors.Is(err, ErrVersionNotFound) {
			t.Errorf("Version 3: %v", err)
		}
		if _, err := r.Unpublish(ctx, p.SN); err != nil {
			t.Fatal(err)
		}
		if p, err = r.RestoreVersion(ctx, p.SN, 1); err != nil || !p.Model.HasProperty("t") || p.Model.HasProperty("u") {
			t.Errorf("RestoreVersion: %v", err)
		}
		if err := r.DeleteProduct(ctx, p.SN); err != nil {
			t.Fatal(err)
		}
		if list, _, err = r.Versions(ctx, p.SN, Page{}); err != nil || len(list) != 0 {
			t.Errorf("versions of a product that is gone: %v, %+v", err, list)
		}
		if _, err := r.Publish(ctx, p.SN, Publication{}); !errors.Is(err, ErrProductNotFound) {
			t.Errorf("Publish of no product: %v", err)
		}
	})
}

func TestOldVersionsGo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		p := product(t, r)
		if _, err := r.Publish(ctx, p.SN, Publication{}); err != nil {
			t.Fatal(err)
		}
		err := db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE thing_model_version SET number = ? WHERE product = ?`, maxVersions+6, p.SN)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `INSERT INTO thing_model_version (product, number, template, published_at) VALUES (?, ?, ?, ?)`, p.SN, 7, "", 1)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Unpublish(ctx, p.SN); err != nil {
			t.Fatal(err)
		}
		v, err := r.Publish(ctx, p.SN, Publication{})
		if err != nil || v.Number != maxVersions+7 {
			t.Fatalf("Publish: %v, %+v", err, v)
		}
		list, _, err := r.Versions(ctx, p.SN, Page{})
		if err != nil || len(list) != 2 || list[1].Number != maxVersions+6 {
			t.Errorf("Versions: %v, %+v", err, list)
		}
	})
}
