//go:build unix

package server_test

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// quiet is an owner that keeps no record.
type quiet struct{ owner }

func (*quiet) Disconnect(*server.Session, server.Cause) {}

// BenchmarkIdleTCP reports the server's memory for an idle TCP connection with one subscription, new and after ten rounds of
// reconnecting; clients are bare file descriptors, so that they weigh nothing. Run it with -benchtime 2000x.
func BenchmarkIdleTCP(b *testing.B) {
	s, _ := start(b, server.DefaultConfig(), &quiet{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	serve(b, s, ln, "tcp")
	port := ln.Addr().(*net.TCPAddr).Port
	before := memory()
	for round := range 11 {
		fds := rawClients(b, port)
		switch round {
		case 0:
			b.ReportMetric(float64(memory()-before)/float64(b.N), "B/conn")
		case 10:
			b.ReportMetric(float64(memory()-before)/float64(b.N), "B/conn-again")
		}
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
		eventually(b, "all closed", func() bool { return s.Connections() == 0 })
	}
}

// rawClients connects b.N clients.
func rawClients(b *testing.B, port int) []int {
	fds := make([]int, 0, b.N)
	for i := range b.N {
		fd, err := rawClient(port, i)
		if err != nil {
			b.Fatal(err)
		}
		fds = append(fds, fd)
	}
	return fds
}

// rawClient connects, subscribes and returns the descriptor.
func rawClient(port, n int) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	out := packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: fmt.Appendf(nil, "d%d", n), KeepAlive: 600})
	out = packet.AppendSubscribe(out, 1, []packet.Filter{{Filter: fmt.Sprintf("/product/d%d/set", n), QoS: 1}})
	if _, err := syscall.Write(fd, out); err != nil {
		return 0, err
	}
	in := make([]byte, 9) // CONNACK and SUBACK
	for at := 0; at < len(in); {
		m, err := syscall.Read(fd, in[at:])
		if err != nil || m == 0 {
			return 0, fmt.Errorf("read: %d bytes, %w", m, err)
		}
		at += m
	}
	return fd, nil
}

// BenchmarkFanIn reports the CPU time of a QoS 1 publish from one of 500 TCP connections at 5,000 a second in all, the generator's own
// thread not counted. Run it with -benchtime 20000x.
func BenchmarkFanIn(b *testing.B) {
	for name, driver := range map[string]server.Driver{"auto": server.DriverAuto, "goroutine": server.DriverGoroutine} {
		b.Run(name, func(b *testing.B) { benchFanIn(b, driver) })
	}
}

func benchFanIn(b *testing.B, driver server.Driver) {
	const conns, perTick = 500, 10
	was := on
	on = way{driver: driver, tcp: true}
	defer func() { on = was }()
	_, ln := start(b, server.DefaultConfig(), &owner{})
	port := ln.Addr().(*net.TCPAddr).Port
	fds := make([]int, conns)
	for i := range fds {
		fd, err := rawClient(port, i)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = syscall.Close(fd) }()
		fds[i] = fd
	}
	msg := pub("/product/device/upload", string(make([]byte, 200)), 1, 1)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all, own := cpu(b, syscall.RUSAGE_SELF), cpu(b, rusageThread)
	tick := time.NewTicker(time.Second * perTick / 5000)
	defer tick.Stop()
	b.ResetTimer()
	for i := range b.N {
		if i%perTick == 0 {
			<-tick.C
		}
		if _, err := syscall.Write(fds[i%conns], msg); err != nil {
			b.Fatal(err)
		}
	}
	took := cpu(b, syscall.RUSAGE_SELF) - all - (cpu(b, rusageThread) - own)
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// rusageThread is RUSAGE_THREAD of Linux.
const rusageThread = 1

// cpu is the processor time of this process or thread.
func cpu(b *testing.B, who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Skip(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
