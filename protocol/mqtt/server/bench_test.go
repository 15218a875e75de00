package server_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// benchClient logs a client in over the named transport.
func benchClient(b *testing.B, transport string, o server.Owner) net.Conn {
	b.Helper()
	s, mem := start(b, server.DefaultConfig(), o)
	if transport == "mem" {
		c, _ := login(b, mem, "bench", true)
		return c.nc
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	serve(b, s, ln, "tcp")
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	newClient(b, nc).connect(&packet.Connect{ClientID: []byte("bench"), Clean: true})
	return nc
}

// batchSize is how many publishes a benchmark's client writes before it reads acknowledgements: as many small devices, or one busy gateway.
const batchSize = 32

// BenchmarkPublish measures a 200-byte publish from the client's socket to the owner and back, client included.
func BenchmarkPublish(b *testing.B) {
	for _, transport := range []string{"mem", "tcp"} {
		for qos := range byte(2) {
			for _, batch := range []int{1, batchSize} {
				b.Run(fmt.Sprintf("%s/qos%d/batch%d", transport, qos, batch), func(b *testing.B) {
					benchPublish(b, transport, qos, batch)
				})
			}
		}
	}
}

func benchPublish(b *testing.B, transport string, qos byte, batch int) {
	nc := benchClient(b, transport, &owner{})
	var out []byte
	for i := range batch {
		out = append(out, pub("/product/device/upload", string(make([]byte, 200)), qos, uint16(i+1))...)
	}
	answer := 4 * batch
	if qos == 0 { // a ping tells that all was handled
		out = packet.AppendEmpty(out, packet.PINGREQ)
		answer = 2
	}
	in := make([]byte, answer)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += batch {
		if _, err := nc.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(nc, in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPublish5 is BenchmarkPublish at QoS 1 with MQTT 5.0: plain, and by alias with properties.
func BenchmarkPublish5(b *testing.B) {
	rich := packet.AppendPair(packet.AppendInt(packet.AppendInt(nil, packet.MessageExpiry, 60), packet.TopicAlias, 1), "trace", "0123456789")
	for name, props := range map[string]packet.Properties{"plain": nil, "alias": rich} {
		b.Run(name, func(b *testing.B) {
			_, mem := start(b, server.DefaultConfig(), &owner{})
			c, _ := login5(b, mem, "bench", true, nil)
			topic, id := "/product/device/upload", uint16(1)
			if props != nil {
				c.send(pub5(topic, "x", 1, id, props))
				c.wantAck5(packet.PUBACK, id)
				topic = ""
			}
			var out []byte
			for i := range batchSize {
				out = append(out, pub5(topic, string(make([]byte, 200)), 1, uint16(i+1), props)...)
			}
			in := make([]byte, 4*batchSize)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += batchSize {
				if _, err := c.nc.Write(out); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c.nc, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSend measures a 200-byte message from Session.Send to the client's acknowledgement.
func BenchmarkSend(b *testing.B) {
	for _, transport := range []string{"mem", "tcp"} {
		for qos := range byte(2) {
			b.Run(fmt.Sprintf("%s/qos%d", transport, qos), func(b *testing.B) {
				var target *server.Session
				o := &owner{attached: func(s *server.Session) { target = s }}
				nc := benchClient(b, transport, o)
				c := &client{t: b, nc: nc}
				c.subscribe(1, "/product/device/set", qos)
				m := server.Message{Topic: "/product/device/set", Payload: make([]byte, 200), QoS: qos}
				size, _ := packet.PublishSize(len(m.Topic), 200, qos)
				in := make([]byte, size)
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					if err := target.Send(m); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(nc, in); err != nil {
						b.Fatal(err)
					}
					if qos > 0 {
						at := 3 + 2 + len(m.Topic)
						if _, err := nc.Write([]byte{0x40, 2, in[at], in[at+1]}); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// memory returns the bytes of heap and stacks in use after a collection.
func memory() uint64 {
	for range 3 { // stacks shrink by half a collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestIdleMemory holds 2,000 idle connections in memory, both ends, to a budget. The race detector has needs of its own.
func TestIdleMemory(t *testing.T) {
	const conns = 2000
	budget := uint64(6 << 10)
	if on.driver == server.DriverAuto {
		budget = 4 << 10 // of which the client's end and its goroutine are the most
	}
	s, ln := startMem(t, server.DefaultConfig(), &owner{})
	before := memory()
	open := make([]net.Conn, 0, conns)
	for i := range conns {
		nc, err := ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		c := client{t: t, nc: nc}
		c.connect(&packet.Connect{ClientID: fmt.Appendf(nil, "d%d", i), KeepAlive: 600})
		c.subscribe(1, fmt.Sprintf("/product/d%d/set", i), 1)
		open = append(open, nc)
	}
	each := (memory() - before) / conns
	t.Logf("%d bytes an idle connection in memory, both ends", each)
	if each > budget && !raceDetector {
		t.Errorf("%d bytes an idle connection, budget %d", each, budget)
	}
	for _, nc := range open {
		_ = nc.Close()
	}
	eventually(t, "all closed", func() bool { return s.Connections() == 0 })
}
