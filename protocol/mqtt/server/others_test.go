package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// nuisances are what a client can do to others, over and over until ctx ends. Each test in hostile_test.go holds what becomes of such a client.
var nuisances = []struct {
	name string
	do   func(ctx context.Context, tb testing.TB, ln dialer)
}{
	{"quiet", func(context.Context, testing.TB, dialer) {}},
	{"half-open", func(ctx context.Context, tb testing.TB, ln dialer) {
		con := packet.AppendConnect(nil, &packet.Connect{Level: packet.V5, ClientID: []byte("half"), Clean: true})
		crowd(ctx, tb, ln, 1000, false, time.Second, func(_ *client, i int) []byte {
			if i > 0 {
				return nil
			}
			return con[:len(con)/2]
		})
	}},
	{"a-byte-at-a-time", func(ctx context.Context, tb testing.TB, ln dialer) {
		all := pub("t", strings.Repeat("x", 1000), 1, 1)
		crowd(ctx, tb, ln, 1000, true, time.Second, func(_ *client, i int) []byte { return all[i%len(all) : i%len(all)+1] })
	}},
	{"subscribes", func(ctx context.Context, tb testing.TB, ln dialer) {
		crowd(ctx, tb, ln, 1, true, 0, func(_ *client, i int) []byte {
			return packet.AppendSubscribe(nil, uint16(i%65_535+1), []packet.Filter{{Filter: fmt.Sprintf("t/%d", i), QoS: 1}})
		})
	}},
	{"largest-topics", func(ctx context.Context, tb testing.TB, ln dialer) {
		long := pub(strings.Repeat("a/", 32_767), "x", 0, 0)
		crowd(ctx, tb, ln, 10, true, 10*time.Millisecond, func(*client, int) []byte { return long })
	}},
	{"wrong-order", func(ctx context.Context, tb testing.TB, ln dialer) {
		crowd(ctx, tb, ln, 10, true, 10*time.Millisecond, func(*client, int) []byte {
			return slices.Concat(packet.AppendID(nil, packet.PUBREL, 7), packet.AppendID(nil, packet.PUBCOMP, 7), pub("t", "x", 2, 5), pub("t", "x", 2, 5))
		})
	}},
	{"resets", func(ctx context.Context, tb testing.TB, ln dialer) {
		for ctx.Err() == nil {
			c := dial(tb, ln)
			c.send(packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte("reset")}), pub("t", "x", 2, 5))
			if tcp, ok := c.nc.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = c.nc.Close()
			time.Sleep(5 * time.Millisecond) // the pace
		}
	}},
	{"never-reads", func(ctx context.Context, tb testing.TB, ln dialer) {
		ping := slices.Repeat(packet.AppendEmpty(nil, packet.PINGREQ), 100)
		crowd(ctx, tb, ln, 50, true, 10*time.Millisecond, func(*client, int) []byte { return ping })
	}},
	{noDescriptors, func(ctx context.Context, tb testing.TB, ln dialer) {
		for ctx.Err() == nil {
			var all []*client
			for range 100 { // fewer than a listener's backlog, in which they stay
				all = append(all, dial(tb, ln))
			}
			pause(ctx, 100*time.Millisecond)
			for _, c := range all {
				_ = c.nc.Close()
			}
		}
	}},
}

// noDescriptors is the nuisance for which the server's process may open no more files.
const noDescriptors = "no-descriptors"

// crowd has n connections write what next says, each at that pace and spread over it, and read nothing.
func crowd(ctx context.Context, tb testing.TB, ln dialer, n int, loggedIn bool, pace time.Duration, next func(c *client, i int) []byte) {
	var all []*client
	for i := range n {
		c := dial(tb, ln)
		if loggedIn {
			c.connect(&packet.Connect{ClientID: fmt.Appendf(nil, "nuisance%d", i), Clean: true})
		}
		all = append(all, c)
	}
	var wg sync.WaitGroup
	for at, c := range all {
		wg.Go(func() {
			pause(ctx, pace*time.Duration(at)/time.Duration(n))
			for i := 0; ctx.Err() == nil; i++ {
				_ = c.nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				if _, err := c.nc.Write(next(c, i)); err != nil {
					pause(ctx, 10*time.Millisecond) // it is held back, or over
				}
				pause(ctx, pace)
			}
		})
	}
	wg.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// nuisanceEnv asks a test binary to be the nuisance of that name at that address, until its standard input ends.
const nuisanceEnv = "HAWSER_TEST_NUISANCE"

// TestNuisance is the other process of BenchmarkOthers, and nothing otherwise.
func TestNuisance(t *testing.T) {
	name, address, ok := strings.Cut(os.Getenv(nuisanceEnv), " ")
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	for _, bad := range nuisances {
		if bad.name == name {
			bad.do(ctx, t, remote{address: address})
		}
	}
}

// remote is a way to a server in another process.
type remote struct {
	net.Listener
	address string
}

func (r remote) Dial() (net.Conn, error) { return net.Dial("tcp", r.address) }

// nuisance runs one in a process of its own, as clients are: within this one it would hold the processors of the server.
func nuisance(b *testing.B, name, address string) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestNuisance$", "-test.bench=^$")
	cmd.Env = append(os.Environ(), nuisanceEnv+"="+name+" "+address)
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
}

// BenchmarkOthers is how long an ordinary client waits for its PUBACK, one message a millisecond, while another is a nuisance.
//
//	go test ./protocol/mqtt/server -run '^$' -bench Others -benchtime 3000x
func BenchmarkOthers(b *testing.B) {
	for _, bad := range nuisances {
		b.Run(bad.name, func(b *testing.B) {
			o := &owner{publish: func(_ *server.Session, p *server.Publish) { p.Done(nil) }}
			s, _ := startMem(b, server.Config{}, o)
			plain, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ln := tcpDialer{plain}
			serve(b, s, ln, "tcp")
			c, _ := login(b, ln, "ordinary", true)
			nuisance(b, bad.name, plain.Addr().String())
			if bad.name == noDescriptors {
				failed := s.Stats().AcceptErrors
				defer exhaust(b)()
				eventually(b, "accept failed", func() bool { return s.Stats().AcceptErrors > failed })
			}
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				time.Sleep(time.Millisecond) // the pace
				begin := time.Now()
				c.send(pub("a", "x", 1, uint16(i%1000+1)))
				c.want(packet.PUBACK)
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
