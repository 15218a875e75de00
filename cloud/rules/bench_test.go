package rules

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fillOutbox commits n records of a message of 100 bytes, fifty in a unit, and returns the bytes of all.
func fillOutbox(b *testing.B, r *rig, n int) (bytes int) {
	b.Helper()
	payload := []byte(`{"temperature":21.5,"humidity":40,"battery":3.6,"location":"cellar, behind the boiler","seq":123456789}`)
	for done := 0; done < n; {
		d := r.devices[done/50%len(r.devices)]
		var out [][]byte
		for ; len(out) < 50 && done < n; done++ {
			m := &uplink.Message{ID: r.ids.Next(), Device: d.Identity, DeviceID: d.ID, Product: r.product, At: time.Now(), Payload: payload,
				Topic: topic.Topic{Kind: topic.Custom, Device: d.Identity, Tail: "upload"}}
			m.Name = m.Topic.String()
			out = r.rules.Match(m, m.Name, m.Root, out)
		}
		for _, rec := range out {
			bytes += len(rec)
		}
		if err := r.db.Do(b.Context(), &store.Unit{Device: d.ID, Out: out}); err != nil {
			b.Fatal(err)
		}
	}
	return bytes
}

// BenchmarkDelivery is what a record costs from the outbox to a sink that does nothing, in processor time of the whole process.
func BenchmarkDelivery(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch %d", batch), func(b *testing.B) {
			r := newRig(b, storetest.SQLite(b))
			r.targets["a"].batch, r.targets["a"].forget = batch, true
			rule := r.create("r", `SELECT * FROM /+/+/upload`, "a")
			bytes := fillOutbox(b, r, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu(b)
			r.run()
			r.stats(rule, int64(b.N))
			b.StopTimer()
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/record")
			b.ReportMetric(float64(bytes)/float64(b.N), "outbox-B/record")
			r.stop()
		})
	}
}
