package registry

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/ident"
)

func TestGroups(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		p := product(t, r)
		devices, err := r.CreateDevices(ctx, p.SN, 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		g, err := r.CreateGroup(ctx, NewGroup{Project: DefaultProject, Name: "east", Description: "d"})
		if err != nil || g.Revision != 1 || g.Description != "d" {
			t.Fatalf("CreateGroup: %+v, %v", g, err)
		}
		if _, err := r.CreateGroup(ctx, NewGroup{Project: DefaultProject, Name: "east"}); !errors.Is(err, ErrGroupExists) {
			t.Errorf("the same name: %v, want ErrGroupExists", err)
		}
		if _, err := r.CreateGroup(ctx, NewGroup{Project: "other", Name: "east"}); err != nil {
			t.Errorf("the same name in another project: %v", err)
		}
		both := []ident.Device{devices[0].Identity, devices[1].Identity}
		if n, err := r.AddMembers(ctx, DefaultProject, "east", both); err != nil || n != 2 {
			t.Errorf("AddMembers: %d, %v, want 2", n, err)
		}
		if n, err := r.AddMembers(ctx, DefaultProject, "east", both[1:]); err != nil || n != 0 {
			t.Errorf("AddMembers again: %d, %v, want 0", n, err)
		}
		if _, err := r.AddMembers(ctx, "other", "east", both); !errors.Is(err, ErrDeviceNotFound) {
			t.Errorf("a device of another project: %v, want ErrDeviceNotFound", err)
		}
		if n, err := r.RemoveMembers(ctx, DefaultProject, "east", both[:1]); err != nil || n != 1 {
			t.Errorf("RemoveMembers: %d, %v, want 1", n, err)
		}
		inEast := func() int {
			c, err := r.CountDevices(ctx, Filter{Project: DefaultProject, Query: "group:east"}, false)
			if err != nil {
				t.Error(err)
			}
			return c.Total
		}
		if n := inEast(); n != 1 {
			t.Errorf("%d members, want 1", n)
		}
		if err := r.DeleteDevice(ctx, both[1]); err != nil || inEast() != 0 {
			t.Errorf("a deleted device is a member still, %v", err)
		}
		west, one := "west", int64(1)
		if _, err := r.UpdateGroup(ctx, DefaultProject, "east", GroupUpdate{Name: &west, IfRevision: &one}); !errors.Is(err, ErrRevision) {
			t.Errorf("an old revision: %v, want ErrRevision", err)
		}
		if g, err = r.UpdateGroup(ctx, DefaultProject, "east", GroupUpdate{Name: &west}); err != nil || g.Name != west {
			t.Errorf("UpdateGroup: %+v, %v", g, err)
		}
		byFilter := "state:online"
		if _, err := r.UpdateGroup(ctx, DefaultProject, west, GroupUpdate{Filter: &byFilter}); err == nil {
			t.Error("a group of members took a filter")
		}
		if _, err := r.CreateGroup(ctx, NewGroup{Project: DefaultProject, Name: "query", Filter: byFilter}); err != nil {
			t.Error(err)
		}
		if _, err := r.AddMembers(ctx, DefaultProject, "query", both[:1]); !errors.Is(err, ErrGroupByFilter) {
			t.Errorf("a member for a group of a filter: %v, want ErrGroupByFilter", err)
		}
		_, err = r.CreateGroup(ctx, NewGroup{Project: DefaultProject, Name: "nested", Filter: "state:online group:west"})
		if e, ok := errors.AsType[*filter.Error](err); !ok || e.Pos != 13 {
			t.Errorf("a group in a group: %v, want a *filter.Error at 13", err)
		}
		list, err := r.ReadGroups(ctx, []int64{g.ID, g.ID + 1_000_000})
		if err != nil || len(list) != 1 || list[0].Name != west {
			t.Errorf("ReadGroups: %v, %v", list, err)
		}
		if list, err := r.ReadGroups(ctx, nil); err != nil || len(list) != 0 {
			t.Errorf("ReadGroups of none: %v, %v", list, err)
		}
		if err := r.DeleteGroup(ctx, DefaultProject, west); err != nil {
			t.Error(err)
		}
		if err := r.DeleteGroup(ctx, DefaultProject, west); !errors.Is(err, ErrGroupNotFound) {
			t.Errorf("DeleteGroup again: %v, want ErrGroupNotFound", err)
		}
	})
}

// TestTags: they are read back as they were set, found as they are, and no longer found as they were.
func TestTags(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		p := product(t, r)
		d, err := r.CreateDevice(ctx, NewDevice{Product: p.SN, Name: "One", Tags: Tags{"region": "eu", "empty": ""}})
		if err != nil {
			t.Fatal(err)
		}
		found := func(query string, want int) {
			t.Helper()
			for _, q := range []string{query, query + " -state:disabled sn:" + d.Identity.SN} { // by the term, and by the row
				if c, err := r.CountDevices(ctx, Filter{Project: DefaultProject, Query: q}, false); err != nil || c.Total != want {
					t.Errorf("%s: %d, %v, want %d", q, c.Total, err, want)
				}
			}
		}
		found(`tag.region:eu tag.empty:"" name:one`, 1)
		name := "Two"
		if _, err = r.UpdateDevice(ctx, d.Identity, DeviceUpdate{Name: &name, Tags: Tags{"region": "us", "a=": ""}}); err == nil {
			t.Error("a tag with = in its name was taken")
		}
		if d, err = r.UpdateDevice(ctx, d.Identity, DeviceUpdate{Tags: Tags{"region": "us", "new": "x=y z"}, DropTags: []string{"empty", "none"}, Name: &name}); err != nil {
			t.Fatal(err)
		}
		if want := (Tags{"region": "us", "new": "x=y z"}); !maps.Equal(d.Tags, want) || d.Revision != 2 {
			t.Errorf("tags %v, revision %d, want %v and 2", d.Tags, d.Revision, want)
		}
		found("tag.region:eu", 0)
		found("tag.empty:*", 0)
		found("name:one", 0)
		found(`tag.region:us tag.new:"x=y z" name:two`, 1)
		if d, err = r.UpdateDevice(ctx, d.Identity, DeviceUpdate{AllTags: &Tags{}}); err != nil || d.Tags != nil {
			t.Errorf("no tags: %v, %v", d, err)
		}
		found("tag.region:us", 0)
		if err := r.DeleteDevice(ctx, d.Identity); err != nil {
			t.Error(err)
		}
		var n int
		if err := db.QueryRow(ctx, `SELECT COUNT(*) FROM device_term`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d terms are left, %v", n, err)
		}
	})
}

func TestTagLimits(t *testing.T) {
	r := open(t, storetest.SQLite(t))
	p := product(t, r)
	many := Tags{}
	for i := range MaxTags + 1 {
		many[fmt.Sprint("t", i)] = ""
	}
	for name, tags := range map[string]Tags{
		"too many":   many,
		"long name":  {strings.Repeat("x", 65): ""},
		"bad name":   {"a b": ""},
		"no name":    {"": "x"},
		"long value": {"a": strings.Repeat("ü", MaxTagValue+1)},
		"newline":    {"a": "b\nc"},
	} {
		if _, err := r.CreateDevice(t.Context(), NewDevice{Product: p.SN, Tags: tags}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	delete(many, "t0")
	d, err := r.CreateDevice(t.Context(), NewDevice{Product: p.SN, Tags: many})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.UpdateDevice(t.Context(), d.Identity, DeviceUpdate{Tags: Tags{"one.more": ""}}); !errors.Is(err, ErrLimit) {
		t.Errorf("one more: %v, want ErrLimit", err)
	}
}
