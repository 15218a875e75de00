package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/cloud/store"
	path "github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// benchShadow measures durable shadow updates of 1,000 devices, each of which sends its next when the one before is answered; beside it
// the same rows, document and history, made once and handed to the group commit. Power-safe, on both engines.
func benchShadow(e *env) {
	devices, each := 1000, 60
	if e.full {
		each = 300
	}
	if e.smoke {
		devices, each = 50, 5
	}
	fmt.Printf("%d devices, %d updates of each a round; CPU of this process\n\n", devices, each)
	fmt.Println("round  engine    side     updates/s  CPU µs each   p50 ms   p99 ms")
	for _, engine := range []string{"postgres", "sqlite"} {
		r := newShadowRig(e, engine, devices)
		var cpu [2]series
		for i := range e.rounds {
			for j, side := range []struct {
				name string
				one  func(device, n int, done func(error))
			}{{"shadow", r.update}, {"rows", r.rows}} {
				s := closedLoop(e, devices, each, side.one)
				fmt.Printf("%5d  %-8s  %-6s  %10.0f  %11.2f  %7.1f  %7.1f\n", i+1, engine, side.name, s.rate, s.cpu, s.p50/1000, s.p99/1000)
				cpu[j] = append(cpu[j], 1e6/s.cpu)
			}
		}
		fmt.Println()
		name := "shadow"
		if engine != "sqlite" {
			name += "_" + engine
		}
		result(name, cpu[0], cpu[1], "updates_per_cpu_s")
	}
}

// shadowRig is the way of a shadow update without a door, on one engine.
type shadowRig struct {
	db       *store.DB
	path     *path.Path
	product  *registry.Product
	devices  []*registry.Device
	document []byte
	sent     []int64 // rows: the last revision of each device
}

func newShadowRig(e *env, engine string, devices int) *shadowRig {
	cfg := store.Config{Dir: e.TempDir(), Durability: store.DurabilityPower, Keyring: keyring.New()}
	if engine == "postgres" {
		cfg = store.Config{DSN: harness.Postgres(e), Durability: store.DurabilityPower, Keyring: keyring.New()}
	}
	ctx, log := context.Background(), slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := store.Open(ctx, cfg, log, nil)
	must(e, err)
	e.Cleanup(func() { _ = db.Close() })
	reg, err := registry.New(ctx, db, log)
	must(e, err)
	r := &shadowRig{db: db, sent: make([]int64, 2*devices)}
	r.product, err = reg.CreateProduct(ctx, registry.NewProduct{Name: "bench"})
	must(e, err)
	r.devices, err = reg.CreateDevices(ctx, r.product.SN, 2*devices, nil) // the second half for the rows alone
	must(e, err)
	ids := message.NewIDs(1, 0, time.Now)
	shadows := shadow.New(shadow.Deps{Store: db, Registry: reg, IDs: ids, History: shadow.DefaultHistoryConfig(), Log: log})
	r.path = path.New(path.Config{Store: db, IDs: ids, Log: log, Handlers: map[topic.Kind]path.Handler{topic.ShadowUpstream: shadows}})
	doc, err := shadowdoc.Parse([]byte(`{"State":{"Reported":{"mode":"eco","n":999,"temperature":21.5},"Desired":{}},"Timestamp":1764241234,"Version":1}`))
	must(e, err)
	r.document = doc.Encode()
	return r
}

// update sends the n-th update of a device up the path.
func (r *shadowRig) update(device, n int, done func(error)) {
	d := r.devices[device]
	m := r.path.New()
	m.Device, m.DeviceID, m.Product, m.QoS = d.Identity, d.ID, r.product, 1
	m.Topic = topic.Topic{Kind: topic.ShadowUpstream, Device: d.Identity}
	m.Name = topic.System(d.Identity, topic.ShadowUpstream)
	m.Payload = fmt.Appendf(nil, `{"Method":"update","State":{"Reported":{"temperature":%d.5,"mode":"eco","n":%d}}}`, n, device)
	r.path.Take(context.Background(), m, path.AckFunc(done))
}

// The statements of an update, as cloud/shadow has them.
var (
	shadowRow = store.NewStmt(`INSERT INTO shadow (device, revision, version, doc, updated_at) VALUES (?, ?, ?, ?, ?)
	ON CONFLICT (device) DO UPDATE SET revision = excluded.revision, version = excluded.version, doc = excluded.doc,
		updated_at = excluded.updated_at
	WHERE shadow.revision = excluded.revision - 1`)
	shadowChange = store.NewStmt(`INSERT INTO shadow_history (device, slot, revision, version, at, actor, name, change) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (device, slot) DO UPDATE SET revision = excluded.revision, version = excluded.version, at = excluded.at, actor = excluded.actor,
		name = excluded.name, change = excluded.change`)
	shadowDiff = []byte(`{"reported":{"temperature":21.5}}`)
)

// rows submits the rows of an update that somebody else has made.
func (r *shadowRig) rows(device, _ int, done func(error)) {
	device += len(r.devices) / 2
	id := r.devices[device].ID
	r.sent[device]++
	revision := r.sent[device]
	r.db.Submit(&store.Unit{Device: id, Done: done, Ops: []store.Op{shadowRow.Guard(id, revision, revision, r.document, revision),
		shadowChange.Op(id, revision%100, revision, revision, revision, int64(1), "", shadowDiff)}})
}

// loopSample is what a closed loop has shown; times in µs.
type loopSample struct{ rate, cpu, p50, p99 float64 }

// closedLoop has each device do one thing after the other, each times; four goroutines begin them, as the workers of a door do.
func closedLoop(e *env, devices, each int, one func(device, n int, done func(error))) loopSample {
	took := make([][]int64, devices)
	ready := make(chan int, devices) // whoever may go on; never full
	var left atomic.Int64
	left.Store(int64(devices * each))
	begun := make([]time.Time, devices)
	done := make([]func(error), devices)
	for i := range devices {
		took[i] = make([]int64, 0, each)
		done[i] = func(err error) {
			must(e, err)
			took[i] = append(took[i], time.Since(begun[i]).Microseconds())
			if left.Add(-1) == 0 {
				close(ready)
			} else if len(took[i]) < each {
				ready <- i
			}
		}
		ready <- i
	}
	cpu, start := ownCPU(), time.Now()
	end := make(chan struct{})
	for range 4 {
		go func() {
			for i := range ready {
				begun[i] = time.Now()
				one(i, len(took[i]), done[i])
			}
			end <- struct{}{}
		}()
	}
	for range 4 {
		<-end
	}
	used, elapsed, n := ownCPU()-cpu, time.Since(start), float64(devices*each)
	all := slices.Concat(took...)
	slices.Sort(all)
	return loopSample{rate: n / elapsed.Seconds(), cpu: float64(used.Microseconds()) / n, p50: float64(all[len(all)/2]), p99: float64(all[len(all)*99/100])}
}
