package thingmodel

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// cpu is what this process has spent.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPost is a property post of four values from its bytes on: decoded and checked, or handled whole (latest values,
// document for rules, answer), in JSON and CBOR. cpu-µs is this process's alone.
func BenchmarkPost(b *testing.B) {
	at := time.Now().Add(-time.Hour).UnixMilli()
	text := fmt.Sprintf(`{"RequestID":"12345","Property":{"t":{"Value":21.53,"Time":%d},"h":{"Value":55,"Time":%d},"on":{"Value":1,"Time":%d},"s":{"Value":"all is well in the west wing","Time":%d}}}`, at, at, at, at)
	binary, err := codec.ToCBOR([]byte(text), codec.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	for _, format := range []struct {
		name    string
		payload []byte
	}{{"json", []byte(text)}, {"cbor", binary}} {
		measure := func(name string, one func(r *rig) error) {
			b.Run(name+"/"+format.name, func(b *testing.B) {
				r := newRig(b, storetest.SQLite(b))
				b.ReportAllocs()
				begin := cpu()
				for b.Loop() {
					if err := one(r); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64((cpu()-begin).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
				b.ReportMetric(float64(len(format.payload)), "bytes")
			})
		}
		measure("check", func(r *rig) error {
			doc, err := codec.Decode(format.payload, codec.DefaultLimits())
			if err != nil {
				return err
			}
			defer doc.Release()
			var room [16]change
			_, err = r.things.posted(room[:0], doc.Root().Get("Property"), r.prod.Model, time.UnixMilli(at))
			return err
		})
		measure("handle", func(r *rig) error {
			m := r.message(topic.PropertyPost, "", "")
			m.Payload, m.At = format.payload, time.UnixMilli(at)
			return r.things.Handle(b.Context(), m)
		})
	}
}
