package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/edge-agent/uplink"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// parts are an agent's buffer and way up beside a hub's doors and paths, in one process: for what must be looked at closely.
type parts struct {
	t    *testing.T
	hub  *brokertest.Stack
	addr string
	gw   *registry.Device
	subs []*registry.Device
	buf  *buffer.Buffer
	s    *buffer.Stream
	up   *uplink.Uplink
	n    int
}

func newParts(t *testing.T, bc buffer.Config) *parts {
	p := &parts{t: t, hub: brokertest.New(t, brokertest.Config{Store: storetest.SQLite(t)})}
	p.gw = p.hub.Device(t, p.hub.Product(t, registry.NewProduct{Kind: registry.KindGateway}), "gw-0001")
	product := p.hub.Product(t, registry.NewProduct{Kind: registry.KindSubdevice})
	for _, sn := range []string{"sub-0001", "sub-0002", "sub-0003"} {
		p.subs = append(p.subs, p.hub.Device(t, product, sn))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.hub.Broker.Serve(ctx, ln, "tcp") }()
	t.Cleanup(func() { cancel(); ln.Close(); p.hub.Stop(); <-ended })

	bc.Dir = filepath.Join(t.TempDir(), "b")
	if len(bc.Streams) == 0 {
		bc.Streams = []buffer.StreamConfig{{Name: buffer.DefaultStream, Durability: buffer.Sync}}
	}
	if p.buf, err = buffer.Open(bc, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	p.s = p.buf.Stream(buffer.DefaultStream)
	p.run(p.buf.Run, func() { _ = p.buf.Close() })
	return p
}

// run has a part work until the end of the test.
func (p *parts) run(f func(context.Context) error, after func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f(ctx); err != nil {
			p.t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait(); after() })
	p.t.Cleanup(stop)
	return stop
}

// connect starts the way up.
func (p *parts) connect(change ...func(*uplink.Config)) (stop func()) {
	p.t.Helper()
	cfg := uplink.Config{Link: link.Config{Server: "tcp://" + p.addr, Device: p.gw.Identity, Secret: credential.Secret(p.gw.Secret.Reveal()),
		KeepTrying: true, Persistent: true, BackoffMin: 10 * time.Millisecond, BackoffMax: 20 * time.Millisecond}, RetryRefused: 50 * time.Millisecond,
		Version: func() string { return "1.0" }}
	for _, d := range p.subs {
		cfg.Subdevices = append(cfg.Subdevices, d.Identity)
	}
	for _, f := range change {
		f(&cfg)
	}
	up, err := uplink.New(cfg, p.s, slog.New(slog.NewTextHandler(p.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err == nil {
		err = up.Serve(nobody{})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.up = up
	return p.run(up.Run, func() {})
}

// nobody is a LAN without sub-devices.
type nobody struct{}

func (nobody) Deliver(ident.Device, string, []byte, byte) error { return server.ErrOffline }
func (nobody) Notice(topic.Kind, []message.Subdev)              {}
func (nobody) Carries(ident.Device) bool                        { return true }

// put has the sub-devices in turn say the next numbers, at times from at on, a step apart.
func (p *parts) put(n int, at time.Time, step time.Duration) {
	p.t.Helper()
	done := make(chan error, n)
	for i := range n {
		p.n++
		d := p.subs[p.n%len(p.subs)]
		p.s.Append(buffer.Record{Topic: topic.Name(d.Identity, "upload"), Payload: fmt.Appendf(nil, `{"n":%d,"pad":"%016x%016x%016x%016x"}`, p.n, rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64()), QoS: 1,
			Time: at.Add(time.Duration(i) * step)}, func(err error) { done <- err })
	}
	for range n {
		if err := <-done; err != nil {
			p.t.Fatal(err)
		}
	}
}

// seen are the numbers that came, in the order of each sub-device, and all with their times.
func (p *parts) seen() (byDevice [][]int, times map[int]time.Time) {
	times = make(map[int]time.Time)
	for _, d := range p.subs {
		var list []int
		for _, s := range p.hub.Rules.Of(topic.Name(d.Identity, "upload")) {
			var v struct{ N int }
			if err := json.Unmarshal([]byte(s.Payload), &v); err != nil {
				p.t.Fatal(err)
			}
			list = append(list, v.N)
			times[v.N] = s.At
		}
		byDevice = append(byDevice, list)
	}
	return byDevice, times
}

// lost are the numbers that the hub was told of.
func (p *parts) lost() map[int]bool {
	lost := make(map[int]bool)
	for _, e := range p.hub.Rules.Of(topic.System(p.gw.Identity, topic.AgentEvent)) {
		var g struct {
			From, To, Count int
			Reason          string
		}
		if err := json.Unmarshal([]byte(e.Payload), &g); err != nil {
			p.t.Fatal(err)
		}
		if g.Count != g.To-g.From+1 {
			p.t.Errorf("a gap that covers others: %+v", g)
		}
		for n := g.From; n <= g.To; n++ {
			lost[n] = true
		}
	}
	return lost
}

// drained waits until nothing waits and every loss is told.
func (p *parts) drained() {
	p.t.Helper()
	brokertest.Eventually(p.t, "the buffer is empty", func() bool { return p.s.Stats().Records == 0 && len(p.s.Gaps()) == 0 })
}

// balanced holds that each number either came once or is told lost, and that each device's came in order (but where lanes cross, for which jumps are given).
func (p *parts) balanced(jumps int) {
	p.t.Helper()
	byDevice, times := p.seen()
	lost := p.lost()
	total := 0
	for i, list := range byDevice {
		total += len(list)
		down := 0
		for k := 1; k < len(list); k++ {
			if list[k] < list[k-1] {
				down++
				if down > jumps {
					p.t.Logf("order: %v", list[max(k-3, 0):min(k+3, len(list))])
				}
			}
		}
		if down > jumps {
			p.t.Errorf("sub-device %d: the order goes back %d times", i, down)
		}
	}
	if total != len(times) {
		p.t.Errorf("%d records came, %d of them twice", total, total-len(times))
	}
	for n := 1; n <= p.n; n++ {
		if _, came := times[n]; came == lost[n] {
			p.t.Fatalf("number %d: came %v, told lost %v", n, came, lost[n])
		}
	}
}

// TestChannelOutage: three days without the hub, with a buffer for hours: what there is room for comes, in order, with its times, and every other record is told lost.
func TestChannelOutage(t *testing.T) {
	p := newParts(t, buffer.Config{MaxBytes: 256 << 10, SegmentBytes: 16 << 10})
	begun := time.Now().Add(-72 * time.Hour)
	p.put(2500, begun, 103680*time.Millisecond)
	p.connect()
	p.drained()
	p.balanced(0)
	_, times := p.seen()
	if len(times) < 500 || len(times) > 2200 || len(p.lost()) != 2500-len(times) {
		t.Errorf("%d came, %d lost", len(times), len(p.lost()))
	}
	for n, at := range times {
		if want := begun.Add(time.Duration(n-1) * 103680 * time.Millisecond); at.Sub(want).Abs() > time.Millisecond {
			t.Fatalf("record %d of %s came with %s", n, want, at)
		}
	}
	info, err := p.hub.Agents.Agent(t.Context(), p.gw.ID)
	if err != nil || len(info.Gaps) == 0 {
		t.Errorf("%+v %v", info, err)
	}
	t.Logf("%d of 2500 came, %d told lost in %d gaps", len(times), len(p.lost()), len(info.Gaps))
}

// TestChannelThinned: the same with thinning: what comes is of all three days, and the losses are told in full, more of them than the hub keeps ranges.
func TestChannelThinned(t *testing.T) {
	for _, newest := range []bool{false, true} {
		p := newParts(t, buffer.Config{MaxBytes: 128 << 10, SegmentBytes: 1 << 10,
			Streams: []buffer.StreamConfig{{Name: buffer.DefaultStream, Durability: buffer.Sync, WhenFull: buffer.ThinOut}}})
		begun := time.Now().Add(-72 * time.Hour)
		const total = 1000
		p.put(total, begun, 259200*time.Millisecond)
		p.connect(func(c *uplink.Config) { c.Newest = newest })
		p.drained()
		byDevice, times := p.seen()
		came, told := 0, 0
		for _, list := range byDevice {
			came += len(list)
		}
		for _, e := range p.hub.Rules.Of(topic.System(p.gw.Identity, topic.AgentEvent)) {
			var g struct {
				Count  int
				Reason string
			}
			if err := json.Unmarshal([]byte(e.Payload), &g); err != nil || g.Reason != "thinned" {
				t.Fatalf("%s: %v", e.Payload, err)
			}
			told += g.Count
		}
		if came != len(times) || came+told != total {
			t.Errorf("newest first %v: %d came, %d of them once, %d are told lost of %d", newest, came, len(times), told, total)
		}
		widest, last := 0, 0
		for n := 1; n <= total; n++ {
			if at, ok := times[n]; ok {
				widest, last = max(widest, n-last), n
				if want := begun.Add(time.Duration(n-1) * 259200 * time.Millisecond); at.Sub(want).Abs() > time.Millisecond {
					t.Fatalf("record %d of %s came with %s", n, want, at)
				}
			}
		}
		if last != total || widest > 6*total/came {
			t.Errorf("newest first %v: the last is %d, and the widest hole %d with %d of %d", newest, last, widest, came, total)
		}
		t.Logf("newest first %v: %d of %d came, widest hole %d", newest, came, total, widest)
	}
}

// TestChannelClocks: a clock that jumps to 1970 and to 2100 loses nothing; such times are the hub's.
func TestChannelClocks(t *testing.T) {
	p := newParts(t, buffer.Config{})
	now := time.Now()
	p.put(30, now.Add(-time.Hour), time.Second)
	p.put(30, time.Unix(0, 0), time.Second)
	p.put(30, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), time.Second)
	p.put(30, now.Add(-time.Minute), time.Second)
	p.connect()
	p.drained()
	p.balanced(0)
	_, times := p.seen()
	for n := 1; n <= 120; n++ {
		believed := n <= 30 || n > 90
		if fresh := times[n].Sub(now) > -time.Second && times[n].Sub(now) < time.Minute && n <= 90; fresh == believed {
			t.Errorf("record %d came with %s", n, times[n])
		}
	}
}

// TestChannelTime: an agent on a machine whose clock was never set has the hub's time, also for what it took before it was connected.
func TestChannelTime(t *testing.T) {
	p := newParts(t, buffer.Config{})
	begun := time.Now()
	machine := func() time.Time { return time.Unix(1000, 0).Add(time.Since(begun)) }
	before := machine()
	stop := p.connect(func(c *uplink.Config) { c.Now = machine })
	brokertest.Eventually(t, "connected", p.up.Connected)
	for range 3 {
		p.n++
		d := p.subs[0].Identity
		done := make(chan error, 1)
		p.up.Forward(d, topic.Name(d, "upload"), fmt.Appendf(nil, `{"n":%d}`, p.n), 1, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	p.put(1, before.Add(time.Millisecond), 0)
	p.drained()
	stop()
	_, times := p.seen()
	for n, at := range times {
		if at.Sub(begun).Abs() > time.Minute {
			t.Errorf("record %d came with %s", n, at)
		}
	}
	if len(times) != 4 {
		t.Errorf("%d records", len(times))
	}
}

// halt has the next connections stand still, once so many bytes have gone up, until goOn is called; begun is closed when they do.
func (p *parts) halt(bytes int) (begun <-chan struct{}, goOn func()) {
	p.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	to, stands, open := p.addr, make(chan struct{}), make(chan struct{})
	p.addr = ln.Addr().String()
	goOn = sync.OnceFunc(func() { close(open) })
	stand := sync.OnceFunc(func() { close(stands) })
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				wg.Go(func() { _, _ = io.Copy(in, out); in.Close() })
				if _, err := io.CopyN(out, in, int64(bytes)); err != nil {
					return
				}
				stand()
				<-open
				_, _ = io.Copy(out, in)
			})
		}
	})
	p.t.Cleanup(func() { ln.Close(); goOn(); wg.Wait() })
	return stands, goOn
}

// TestChannelLanes: what comes now does not wait behind what waited, whichever end of that goes first.
func TestChannelLanes(t *testing.T) {
	for _, newest := range []bool{false, true} {
		t.Run(fmt.Sprintf("newest first %v", newest), func(t *testing.T) {
			p := newParts(t, buffer.Config{})
			const waiting = 4000
			p.put(waiting, time.Now(), time.Millisecond)
			begun, goOn := p.halt(16 << 10)
			p.connect(func(c *uplink.Config) { c.Newest = newest })
			select {
			case <-begun:
			case <-time.After(time.Minute):
				t.Fatal("the backlog does not come")
			}
			p.put(30, time.Now(), 0)
			goOn()
			p.drained()
			p.balanced(waiting)
			byDevice, _ := p.seen()
			list := byDevice[0]
			at := 0
			for list[at] <= waiting {
				at++
			}
			if at > len(list)*9/10 {
				t.Errorf("the first new record came after %d of %d", at, len(list))
			}
			if first := list[0]; newest && first < waiting-1000 || !newest && first > 3 {
				t.Errorf("number %d came first", first)
			}
		})
	}
}

// TestChannelRefused: records of a sub-device that the hub does not let in wait, harm no others, and come when it is let in.
func TestChannelRefused(t *testing.T) {
	p := newParts(t, buffer.Config{})
	off := p.subs[1].Identity
	if _, err := p.hub.Registry.SetEnabled(t.Context(), off, false); err != nil {
		t.Fatal(err)
	}
	p.put(300, time.Now(), 0) // every third waits: more holes than there may be ranges
	p.connect()
	brokertest.Eventually(t, "the others have come", func() bool { return p.s.Stats().Records == 100 })
	if _, err := p.hub.Registry.SetEnabled(t.Context(), off, true); err != nil {
		t.Fatal(err)
	}
	p.drained()
	p.balanced(0)
}

// TestChannelBreaks: the connection breaks again and again in the middle of batches; each record comes once.
func TestChannelBreaks(t *testing.T) {
	p := newParts(t, buffer.Config{})
	p.put(1500, time.Now(), 0)
	for i := range 8 {
		stop := p.connect()
		want := p.s.Stats().Records - int64(60*i)
		brokertest.Eventually(t, "some have come", func() bool { return p.s.Stats().Records <= max(want, 0) && p.up.Connected() })
		stop()
	}
	p.connect()
	p.drained()
	p.balanced(0)
}

// TestChannelWeakLink: over 256 kbit/s of which 30 % of the segments have to be sent again, after a growing pause each, and which breaks now and then, each record comes once.
func TestChannelWeakLink(t *testing.T) {
	n := 600
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		n = 60_000
	}
	p := newParts(t, buffer.Config{})
	w := weaken(t, p.addr)
	p.addr = w.ln.Addr().String()
	p.put(n, time.Now(), time.Millisecond)
	begun := time.Now()
	p.connect()
	brokertest.Eventually(t, "connected", func() bool { return p.up.Connected() || p.s.Stats().Records < int64(n) })
	for deadline := time.Now().Add(5 * time.Minute); p.s.Stats().Records > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d records still wait", p.s.Stats().Records)
		}
	}
	p.balanced(0)
	t.Logf("%d records in %s; %d bytes up, %d segments repeated, %d breaks", n, time.Since(begun).Round(10*time.Millisecond), w.bytes.Load(), w.repeats.Load(), w.breaks.Load())
}

// weakLink carries connections to an address as a weak radio link does.
type weakLink struct {
	ln                     net.Listener
	bytes, repeats, breaks atomic.Int64
}

func weaken(t *testing.T, to string) *weakLink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &weakLink{ln: ln}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { w.carry(c, to) })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return w
}

func (w *weakLink) carry(c net.Conn, to string) {
	defer c.Close()
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	back := make(chan struct{})
	go func() { defer close(back); _, _ = io.Copy(c, up); c.Close() }()
	defer func() { up.Close(); <-back }()
	const segment, perSecond = 1460, 256_000 / 8
	b := make([]byte, segment)
	for left := 4000 + rand.N(40_000); left > 0; {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		time.Sleep(time.Duration(n) * time.Second / perSecond)
		for pause := 20 * time.Millisecond; rand.N(10) < 3; pause *= 2 {
			w.repeats.Add(1)
			time.Sleep(pause)
		}
		if _, err := up.Write(b[:n]); err != nil {
			return
		}
		w.bytes.Add(int64(n))
		left -= n
	}
	w.breaks.Add(1)
}
