package shadow

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// benchDevices send in turn, each its next update when the one before is answered.
const benchDevices = 1000

// BenchmarkDurable compares updates of 1,000 devices, on their way from the path to the commit, with the same rows (document and
// history) handed to the store alone. Both are on the disk when they count.
func BenchmarkDurable(b *testing.B) {
	for _, engine := range []struct {
		name string
		open func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		b.Run(engine.name+"/shadow", func(b *testing.B) {
			r := newRig(b, engine.open(b))
			devices, err := r.shadows.Registry.CreateDevices(b.Context(), r.product.SN, benchDevices, nil)
			if err != nil {
				b.Fatal(err)
			}
			path := uplink.New(uplink.Config{Store: r.shadows.Store, IDs: r.shadows.IDs, Log: r.shadows.Log,
				Handlers: map[topic.Kind]uplink.Handler{topic.ShadowUpstream: r.shadows}}) // rules are a price of their own
			rounds(b, func(n, i int, done func(error)) {
				m := r.message(topic.ShadowUpstream, fmt.Sprintf(`{"Method":"update","State":{"Reported":{"temperature":%d.5,"mode":"eco","n":%d}}}`, i, n))
				m.From = nil
				m.Device, m.DeviceID = devices[n].Identity, devices[n].ID
				m.Topic.Device, m.Name = m.Device, topic.System(m.Device, topic.ShadowUpstream)
				path.Take(b.Context(), m, uplink.AckFunc(done))
			})
		})
		b.Run(engine.name+"/rows", func(b *testing.B) {
			r := newRig(b, engine.open(b))
			devices, err := r.shadows.Registry.CreateDevices(b.Context(), r.product.SN, benchDevices, nil)
			if err != nil {
				b.Fatal(err)
			}
			rounds(b, raw(r.shadows, devices))
		})
	}
}

// raw submits the rows of an update that somebody else has made.
func raw(s *Shadows, devices []*registry.Device) func(n, i int, done func(error)) {
	doc, err := shadowdoc.Parse([]byte(`{"State":{"Reported":{"mode":"eco","n":999,"temperature":21.5},"Desired":{}},"Timestamp":1764241234,"Version":1}`))
	if err != nil {
		panic(err)
	}
	encoded := doc.Encode()
	return func(n, i int, done func(error)) {
		id, revision := devices[n].ID, int64(i+1)
		s.Store.Submit(&store.Unit{Device: id, Done: done, Ops: []store.Op{upsert.Guard(id, revision, revision, encoded, revision),
			keepChange.Op(id, revision%100, revision, revision, revision, int64(1), "", []byte(`{"reported":{"temperature":21.5}}`))}})
	}
}

// rounds has each device do one thing after the other, b.N in all.
func rounds(b *testing.B, one func(n, i int, done func(error))) {
	var wg sync.WaitGroup
	took := make([][]time.Duration, benchDevices)
	each := max(b.N/benchDevices, 1)
	before := cpuTime()
	b.ResetTimer()
	for n := range benchDevices {
		wg.Go(func() {
			end := make(chan error, 1)
			for i := range each {
				began := time.Now()
				one(n, i, func(err error) { end <- err })
				if err := <-end; err != nil {
					b.Error(err)
					return
				}
				took[n] = append(took[n], time.Since(began))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(each*benchDevices), "cpu-ns/op")
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "updates/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHandle is an update without the path and the store: what the document costs.
func BenchmarkHandle(b *testing.B) {
	r := newRig(b, storetest.SQLite(b))
	payloads := [2][]byte{}
	for i := range payloads {
		payloads[i] = fmt.Appendf(nil, `{"Method":"update","State":{"Reported":{"temperature":%d.5,"mode":"eco","n":7}}}`, i)
	}
	m := r.message(topic.ShadowUpstream, "")
	m.From, m.At = nil, time.Now()
	b.ReportAllocs()
	for i := range b.N {
		m := &uplink.Message{Device: m.Device, DeviceID: m.DeviceID, Topic: m.Topic, Name: m.Name, Payload: payloads[i%2], At: m.At}
		if err := r.shadows.Handle(b.Context(), m); err != nil {
			b.Fatal(err)
		}
		m.Ended(nil)
		d, _ := m.Doc()
		d.Release()
	}
}
