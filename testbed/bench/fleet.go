package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// fleetLimit is what a query over the whole fleet may take, p99.
const fleetLimit = 200 * time.Millisecond

// fleetProducts is how many products the devices are spread over; the first one has half of them.
const fleetProducts = 20

// fleet is a registry with very many devices.
type fleet struct {
	env      *env
	engine   string
	db       *store.DB
	reg      *registry.Registry
	products []string
	n        int
	rnd      *rand.Rand
}

// fleetQuery measures lists, filters and counts over a large fleet, on both engines.
func fleetQuery(e *env) {
	n, runs := 100_000, 40
	if e.full {
		n, runs = 1_000_000, 100
	}
	if e.smoke {
		n, runs = 2_000, 3
	}
	worst := 0.0
	for _, engine := range []string{"sqlite", "postgres"} {
		f := openFleet(e, engine)
		took := f.fill(n)
		fmt.Printf("%s: %d devices in %d products, made in %.1f s; %d runs a query, ms\n\n%-34s %8s %8s %8s  devices\n", engine, n, fleetProducts, took.Seconds(), runs,
			"query", "p50", "p99", "max")
		for _, q := range fleetQueries {
			worst = max(worst, f.measure(q, runs))
		}
		fmt.Println()
		must(e, f.db.Close())
	}
	fmt.Printf("RESULT fleet_query ratio=%.3f ours=%.3f peer=%.3f unit=ms_p99\n", worst/ms(fleetLimit), worst, ms(fleetLimit))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func openFleet(e *env, engine string) *fleet {
	cfg := store.Config{Dir: e.TempDir(), Durability: store.DurabilityProcess, Keyring: keyring.New()}
	if engine == "postgres" {
		cfg = store.Config{DSN: harness.Postgres(e), Durability: store.DurabilityProcess, Keyring: keyring.New()}
	}
	return openFleetOn(e, engine, cfg)
}

func openFleetOn(e *env, engine string, cfg store.Config) *fleet {
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	db, err := store.Open(ctx, cfg, log, nil)
	must(e, err)
	reg, err := registry.New(ctx, db, log)
	must(e, err)
	return &fleet{env: e, engine: engine, db: db, reg: reg, rnd: rand.New(rand.NewPCG(7, 7))}
}

// regions are a tag that every second device has, from common to rare.
var regions = []string{"eu", "eu", "eu", "eu", "us", "us", "asia", "africa"}

// fill makes n devices as a real fleet has them: of products of different size, half of them tagged, states in the
// proportions of a working day, a rare tag on one in 10,000, groups of a hundredth and of a tenth.
func (f *fleet) fill(n int) time.Duration {
	start, ctx := time.Now(), context.Background()
	for i := range fleetProducts {
		p, err := f.reg.CreateProduct(ctx, registry.NewProduct{Name: fmt.Sprint("product ", i)})
		must(f.env, err)
		f.products = append(f.products, p.SN)
	}
	batch := min(10_000, n/100) // in between other products' devices
	for made := 0; made < n; made += batch {
		k := (made / batch) % (2 * fleetProducts)
		if k >= fleetProducts {
			k = 0
		}
		list := make([]registry.NewDevice, min(batch, n-made))
		for i := range list {
			list[i] = f.newDevice(made + i)
		}
		_, err := f.reg.CreateEach(ctx, f.products[k], list)
		must(f.env, err)
	}
	f.n = n
	f.live()
	f.settle()
	return time.Since(start)
}

// settle brings the registry to rest: the counted changes are added up, and where to cut long counts is known.
func (f *fleet) settle() {
	must(f.env, f.reg.Tend(context.Background()))
	if f.engine == "postgres" { // what autovacuum does within a minute or so
		rows, err := f.db.Query(context.Background(), `VACUUM (ANALYZE)`)
		must(f.env, err)
		rows.Next()
		must(f.env, rows.Err())
		must(f.env, rows.Close())
	}
}

func (f *fleet) newDevice(i int) registry.NewDevice {
	d := registry.NewDevice{SN: fmt.Sprintf("%s-%07d", []string{"cellar", "attic", "plant", "yard"}[f.rnd.IntN(4)], i),
		Name: fmt.Sprintf("%s %d", []string{"Pump", "Valve", "Meter", "Gate"}[i%4], i/4), Tags: registry.Tags{}}
	if i%2 == 0 {
		d.Tags["region"] = regions[f.rnd.IntN(len(regions))]
		d.Tags["line"] = fmt.Sprint(f.rnd.IntN(1000))
	}
	if i%10_000 == 0 {
		d.Tags["rare"] = "yes"
	}
	return d
}

// live gives the devices their states and makes the groups, in statements of the bench's own.
func (f *fleet) live() {
	ctx, now := context.Background(), time.Now().UnixMilli()
	for _, g := range []registry.NewGroup{{Name: "hundredth"}, {Name: "tenth"}, {Name: "query", Filter: "tag.region:asia state:online"}} {
		g.Project = registry.DefaultProject
		_, err := f.reg.CreateGroup(ctx, g)
		must(f.env, err)
	}
	statements := []string{
		// 30 % online, 20 % inactive, 0.1 % disabled, the rest offline; seen within the last 40 days.
		fmt.Sprintf(`UPDATE device SET state = CASE WHEN (id / 7) %% 10 < 3 THEN 1 WHEN (id / 7) %% 10 < 5 THEN 0 WHEN (id / 7) %% 1000 = 999 THEN 3 ELSE 2 END,
		last_seen = CASE WHEN (id / 7) %% 10 IN (3, 4) THEN 0 ELSE %d - ((id / 3) %% 3456000) * 1000 END`, now),
		`INSERT INTO device_group_member (grp, device) SELECT g.id, d.id FROM device_group g, device d WHERE g.name = 'hundredth' AND d.id % 100 = 5`,
		`INSERT INTO device_group_member (grp, device) SELECT g.id, d.id FROM device_group g, device d WHERE g.name = 'tenth' AND d.id % 10 = 5`,
	}
	must(f.env, f.db.Update(ctx, func(tx *store.Tx) error {
		for _, q := range statements {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	}))
}

// fleetKind is one kind of query; the figure that run returns is how many devices it was about.
type fleetKind struct {
	name string
	run  func(*fleet) (int, error)
}

func listOf(filter, sort string) func(*fleet) (int, error) {
	return func(f *fleet) (int, error) { return f.list(filter, sort, 0) }
}

func countOf(filter string, byState bool) func(*fleet) (int, error) {
	return func(f *fleet) (int, error) {
		c, err := f.reg.CountDevices(context.Background(), registry.Filter{Project: registry.DefaultProject, Query: filter}, byState)
		return c.Total, err
	}
}

var fleetQueries = []fleetKind{
	{"list all", listOf("", "")},
	{"list all, deep page", func(f *fleet) (int, error) { return f.deep("", "") }},
	{"list all by name", listOf("", "name")},
	{"list all by name, deep page", func(f *fleet) (int, error) { return f.deep("", "name") }},
	{"list all by -lastSeen", listOf("", "-lastSeen")},
	{"list product", func(f *fleet) (int, error) { return f.list("product:"+f.product(), "", 0) }},
	{"list product + state", func(f *fleet) (int, error) { return f.list("state:offline product:"+f.product(), "", 0) }},
	{"list product + state by name", func(f *fleet) (int, error) { return f.list("state:offline product:"+f.product(), "name", 0) }},
	{"list state:online", listOf("state:online", "")},
	{"list state:disabled", listOf("state:disabled", "")},
	{"list -state:offline by sn", listOf("-state:offline", "sn")},
	{"list sn prefix, wide", listOf("sn:cellar*", "")},
	{"list sn prefix, wide, by creation", listOf("sn:cellar*", "created")},
	{"list sn prefix, narrow", func(f *fleet) (int, error) { return f.list(fmt.Sprintf("sn:attic-%04d*", f.rnd.IntN(f.n)/1000), "", 0) }},
	{"list word", func(f *fleet) (int, error) { return f.list(fmt.Sprintf(`"pump %d"`, f.rnd.IntN(f.n/4)), "", 0) }},
	{"list tag", listOf("tag.region:eu", "")},
	{"list tag, deep page", func(f *fleet) (int, error) { return f.deep("tag.region:eu", "") }},
	{"list tag + state + product", func(f *fleet) (int, error) { return f.list("tag.region:us state:online product:"+f.product(), "", 0) }},
	{"list rare tag by name", listOf("tag.rare:yes", "name")},
	{"list group", listOf("group:tenth", "")},
	{"list group + state by name", listOf("group:hundredth state:online", "name")},
	{"list group by filter", listOf("group:query", "")},
	{"list lastSeen<-30d", listOf("lastSeen<-30d", "")},
	{"list created, OR, NOT", listOf("created>2026-01-01 (tag.region:asia OR group:tenth OR sn:yard*) -state:disabled", "")},
	{"count all by state", countOf("", true)},
	{"count product by state", func(f *fleet) (int, error) { return countOf("product:"+f.products[0], true)(f) }},
	{"count state", countOf("state:online", false)},
	{"count tag", countOf("tag.region:eu", false)},
	{"count rarer tag by state", countOf("tag.region:africa", true)},
	{"count tag + state", countOf("tag.region:eu state:online", false)},
	{"count sn prefix, narrow", func(f *fleet) (int, error) {
		return countOf(fmt.Sprintf("sn:attic-%04d*", f.rnd.IntN(f.n)/1000), false)(f)
	}},
	{"count group", countOf("group:tenth", false)},
	{"count lastSeen<-30d", countOf("lastSeen<-30d", false)},
	{"count OR", countOf("tag.line:7 OR tag.line:8 OR state:disabled", false)},
}

// product picks any; the larger ones are no likelier.
func (f *fleet) product() string { return f.products[f.rnd.IntN(len(f.products))] }

func (f *fleet) list(filter, sort string, pages int) (int, error) {
	page, n := registry.Page{Limit: 50, Sort: sort}, 0
	for range pages + 1 {
		list, next, err := f.reg.Devices(context.Background(), registry.Filter{Project: registry.DefaultProject, Query: filter}, page)
		if n = len(list); err != nil || next == "" {
			return n, err
		}
		page.Cursor = next
	}
	return n, nil
}

// deep asks for one page in the middle of a list; the cursor of it was found before, see measure.
func (f *fleet) deep(filter, sort string) (int, error) {
	key := filter + "|" + sort
	page := registry.Page{Limit: 50, Sort: sort, Cursor: deepCursors[f][key]}
	list, _, err := f.reg.Devices(context.Background(), registry.Filter{Project: registry.DefaultProject, Query: filter}, page)
	return len(list), err
}

// deepCursors are places in the middle of lists.
var deepCursors = map[*fleet]map[string]string{}

// dig walks to the middle of the lists that deep reads.
func (f *fleet) dig() {
	deepCursors[f] = map[string]string{}
	for _, key := range [][2]string{{"", ""}, {"", "name"}, {"tag.region:eu", ""}} {
		page := registry.Page{Limit: registry.MaxLimit, Sort: key[1]}
		for range f.n / 2 / registry.MaxLimit {
			_, next, err := f.reg.Devices(context.Background(), registry.Filter{Project: registry.DefaultProject, Query: key[0]}, page)
			must(f.env, err)
			if next == "" {
				break
			}
			page.Cursor = next
		}
		deepCursors[f][key[0]+"|"+key[1]] = page.Cursor
	}
}

// measure runs a query and prints its times; it returns p99 in ms.
func (f *fleet) measure(q fleetKind, runs int) float64 {
	if deepCursors[f] == nil {
		f.dig()
	}
	times, devices := make([]time.Duration, runs), 0
	for i := range times {
		start := time.Now()
		n, err := q.run(f)
		must(f.env, err)
		times[i], devices = time.Since(start), n
	}
	slices.Sort(times)
	p99 := times[(len(times)*99-1)/100]
	fmt.Printf("%-34s %8.2f %8.2f %8.2f  %d\n", q.name, ms(times[len(times)/2]), ms(p99), ms(times[len(times)-1]), devices)
	return ms(p99)
}
