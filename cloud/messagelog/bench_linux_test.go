package messagelog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// BenchmarkUplink is a message on a custom topic that no rule wants: with no log, with one that is off, that keeps errors, and that keeps
// all. What counts on a busy machine is path-ns, the processor's time on the path's own thread; all-ns has the writer's too.
func BenchmarkUplink(b *testing.B) {
	for _, level := range []string{"none", "off", "errors", "all"} {
		b.Run(level, func(b *testing.B) {
			w := newWorld(b)
			var l *Log
			if level != "none" {
				l, _ = w.open("n1", func(c *Config) { c.Level, _ = ParseLevel(level); c.Segment.MaxBytes = -1 })
			}
			benchUplink(b, newPath(b, l, nil))
			if l == nil || level != "all" {
				return
			}
			if err := l.records.Sync(context.Background()); err != nil {
				b.Fatal(err)
			}
			s := l.records.Stats()
			b.ReportMetric(float64(s.Bytes)/float64(max(s.Appended, 1)), "B/record")
			b.ReportMetric(float64(l.out.Load())/float64(b.N), "left-out/op")
		})
	}
}

func benchUplink(b *testing.B, p *uplink.Path) {
	payload := []byte(`{"temperature":21.5,"humidity":40,"status":"ok"}`)
	name := topic.Name(dev, "upload")
	ack := free{make(chan struct{}, 1)}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, self := used(syscall.RUSAGE_THREAD), used(syscall.RUSAGE_SELF)
	b.ReportAllocs()
	for b.Loop() {
		m := p.New()
		m.Device, m.DeviceID, m.Topic, m.Name, m.Payload = dev, 7, topic.Topic{Kind: topic.Custom, Device: dev}, name, payload
		p.Take(context.Background(), m, ack)
		<-ack.ch
	}
	b.ReportMetric(float64(used(syscall.RUSAGE_THREAD)-thread)/float64(b.N), "path-ns/op")
	b.ReportMetric(float64(used(syscall.RUSAGE_SELF)-self)/float64(b.N), "all-ns/op")
}

// used is the processor's time so far.
func used(who int) time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(who, &u) // fails only for a who that there is not
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBytes is what a record takes on disk: property posts of 500 devices with values that differ, as the path logs them.
func BenchmarkBytes(b *testing.B) {
	w := newWorld(b)
	l, _ := w.open("n1", func(c *Config) { c.Segment.MaxBytes = -1 })
	ids := message.NewIDs(1, 0, time.Now)
	raw := 0
	for b.Loop() {
		for range 1000 {
			n := rand.IntN(500)
			d := ident.Device{Product: dev.Product, SN: fmt.Sprintf("meter-%04d", n)}
			payload := fmt.Appendf(nil, `{"RequestID":"%d","Property":{"temperature":{"Value":%.2f},"humidity":{"Value":%d},"battery":{"Value":%.3f}}}`,
				rand.IntN(1e6), 20+5*rand.Float64(), 30+rand.IntN(40), 3+rand.Float64())
			raw += len(payload)
			l.Add(b.Context(), &Record{At: time.Now(), Kind: KindUplink, Result: uplink.OK, ID: ids.Next(), Product: d.Product, Device: d.SN,
				Topic: topic.System(d, topic.PropertyPost), QoS: 1, Payload: payload, Size: len(payload), Took: time.Duration(8000+rand.IntN(4000)) * time.Microsecond,
				Hops: []uplink.Hop{{Name: "topic", Result: uplink.OK}, {Name: "model", Result: uplink.OK, Took: time.Duration(10+rand.IntN(20)) * time.Microsecond},
					{Name: "rules", Result: uplink.OK, Took: 2 * time.Microsecond}, {Name: "rule", Result: uplink.OK, Detail: "to the warehouse"},
					{Name: "store", Result: uplink.OK, Took: time.Duration(8000+rand.IntN(4000)) * time.Microsecond},
					{Name: "answer", Result: uplink.OK, Detail: topic.System(d, topic.PropertyPostReply), Took: 2 * time.Microsecond}}})
		}
		if err := l.records.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	s := l.records.Stats()
	b.ReportMetric(float64(s.Bytes)/float64(s.Appended), "B/record")
	b.ReportMetric(float64(raw)/float64(s.Appended), "payload-B/record")
}
