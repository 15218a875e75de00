package broker_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// passing is a set of rules that writes every message to the outbox, or none.
type passing bool

func (p passing) Match(m *uplink.Message, _ string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	if _, err := payload(); err != nil || !bool(p) {
		return out
	}
	return append(out, append([]byte{}, m.Payload...))
}

// BenchmarkUplink is the whole way of a QoS 1 message over an in-memory connection, clients included: 100 devices with a window of
// 32 each, 200 bytes; without a matching rule, and with one, where each is committed with power-loss safety before its PUBACK.
func BenchmarkUplink(b *testing.B) {
	for _, matching := range []bool{false, true} {
		b.Run(fmt.Sprintf("rule=%v", matching), func(b *testing.B) {
			s := brokertest.New(b, brokertest.Config{Store: storetest.SQLite(b), Rules: passing(matching)})
			p := s.Product(b, registry.NewProduct{})
			const devices, window = 100, 32
			payload := fmt.Sprintf(`{"temperature":21.5,"pad":"%0170d"}`, 0)
			var clients []*brokertest.Client
			var names []string
			for n := range devices {
				d := s.Device(b, p, fmt.Sprintf("dev-%04d", n))
				clients = append(clients, s.MustDial(b, brokertest.Of(d)))
				names = append(names, topic.Name(d.Identity, "upload"))
			}
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, c := range clients {
				wg.Go(func() { pump(b, c, names[i], payload, b.N/devices+1, window) })
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// pump keeps window messages unacknowledged until n are acknowledged.
func pump(b *testing.B, c *brokertest.Client, name, payload string, n, window int) {
	for range min(n, window) {
		c.Send(name, payload)
	}
	for acked := 1; acked <= n; acked++ {
		if p := c.Next(); p.Type != packet.PUBACK {
			b.Errorf("got %+v", p)
			return
		}
		if acked+window <= n {
			c.Send(name, payload)
		}
	}
}
