package registry

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// fleet is a registry with devices of all kinds of state, name and tag, and what a search over them must find.
type fleet struct {
	*Registry
	products []*Product
	devices  []*Device
	members  map[string]map[int64]bool // of the static groups
	filters  map[string]filter.Expr    // of the others
	now      time.Time
}

func newFleet(t *testing.T, db *store.DB, n int) *fleet {
	t.Helper()
	ctx, rnd := t.Context(), rand.New(rand.NewPCG(1, 2))
	f := &fleet{Registry: open(t, db), members: map[string]map[int64]bool{}, filters: map[string]filter.Expr{}, now: time.Now()}
	for i := range 3 {
		p, err := f.CreateProduct(ctx, NewProduct{Name: fmt.Sprint("p", i)})
		if err != nil {
			t.Fatal(err)
		}
		f.products = append(f.products, p)
	}
	other, err := f.CreateProduct(ctx, NewProduct{Name: "other", Project: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.CreateDevices(ctx, other.SN, 0, []string{"cellar-9", "attic-9"}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		d, err := f.CreateDevice(ctx, NewDevice{Product: f.products[rnd.IntN(3)].SN, SN: []string{"cellar-", "attic-", "Cellar-"}[rnd.IntN(3)] + fmt.Sprint(i),
			Name: []string{"", "Pump 3", "pump", "Größe", "valve"}[rnd.IntN(5)], Tags: randomTags(rnd)})
		if err != nil {
			t.Fatal(err)
		}
		f.devices = append(f.devices, d)
	}
	f.setStates(t, rnd)
	f.makeGroups(t, rnd)
	return f
}

func randomTags(rnd *rand.Rand) Tags {
	tags := Tags{}
	if rnd.IntN(2) == 0 {
		tags["region"] = []string{"eu", "eu-west", "us"}[rnd.IntN(3)]
	}
	if rnd.IntN(3) == 0 {
		tags["a.b"] = []string{"", "x=y", "100%"}[rnd.IntN(3)]
	}
	if len(tags) == 0 {
		return nil
	}
	return tags
}

func (f *fleet) setStates(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	err := f.db.Update(t.Context(), func(tx *store.Tx) error {
		for _, d := range f.devices {
			d.State = State(rnd.IntN(4))
			if rnd.IntN(4) > 0 {
				d.LastSeen = MomentOf(f.now.Add(-time.Duration(rnd.IntN(20)) * 24 * time.Hour))
			}
			if _, err := tx.Exec(t.Context(), `UPDATE device SET state = ?, last_seen = ? WHERE id = ?`, int64(d.State), int64(d.LastSeen), d.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) makeGroups(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	ctx := t.Context()
	for name, text := range map[string]string{"east": "", "empty": "", "eu": "tag.region:eu* -state:disabled"} {
		if _, err := f.CreateGroup(ctx, NewGroup{Project: DefaultProject, Name: name, Filter: text}); err != nil {
			t.Fatal(err)
		}
		f.filters[name], _ = filter.Parse(text)
	}
	f.members["east"], f.members["empty"] = map[int64]bool{}, map[int64]bool{}
	var ids []ident.Device
	for _, d := range f.devices {
		if rnd.IntN(3) == 0 {
			ids = append(ids, d.Identity)
			f.members["east"][d.ID] = true
		}
	}
	if n, err := f.AddMembers(ctx, DefaultProject, "east", ids); err != nil || n != len(ids) {
		t.Fatalf("AddMembers: %d, %v, want %d", n, err, len(ids))
	}
}

// takes is the meaning of an expression, written as plainly as can be.
func (f *fleet) takes(x filter.Expr, d *Device) bool {
	switch x := x.(type) {
	case filter.And:
		return !slices.ContainsFunc(x, func(y filter.Expr) bool { return !f.takes(y, d) })
	case filter.Or:
		return slices.ContainsFunc(x, func(y filter.Expr) bool { return f.takes(y, d) })
	case *filter.Not:
		return !f.takes(x.X, d)
	case *filter.Term:
		if x.Op == filter.NotEqual {
			y := *x
			y.Op = filter.Equal
			return !f.takes(&y, d)
		}
		return f.holds(x, d)
	}
	return true
}

func (f *fleet) holds(t *filter.Term, d *Device) bool {
	is := func(s, want string) bool { return s == want || t.Prefix && strings.HasPrefix(s, want) }
	switch t.Key {
	case filter.Text:
		return is(d.Identity.SN, t.Value) || is(fold(d.Name), fold(t.Value))
	case filter.State:
		return d.State.String() == t.Value
	case filter.Product:
		return d.Identity.Product == t.Value
	case filter.SN:
		return is(d.Identity.SN, t.Value)
	case filter.Name:
		return is(fold(d.Name), fold(t.Value))
	case filter.Tag:
		v, ok := d.Tags[t.Tag]
		return ok && is(v, t.Value)
	case filter.Created:
		return compare(t, d.Created.Time(), f.now)
	case filter.LastSeen:
		if t.Time.Never {
			return d.LastSeen.IsZero()
		}
		return !d.LastSeen.IsZero() && compare(t, d.LastSeen.Time(), f.now)
	}
	if m, ok := f.members[t.Value]; ok {
		return m[d.ID]
	}
	return f.takes(f.filters[t.Value], d)
}

func compare(t *filter.Term, at, now time.Time) bool {
	c := at.Compare(t.Time.Resolve(now))
	return map[filter.Op]bool{filter.Less: c < 0, filter.LessEqual: c <= 0, filter.Greater: c > 0, filter.GreaterEqual: c >= 0}[t.Op]
}

// want is what a list must hold, in its order.
func (f *fleet) want(x filter.Expr, product string, sort string) []string {
	by, down := strings.CutPrefix(sort, "-")
	list := slices.DeleteFunc(slices.Clone(f.devices), func(d *Device) bool {
		return !f.takes(x, d) || product != "" && d.Identity.Product != product
	})
	slices.SortFunc(list, func(a, b *Device) int {
		n := 0
		switch strings.TrimPrefix(by, "-") {
		case SortName:
			n = cmp.Compare(fold(a.Name), fold(b.Name))
		case SortSN:
			n = cmp.Compare(a.Identity.SN, b.Identity.SN)
		case SortLastSeen:
			n = cmp.Compare(a.LastSeen, b.LastSeen)
		}
		if n == 0 {
			n = cmp.Compare(a.ID, b.ID)
		}
		if down {
			return -n
		}
		return n
	})
	return names(list)
}

func names(list []*Device) []string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = d.Identity.SN
	}
	return out
}

// all reads a list page by page.
func (f *fleet) all(ctx context.Context, fl Filter, sort string, limit int) ([]string, error) {
	var out []string
	page := Page{Limit: limit, Sort: sort}
	for {
		list, next, err := f.Devices(ctx, fl, page)
		if err != nil {
			return nil, err
		}
		out = append(out, names(list)...)
		if page.Cursor = next; next == "" {
			return out, nil
		}
	}
}

// randomFilter writes a filter of some terms.
func (f *fleet) randomFilter(rnd *rand.Rand, depth int) string {
	switch n := rnd.IntN(10); {
	case depth > 2 || n < 4:
		return f.randomTerm(rnd)
	case n < 7:
		return f.randomFilter(rnd, depth+1) + " " + f.randomFilter(rnd, depth+1)
	case n < 9:
		return "(" + f.randomFilter(rnd, depth+1) + " OR " + f.randomFilter(rnd, depth+1) + ")"
	}
	return "-(" + f.randomFilter(rnd, depth+1) + ")"
}

func (f *fleet) randomTerm(rnd *rand.Rand) string {
	d := f.devices[rnd.IntN(len(f.devices))]
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	switch rnd.IntN(10) {
	case 0:
		return "state" + pick(":", "!=") + pick("inactive", "online", "offline", "disabled")
	case 1:
		return "product:" + pick(f.products[0].SN, f.products[1].SN, "0000000000000000")
	case 2:
		return "sn:" + pick("cellar*", "Cellar-1*", d.Identity.SN, "nobody")
	case 3:
		return "name:" + pick("pump*", `"Pump 3"`, `""`, "GRöße", "v*")
	case 4:
		return pick("tag.region:eu*", "tag.region:eu", "tag.region!=us", "tag.region:*", "tag.none:*", `tag.a.b:""`, `tag.a.b:"x=y"`, "tag.a.b:100*")
	case 5:
		return "created" + pick("<", "<=", ">", ">=") + d.Created.Time().Format(time.RFC3339Nano)
	case 6:
		return "lastSeen" + pick("<", "<=", ">", ">=") + f.now.AddDate(0, 0, -rnd.IntN(20)).Format(time.DateOnly)
	case 7:
		return "lastSeen" + pick(":", "!=") + "never"
	case 8:
		return "group" + pick(":", "!=") + pick("east", "empty", "eu")
	}
	return pick("cellar", "pump", `"Pump 3"`, "x")
}

// TestSearch holds lists, in every order and page by page, and counts of random filters against what they mean.
func TestSearch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFleet(t, db, 300)
		ctx, rnd := t.Context(), rand.New(rand.NewPCG(3, 4))
		f.Registry.now = func() time.Time { return f.now }
		rounds := 80
		if os.Getenv("HAWSER_TEST_LONG") != "" {
			rounds = 800
		}
		sorts := []string{SortCreated, "-created", SortName, "-name", SortSN, "-sn", SortLastSeen, "-lastSeen"}
		for i := range rounds {
			if i == rounds/2 { // the second half walks instead, and counts in parts
				f.gather = 2
				f.inParts(t)
			}
			text := f.randomFilter(rnd, 0)
			x, err := filter.Parse(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			fl := Filter{Project: DefaultProject, Query: text}
			if rnd.IntN(4) == 0 {
				fl.Product = f.products[rnd.IntN(3)].SN
			}
			sort := sorts[i%len(sorts)]
			want := f.want(x, fl.Product, sort)
			if among := f.products[rnd.IntN(3)].SN; fl.Product == "" && rnd.IntN(5) == 0 {
				fl.Among, want = []string{among}, f.want(x, among, sort)
			}
			got, err := f.all(ctx, fl, sort, 1+rnd.IntN(200))
			if err != nil {
				if strings.Contains(err.Error(), "alternatives") {
					continue
				}
				t.Fatalf("%s: %v", text, err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s of %q by %s: got %d\n%v\nwant %d\n%v", text, fl.Product, sort, len(got), got, len(want), want)
			}
			if count, err := f.CountDevices(ctx, fl, false); err != nil || count != (Count{Total: len(want)}) {
				t.Fatalf("%s of %q: counted %v, %v, want %d", text, fl.Product, count, err, len(want))
			}
			if i%20 == 0 && db.Dialect() == store.Postgres {
				if err := f.fold(ctx); err != nil {
					t.Fatal(err)
				}
			}
			count, err := f.CountDevices(ctx, fl, true)
			if err != nil || count.Total != len(want) || count.States[Online]+count.States[Offline]+count.States[Disabled]+count.States[Inactive] != len(want) {
				t.Fatalf("%s of %q: counted %v, %v, want %d", text, fl.Product, count, err, len(want))
			}
		}
	})
}

// TestCounters: what is kept counted is what a count of the rows says, whatever happens to the devices.
func TestCounters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := open(t, db)
		p := product(t, r)
		made, err := r.CreateDevices(ctx, p.SN, 250, nil)
		if err != nil {
			t.Fatal(err)
		}
		check := func(step string) {
			t.Helper()
			got, err := r.CountDevices(ctx, Filter{Project: DefaultProject, Product: p.SN}, true)
			if err != nil {
				t.Fatal(err)
			}
			want, err := r.search(Filter{Project: DefaultProject}).count(ctx, clause{states: allStates, products: []string{p.SN}, ids: everything,
				seen: everything, notProducts: []string{"none"}}, nil, true) // by the rows
			if err != nil || got != want {
				t.Errorf("%s: counted %v, want %v, %v", step, got, want, err)
			}
		}
		check("created")
		for i, d := range made[:20] {
			if i%2 == 0 {
				_, err = connect(ctx, r, d)
			} else {
				_, err = r.SetEnabled(ctx, d.Identity, false)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		check("connected and disabled")
		if db.Dialect() == store.Postgres {
			if err := r.fold(ctx); err != nil {
				t.Fatal(err)
			}
			check("added up")
		}
		for _, d := range made[:5] {
			if err := r.DeleteDevice(ctx, d.Identity); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Bulk(ctx, Bulk{Action: ActionEnable}, made[5:30], nil); err != nil {
			t.Fatal(err)
		}
		check("deleted and enabled")
	})
}

// What a mass of changes leaves to be added up is added up at once, and not for a part.
func TestManyChangesAreAddedUp(t *testing.T) {
	db := storetest.Postgres(t)
	r := open(t, db)
	p := product(t, r)
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO device_count_delta (product, state, n) SELECT ?, 0, 1 FROM generate_series(1, ?)`, p.SN, foldMax+5000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		c, err := r.CountDevices(t.Context(), Filter{Project: DefaultProject}, true)
		if err != nil {
			t.Fatal(err)
		}
		return c.Total
	}
	before := count()
	if err := r.fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM device_count_delta`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left, %v", left, err)
	}
	if after := count(); before != foldMax+5000 || after != before {
		t.Errorf("%d devices before, %d after", before, after)
	}
}
