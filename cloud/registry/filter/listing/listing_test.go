package listing

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// rules is a list as package rules has it.
var rules = Table{From: `rule r`, ID: `r.id`, Words: []string{"name", "note"}, By: "state", Fields: []Field{
	{Name: "name", Kind: Filled, SQL: `r.name`, Sort: true},
	{Name: "note", Kind: Prefix, SQL: `r.description`, Sort: true},
	{Name: "state", Kind: Choice, Values: []string{"on", "off"}, SQL: `r.enabled`, Sort: true, Is: map[string]string{"on": `r.enabled <> 0`, "off": `r.enabled = 0`}},
	{Name: "action", Match: `EXISTS (SELECT 1 FROM rule_action a WHERE a.rule = r.id AND a.kind = ?)`},
	{Name: "of", Kind: ID, Match: `EXISTS (SELECT 1 FROM rule_action a WHERE a.rule = r.id AND a.connector = ?)`},
	{Name: "dialect", Kind: Number, SQL: `r.dialect`, Sort: true},
	{Name: "created", Kind: Moment, SQL: `r.created_at`},
	{Name: "seen", Kind: Never, SQL: `r.updated_at`, Sort: true},
}}

const day = 24 * 3600 * 1000

// fill makes rules 1 to 6 of ours and one of theirs; rule n was created on day n and seen on day n+10, the first never.
func fill(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		for i, r := range []struct {
			name, note, kind string
			on, dialect      int
		}{{"alpha", "", "mysql", 1, 1}, {"Beta", "Hall 1", "mysql", 0, 2}, {"alp_x", "hall 2", "kafka", 1, 2}, {"ümlaut", "50% \"x\"", "http", 1, 1},
			{"beta 2", "hall", "http", 0, 9}, {"Äpfel", "", "kafka", 1, 2}} {
			seen := int64(i) * day
			if i > 0 {
				seen += 10 * day
			}
			if _, err := tx.Exec(t.Context(), `INSERT INTO rule (id, project, name, description, sql, enabled, dialect, created_at, updated_at) VALUES (?, 'ours', ?, ?, '', ?, ?, ?, ?)`,
				i+1, r.name, r.note, r.on, r.dialect, int64(i+1)*day, seen); err != nil {
				return err
			}
			if _, err := tx.Exec(t.Context(), `INSERT INTO rule_action (id, rule, kind, config, connector) VALUES (?, ?, ?, '', ?)`, i+1, i+1, r.kind, i%2); err != nil {
				return err
			}
		}
		_, err := tx.Exec(t.Context(), `INSERT INTO rule (id, project, name, description, sql, enabled, dialect, created_at, updated_at) VALUES (7, 'theirs', 'alpha', '', '', 1, 1, 1, 1)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		fill(t, db)
		for _, tt := range []struct {
			filter, sort string
			want         []int64
		}{
			{"", "", []int64{1, 2, 3, 4, 5, 6}},
			{"", "-created", []int64{6, 5, 4, 3, 2, 1}},
			{"", "name", []int64{3, 1, 2, 5, 6, 4}}, // byte by byte, a-z and A-Z alike; _ is before h
			{"", "-name", []int64{4, 6, 5, 2, 1, 3}},
			{"", "state", []int64{2, 5, 1, 3, 4, 6}},
			{"", "-dialect", []int64{5, 6, 3, 2, 4, 1}},
			{"", "seen", []int64{1, 2, 3, 4, 5, 6}},
			{"state:on", "", []int64{1, 3, 4, 6}},
			{"-state:on", "", []int64{2, 5}},
			{"state!=on", "", []int64{2, 5}},
			{"name:ALPHA", "", []int64{1}},
			{"name:alp*", "-name", []int64{1, 3}},
			{"name:beta", "", []int64{2}},
			{"name:*", "", []int64{1, 2, 3, 4, 5, 6}},
			{"note:*", "", []int64{2, 3, 4, 5}},
			{`note:""`, "", []int64{1, 6}},
			{`"50%"`, "", []int64{4}},
			{`alp%`, "", nil},
			{`alp_`, "", []int64{3}},
			{"hall", "name", []int64{3, 2, 5}},
			{"ü", "", []int64{4}},
			{"action:mysql OR action:http", "", []int64{1, 2, 4, 5}},
			{"-action:mysql state:on", "", []int64{3, 4, 6}},
			{"of:1", "", []int64{2, 4, 6}},
			{"-of:1", "", []int64{1, 3, 5}},
			{"dialect>1 dialect<=2", "", []int64{2, 3, 6}},
			{"dialect!=2", "", []int64{1, 4, 5}},
			{"created>=1971-01-01", "", nil},
			{"created<-1d", "", []int64{1, 2, 3, 4, 5, 6}},
			{"seen:never", "", []int64{1}},
			{"seen!=never -(state:off OR name:alp*)", "", []int64{4, 6}},
			{"seen<1971-01-01", "", []int64{2, 3, 4, 5, 6}},
		} {
			for _, limit := range []int{1, 2, 100} {
				if got := walk(t, db, Query{Filter: tt.filter, Sort: tt.sort, Limit: limit}); !slices.Equal(got, tt.want) {
					t.Errorf("%q by %q, %d a page: got %v, want %v", tt.filter, tt.sort, limit, got, tt.want)
				}
			}
		}
	})
}

// named is a list whose ids are texts, and whose states depend on the time.
var named = Table{From: `api_key`, ID: `id`, Named: true, Order: "-created", Words: []string{"name"}, By: "state", Fields: []Field{
	{Name: "name", Kind: Filled, SQL: `name`, Sort: true},
	{Name: "state", Kind: Choice, Values: []string{"valid", "expired"},
		Is: map[string]string{"valid": `(expires_at = 0 OR expires_at > ?)`, "expired": `expires_at <> 0 AND expires_at <= ?`}},
	{Name: "created", Kind: Moment, SQL: `created_at`, Sort: true},
}}

// Ids that are texts are walked as numbers are: by the table's own order, and in another, with rows that are equal in it.
func TestNamed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		soon := time.Now().Add(time.Hour).UnixMilli()
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			for i, k := range []struct {
				id, name string
				expires  int64
			}{{"zz", "one", 0}, {"aa", "Two", 1}, {"mm", "two", soon}, {"bb", "one", 2}} {
				if _, err := tx.Exec(t.Context(), `INSERT INTO api_key (id, name, hash, role, created_at, expires_at) VALUES (?, ?, ?, '', ?, ?)`,
					k.id, k.name, []byte{1}, int64(i/2+1)*day, k.expires); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			filter, sort string
			want         []string
		}{
			{"", "", []string{"mm", "bb", "zz", "aa"}},
			{"", "created", []string{"aa", "zz", "bb", "mm"}},
			{"", "name", []string{"bb", "zz", "aa", "mm"}},
			{"state:valid", "-name", []string{"mm", "zz"}},
			{"-state:valid one", "", []string{"bb"}},
		} {
			for _, limit := range []int{1, 3} {
				var got []string
				for q := (Query{Filter: tt.filter, Sort: tt.sort, Limit: limit, Count: true}); ; {
					page, err := named.Page(t.Context(), db, q, `1 = 1`)
					if err != nil {
						t.Fatalf("%q by %q: %v", tt.filter, tt.sort, err)
					}
					if got = append(got, page.Names...); page.Total != int64(len(tt.want)) || page.By["valid"]+page.By["expired"] != page.Total || len(got) > 4 {
						t.Fatalf("%q by %q: %+v, want %d rows", tt.filter, tt.sort, page, len(tt.want))
					}
					if q.Cursor = page.Next; page.Next == "" {
						break
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("%q by %q, %d a page: got %v, want %v", tt.filter, tt.sort, limit, got, tt.want)
				}
			}
		}
		for _, q := range []Query{{Sort: "state"}, {Cursor: "1"}, {Sort: "name", Cursor: base64.RawURLEncoding.EncodeToString([]byte("name\na\n"))}} {
			if _, err := named.Page(t.Context(), db, q, `1 = 1`); err == nil {
				t.Errorf("%+v was taken", q)
			}
		}
	})
}

// walk reads all pages.
func walk(t *testing.T, db *store.DB, q Query) (all []int64) {
	t.Helper()
	for {
		page, err := rules.Page(t.Context(), db, q, `r.project = ?`, "ours")
		if err != nil {
			t.Fatalf("%q by %q: %v", q.Filter, q.Sort, err)
		}
		if all = append(all, page.IDs...); page.Next == "" {
			return all
		}
		if len(page.IDs) != q.Limit || len(all) > 100 {
			t.Fatalf("%q by %q: a page of %d, limit %d, with another behind it", q.Filter, q.Sort, len(page.IDs), q.Limit)
		}
		q.Cursor = page.Next
	}
}

func TestCount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		fill(t, db)
		for _, tt := range []struct {
			filter         string
			total, on, off int64
		}{{"", 6, 4, 2}, {"name:beta*", 2, 0, 2}, {"name:nobody", 0, 0, 0}} {
			page, err := rules.Page(t.Context(), db, Query{Filter: tt.filter, Limit: 1, Count: true}, `r.project = ?`, "ours")
			if err != nil || page.Total != tt.total || page.By["on"] != tt.on || page.By["off"] != tt.off {
				t.Errorf("%q: got %d, %v, %v, want %d, %d on, %d off", tt.filter, page.Total, page.By, err, tt.total, tt.on, tt.off)
			}
		}
	})
}

// What changes between two pages neither hides nor repeats other rows.
func TestChangesBetweenPages(t *testing.T) {
	db := storetest.SQLite(t)
	fill(t, db)
	q := Query{Sort: "name", Limit: 3}
	first, err := rules.Page(t.Context(), db, q, `r.project = ?`, "ours")
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx *store.Tx) error { // the last row of the page goes, another comes before it
		if _, err := tx.Exec(t.Context(), `DELETE FROM rule WHERE id = ?`, first.IDs[2]); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `INSERT INTO rule (id, project, name, sql, created_at, updated_at) VALUES (8, 'ours', 'aaa', '', 1, 1)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	q.Cursor = first.Next
	if got := walk(t, db, q); !slices.Equal(got, []int64{5, 6, 4}) {
		t.Errorf("behind the first page: %v", got)
	}
}

func TestRefused(t *testing.T) {
	db := storetest.SQLite(t)
	fill(t, db)
	first, err := rules.Page(t.Context(), db, Query{Sort: "name", Limit: 1}, `1 = 1`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		q    Query
		want string
	}{
		{Query{Filter: "sn:x"}, "the keys are name, note, state"},
		{Query{Filter: "tag.x:y"}, "is not known"},
		{Query{Filter: "name.x:y"}, "is not known"},
		{Query{Filter: "state:maybe"}, "they are on, off"},
		{Query{Filter: "of:x"}, "no whole number"},
		{Query{Filter: "of<1"}, "compares only dialect and created and seen"},
		{Query{Filter: "dialect:many"}, "no whole number"},
		{Query{Filter: "action:my*"}, "takes no *"},
		{Query{Filter: "created:never"}, "compared by <"},
		{Query{Sort: "size"}, "created, name, note, state, dialect, seen"},
		{Query{Sort: "action"}, "no order"},
		{Query{Sort: "--name"}, "no order"},
		{Query{Cursor: first.Next}, "was not made by this list"},
		{Query{Sort: "-name", Cursor: first.Next}, "was not made by this list"},
		{Query{Sort: "name", Cursor: "zz"}, "was not made by this list"},
		{Query{Sort: "name", Cursor: base64.RawURLEncoding.EncodeToString([]byte("name\na\x00\n1"))}, "was not made by this list"},
		{Query{Sort: "name", Cursor: "!"}, "was not made by this list"},
		{Query{Cursor: "-1"}, "was not made by this list"},
	} {
		_, err := rules.Page(t.Context(), db, tt.q, `1 = 1`)
		_, isFilter := errors.AsType[*filter.Error](err)
		_, isInvalid := errors.AsType[*registry.ErrInvalid](err)
		if !isFilter && !isInvalid || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.q, err, tt.want)
		}
	}
}

func TestSort(t *testing.T) {
	got := Sort([]int64{3, 1, 2}, []string{"a1", "b3"}, func(s string) int64 { return int64(s[1] - '0') })
	if !slices.Equal(got, []string{"b3", "a1"}) {
		t.Errorf("got %v", got)
	}
	if q, args := In[int64]("id", nil); q != `1 = 0` || len(args) != 0 {
		t.Errorf("none: %s, %v", q, args)
	}
}
