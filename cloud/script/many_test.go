package script_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/script"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestManyProducts: 2,000 products (10,000 with HAWSER_TEST_LONG) with a script of 4 KiB each are called in turn, twice; the hub keeps some of them, not all.
func TestManyProducts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	products := 2_000
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		products = 10_000
	}
	n := start(t, brokertest.Config{Store: storetest.SQLite(t)}, func(c *script.Config) { c.Cached = 1024 })
	err := n.Store.Update(t.Context(), func(tx *store.Tx) error {
		for i := range products {
			source := fmt.Sprintf("function jsonToRawData(topic, o) { return [%d, %d, o.a] } // %s", i>>8, i&255, strings.Repeat("x", 4<<10))
			if _, err := tx.Exec(t.Context(), `INSERT INTO script (product, revision, source, up, down, changed_at) VALUES (?, 1, ?, 0, 1, 0)`, fmt.Sprint("product", i), source); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	began := time.Now()
	var all sync.WaitGroup
	for part := range 8 {
		all.Go(func() {
			for i := part; i < 2*products; i += 8 {
				i := i % products
				b, ok, err := n.Encode(t.Context(), fmt.Sprint("product", i), "/t", []byte(`{"a":1}`))
				if err != nil || !ok || string(b) != string([]byte{byte(i >> 8), byte(i), 1}) {
					t.Errorf("product %d: %x, %v, %v", i, b, ok, err)
				}
			}
		})
	}
	all.Wait()
	grown := heap() - before
	t.Logf("%d calls of %d scripts in %v; the hub's heap has grown by %d KiB", 2*products, products, time.Since(began), grown>>10)
	if grown > 32<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestBesideBadScripts: devices of products with bad scripts publish as fast as they are let; a good product's messages are parsed and
// acknowledged as if they were not there, and a device that needs no script feels nothing.
func TestBesideBadScripts(t *testing.T) {
	n := start(t, brokertest.Config{Store: storetest.SQLite(t)}, func(c *script.Config) { c.Pool.PerKey = 4 }) // so that their connections wait
	good, plain := n.New(t), n.New(t)
	n.set(t, good.Identity.Product, meter)
	roundTrip := func(d *registry.Device, suffix, payload string, d2 time.Duration) []time.Duration {
		c := n.MustDial(t, brokertest.Of(d))
		defer c.Disconnect()
		name := topic.Name(d.Identity, "upload") + suffix
		var all []time.Duration
		for began := time.Now(); time.Since(began) < d2; {
			at := time.Now()
			c.Send(name, payload)
			if got := c.Next(); got.Type != packet.PUBACK {
				t.Errorf("%+v", got)
				return all
			}
			all = append(all, time.Since(at))
		}
		slices.Sort(all)
		return all
	}
	const frame = "\x01\x00\xd7\x00\x37"
	alone := roundTrip(good, "?parse=true", frame, time.Second)
	plainAlone := roundTrip(plain, "", `{"a":1}`, time.Second)
	stop := make(chan struct{})
	var bad sync.WaitGroup
	for i, source := range []string{
		"function rawDataToJSON() { for (;;) {} }",
		`function rawDataToJSON() { return {a: /^(a+)+\1$/.test('a'.repeat(40) + 'b')} }`,
		"function rawDataToJSON() { return {a: 'x'.repeat(2**30)} }",
		"function rawDataToJSON() { var a = []; for (;;) a.push(new ArrayBuffer(1 << 20)) }",
		"function rawDataToJSON() { return rawDataToJSON() }",
		"function rawDataToJSON() { throw new Error('always') }",
		"function rawDataToJSON() { var t = 0; for (var i = 0; i < 2e6; i++) t += i; return {t: t} }", // slow, within its bounds or just beyond
	} {
		d := n.Device(t, n.Product(t, registry.NewProduct{}), fmt.Sprintf("dev-%04d", i))
		n.set(t, d.Identity.Product, source)
		c := n.MustDial(t, brokertest.Of(d))
		bad.Go(func() {
			const window = 16
			name := topic.Name(d.Identity, "upload") + "?parse=true"
			sent := 0
			for range window {
				c.Send(name, "x")
				sent++
			}
			for acked := 1; acked <= sent; acked++ {
				if got := c.Next(); got.Type != packet.PUBACK {
					t.Errorf("%+v", got)
					return
				}
				select {
				case <-stop:
				case <-time.After(5 * time.Millisecond):
					c.Send(name, "x")
					sent++
				}
			}
		})
	}
	beside := roundTrip(good, "?parse=true", frame, 2*time.Second)
	plainBeside := roundTrip(plain, "", `{"a":1}`, time.Second)
	close(stop)
	bad.Wait()
	p := func(sorted []time.Duration, percent int) time.Duration { return sorted[len(sorted)*percent/100] }
	t.Logf("parsed: alone p50 %v p99 %v, beside 7 bad scripts p50 %v p99 %v; not parsed: alone p50 %v p99 %v, beside them p50 %v p99 %v",
		p(alone, 50), p(alone, 99), p(beside, 50), p(beside, 99), p(plainAlone, 50), p(plainAlone, 99), p(plainBeside, 50), p(plainBeside, 99))
	if os.Getenv("HAWSER_TEST_LONG") != "" && p(beside, 50) > 20*time.Millisecond+10*p(alone, 50) { // on a busy machine it says nothing of them
		t.Errorf("the good product's messages take %v, %v alone", p(beside, 50), p(alone, 50))
	}
	if got := len(n.Rules.Of(topic.Name(good.Identity, "upload"))); got != len(alone)+len(beside) {
		t.Errorf("%d of %d messages reached the rules", got, len(alone)+len(beside))
	}
}

// BenchmarkParsed is the whole way of a QoS 1 message through a script, clients included: 100 devices with a window of 32 each.
func BenchmarkParsed(b *testing.B) {
	for _, suffix := range []string{"", "?parse=true"} {
		b.Run("suffix="+suffix, func(b *testing.B) {
			n := start(b, brokertest.Config{Store: storetest.SQLite(b)}, nil)
			p := n.Product(b, registry.NewProduct{})
			n.set(b, p.SN, meter)
			const devices, window = 100, 32
			var all sync.WaitGroup
			var clients []*brokertest.Client
			for i := range devices {
				clients = append(clients, n.MustDial(b, brokertest.Of(n.Device(b, p, fmt.Sprintf("dev-%04d", i)))))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i, c := range clients {
				name, count := fmt.Sprintf("/%s/dev-%04d/upload%s", p.SN, i, suffix), b.N/devices+1
				all.Go(func() {
					for range min(count, window) {
						c.Send(name, "\x01\x00\xd7\x00\x37")
					}
					for acked := 1; acked <= count; acked++ {
						if got := c.Next(); got.Type != packet.PUBACK {
							b.Errorf("%+v", got)
							return
						}
						if acked+window <= count {
							c.Send(name, "\x01\x00\xd7\x00\x37")
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
