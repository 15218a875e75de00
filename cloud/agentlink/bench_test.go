package agentlink_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/protocol/zstdenc"
)

// BenchmarkRecords carries property-like records of two sub-devices to a hub on SQLite, each an output of a rule: single messages with four in flight, and batches. It tells the CPU of both sides of
// the process and the bytes of the packets for a record.
func BenchmarkRecords(b *testing.B) {
	for _, size := range []int{0, 1, 10, 100, 500} {
		name := fmt.Sprintf("batches of %d", size)
		if size == 0 {
			name = "single messages"
		}
		b.Run(name, func(b *testing.B) { carry(b, size) })
	}
}

func carry(b *testing.B, size int) {
	s := brokertest.New(b, brokertest.Config{Store: storetest.SQLite(b)})
	gw := s.Device(b, s.Product(b, registry.NewProduct{Kind: registry.KindGateway}), "gw-0001")
	c := s.MustDial(b, brokertest.Of(gw))
	hello, err := agentmsg.Marshal(&agentmsg.Hello{Ask: true, Agent: "1", Streams: []agentmsg.Stream{{Place: place, Next: 1}}})
	if err != nil {
		b.Fatal(err)
	}
	up := topic.System(gw.Identity, topic.AgentUp)
	c.Publish(up, string(hello))
	var enc zstdenc.Encoder
	var w agentmsg.Writer
	var bytes int64
	out := 0
	send := func(name, payload string) {
		c.Send(name, payload)
		bytes += int64(len(packet.AppendPublish(nil, name, []byte(payload), 1, 1, false, false)))
		for out++; out >= 4; out-- {
			for c.Next().Type != packet.PUBACK {
			}
		}
	}
	flush := func() {
		m := &agentmsg.Batch{Place: place, First: w.First(), Count: w.Count(), Data: w.Data()}
		if packed := enc.Append(nil, m.Data); len(m.Data) >= 200 && len(packed) < len(m.Data) {
			m.Size, m.Data = len(m.Data), packed
		}
		text, err := agentmsg.Marshal(m)
		if err != nil {
			b.Fatal(err)
		}
		send(up, string(text))
		w.Reset()
	}
	name := topic.Name(gw.Identity, "upload")
	before := used()
	b.ResetTimer()
	for i := range b.N {
		payload := fmt.Sprintf(`{"RequestID":"%d","Property":{"temperature":{"Value":%d.%d},"humidity":{"Value":%d}}}`, i, 20+i%7, i%10, 40+i%23)
		if size == 0 {
			send(name, payload)
			continue
		}
		w.Add(&agentmsg.Record{Seq: uint64(i + 1), Time: time.Now().UnixMilli(), QoS: 1, Topic: name, Payload: []byte(payload)})
		if w.Count() == size {
			flush()
		}
	}
	if w.Count() > 0 {
		flush()
	}
	for ; out > 0; out-- {
		for c.Next().Type != packet.PUBACK {
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "cpu-µs/record")
	b.ReportMetric(float64(bytes)/float64(b.N), "wire-B/record")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// used is the process's CPU time.
func used() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
