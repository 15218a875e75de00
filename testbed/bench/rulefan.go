package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/store"
	path "github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// ruleFan measures what rules that do not match cost: messages for one rule of 10,000, beside one of one.
func ruleFan(e *env) {
	n, others := 20_000, 9_999
	switch {
	case e.full:
		n = 200_000
	case e.smoke:
		n, others = 500, 999
	}
	runtime.GOMAXPROCS(1)
	fmt.Printf("%d bytes of JSON, %d messages a round; the other rules are for topics of other devices of the same product\n", len(rulePayload), n)
	many, one := newFan(e, others), newFan(e, 0)
	a, b := alternate(e, n, many, one)
	fmt.Printf("%-34s %s\n%-34s %s\n", fmt.Sprintf("CPU ns a message, 1 of %d rules", others+1), a, "1 of 1", b)
	// More is better: a ratio of messages a second, the inverse of the time.
	fmt.Printf("RESULT rule_fan ratio=%.3f ours=%.0f peer=%.0f unit=msg_s\n", b.median()/a.median(), 1e9/a.median(), 1e9/b.median())
}

// newFan returns what takes one message through the rules of a hub: one that matches and so many others.
func newFan(e *env, others int) func() {
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	db, err := store.Open(ctx, store.Config{Dir: e.TempDir(), Durability: store.DurabilityProcess, Keyring: keyring.New()}, log, nil)
	must(e, err)
	e.Cleanup(func() { _ = db.Close() })
	reg, err := registry.New(ctx, db, log)
	must(e, err)
	product, err := reg.CreateProduct(ctx, registry.NewProduct{Name: "fan"})
	must(e, err)
	must(e, db.Update(ctx, func(tx *store.Tx) error {
		for i := range others {
			sql := fmt.Sprintf("SELECT * FROM '/%s/other-%d/upload' WHERE temperature > 20", product.SN, i)
			if _, err := tx.Exec(ctx, `INSERT INTO rule (id, project, name, sql, enabled, dialect, created_at, updated_at) VALUES (?, ?, ?, ?, 1, 2, 0, 0)`,
				i+1, product.Project, fmt.Sprintf("other-%d", i), sql); err != nil {
				return err
			}
		}
		return nil
	}))
	r, err := rules.New(ctx, rules.Config{}, rules.Deps{Store: db, Registry: reg, IDs: message.NewIDs(1, 0, time.Now), Log: log,
		Kinds: map[string]rules.Factory{"nowhere": func(json.RawMessage, rules.Env) (rules.Sink, error) { return nowhere{}, nil }}})
	must(e, err)
	dev := ident.Device{Product: product.SN, SN: "cellar-1"}
	name := topic.Name(dev, "upload")
	_, err = r.Create(ctx, rules.NewRule{Name: "mine", Enabled: true, Actions: []rules.Action{{Kind: "nowhere"}},
		SQL: "SELECT deviceSN() AS device, temperature, location.lat AS lat FROM '" + name + "' WHERE temperature > 20 AND state = 'running' AND battery < 90"})
	must(e, err)
	raw := []byte(rulePayload)
	var out [][]byte
	return func() {
		doc, err := codec.Decode(raw, codec.DefaultLimits())
		must(e, err)
		defer doc.Release()
		m := &path.Message{ID: 1, Device: dev, Product: product, Name: name, Payload: raw, QoS: 1}
		out = r.Match(m, name, func() (codec.Value, error) { return doc.Root(), nil }, out[:0])
		if len(out) != 1 {
			e.Fatalf("%d records, want 1", len(out))
		}
	}
}

// nowhere is a sink that is never asked: nothing is delivered here.
type nowhere struct{}

func (nowhere) Send(context.Context, []rules.Record) error { return nil }
func (nowhere) MaxBatch() int                              { return 1 }
func (nowhere) Linger() time.Duration                      { return 0 }
func (nowhere) Close() error                               { return nil }
