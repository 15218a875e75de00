package server_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// ledger is an owner that keeps its promises as one with a store does: publishes are acknowledged in batches after
// they are noted, rows for a device stay until they are delivered and are sent again when it comes back.
type ledger struct {
	owner
	mu      sync.Mutex
	batch   []*server.Publish
	safe    map[string]bool // what was acknowledged
	devices map[string]*rows
}

type rows struct {
	mu   sync.Mutex
	tags []uint64        // not delivered, in order
	to   *server.Session // whose Attached has sent the rows: a row that is sent before would overtake them
}

func (l *ledger) Publish(_ *server.Session, p *server.Publish) {
	l.mu.Lock()
	l.batch = append(l.batch, p)
	l.mu.Unlock()
}

// commit acknowledges what has gathered.
func (l *ledger) commit() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.batch {
		l.safe[string(p.Payload)] = true
		p.Done(nil)
	}
	l.batch = l.batch[:0]
}

func (l *ledger) Attached(s *server.Session) {
	d := l.devices[s.Identity()]
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = s
	for _, tag := range d.tags {
		_ = s.Send(row(tag))
	}
}

func (l *ledger) Delivered(s *server.Session, tag uint64) {
	d := l.devices[s.Identity()]
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, have := range d.tags {
		if have == tag {
			d.tags = append(d.tags[:i], d.tags[i+1:]...)
			return
		}
	}
}

func row(tag uint64) server.Message {
	return server.Message{Topic: "down", Payload: strconv.AppendUint(nil, tag, 10), QoS: 1 + byte(tag%2), Tag: tag}
}

// device publishes numbered messages until each is acknowledged, cutting its connection now and then, and notes what comes down.
type device struct {
	t      *testing.T
	ln     dialer
	id     string
	up     int // messages to publish
	acked  map[string]bool
	seen   map[uint64]bool
	order  []uint64 // first arrivals
	latest uint64   // to be seen before it may stop
}

func (d *device) run() error {
	patience := 20 * time.Millisecond
	for begin := time.Now(); len(d.acked) < d.up || len(d.seen) < int(d.latest); {
		if time.Since(begin) > 2*limit {
			return fmt.Errorf("%s: %d of %d acknowledged, %d of %d arrived", d.id, len(d.acked), d.up, len(d.seen), d.latest)
		}
		nc, err := d.ln.Dial()
		if err != nil {
			return err
		}
		if got := d.connection(&client{t: d.t, nc: nc, patience: patience}); got > 1 { // beyond CONNACK
			patience = max(patience/2, 20*time.Millisecond)
		} else { // the machine is busy
			patience = min(2*patience, 2*time.Second)
		}
		_ = nc.Close()
	}
	return nil
}

// connection runs one connection up to a random cut, or until nothing comes: what the device forgot to acknowledge
// may fill the window. It may also lose the connection to a predecessor whose CONNECT is handled late. It returns how many packets came.
func (d *device) connection(c *client) (got int) {
	send := func(b []byte) { _, _ = c.nc.Write(b) }
	send(packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte(d.id)}))
	send(packet.AppendSubscribe(nil, 0xffff, []packet.Filter{{Filter: "down", QoS: 2}}))
	next, window := 0, map[uint16]string{}
	more := func() {
		for ; next < d.up && len(window) < 10; next++ {
			if payload := fmt.Sprintf("%s/%d", d.id, next); !d.acked[payload] {
				window[uint16(next+1)] = payload
				send(pub("up", payload, 1, uint16(next+1)))
			}
		}
	}
	more()
	for cut := rand.IntN(120); got < cut; got++ {
		h, body, err := c.read()
		if err != nil {
			return got
		}
		id, _ := packet.DecodeID(body)
		switch h.Type {
		case packet.PUBACK:
			d.acked[window[id]] = true
			delete(window, id)
			more()
		case packet.PUBREL:
			send(packet.AppendID(nil, packet.PUBCOMP, id))
		case packet.PUBLISH:
			d.arrived(h.Flags, body, send)
		}
		if len(d.acked) == d.up && len(d.seen) == int(d.latest) {
			return got
		}
	}
	return got
}

func (d *device) arrived(flags byte, body []byte, send func([]byte)) {
	var p packet.Publish
	if err := packet.DecodePublish(flags, body, &p); err != nil {
		d.t.Error(err)
	}
	tag, _ := strconv.ParseUint(string(p.Payload), 10, 64)
	if !d.seen[tag] {
		d.seen[tag] = true
		d.order = append(d.order, tag)
	}
	if rand.IntN(10) == 0 && !p.Dup {
		return // a device that forgets: it will come again on the next connection
	}
	typ := packet.PUBACK
	if p.QoS == 2 {
		typ = packet.PUBREC
	}
	send(packet.AppendID(nil, typ, p.ID))
}

// TestCutsLoseNothing: connections are cut at random while messages go both ways. Everything acknowledged is with the owner,
// everything sent arrives, and first arrivals keep their order within a quality of service.
func TestCutsLoseNothing(t *testing.T) {
	t.Parallel()
	const devices, up, down = 12, 150, 100
	l := &ledger{safe: map[string]bool{}, devices: map[string]*rows{}}
	for i := range devices {
		l.devices[fmt.Sprintf("d%d", i)] = &rows{}
	}
	cfg := server.DefaultConfig()
	cfg.InFlight, cfg.Window = 8, 4
	s, ln := start(t, cfg, l)
	var wg sync.WaitGroup
	fleet := make([]*device, devices)
	for i := range fleet {
		d := &device{t: t, ln: ln, id: fmt.Sprintf("d%d", i), up: up, acked: map[string]bool{}, seen: map[uint64]bool{}, latest: down}
		fleet[i] = d
		wg.Go(func() {
			if err := d.run(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { sendRows(t, s, l.devices[d.id], d.id, down) })
	}
	stop := make(chan struct{})
	var committer sync.WaitGroup
	committer.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				l.commit()
				return
			case <-tick.C:
				l.commit()
			}
		}
	})
	wg.Wait()
	close(stop)
	committer.Wait()
	for _, d := range fleet {
		for payload := range d.acked {
			if !l.safe[payload] {
				t.Errorf("%s was acknowledged and is not safe", payload)
			}
		}
		verifyOrder(t, d)
	}
	t.Logf("%d connections, %d sent again", s.Stats().Connects, s.Stats().Redelivered)
}

func sendRows(t *testing.T, s *server.Server, r *rows, id string, n uint64) {
	eventually(t, id+" subscribed", func() bool { // rows before that would be for nobody
		to, ok := s.Session(id)
		return ok && len(to.Subscriptions()) == 1
	})
	for tag := uint64(1); tag <= n; tag++ {
		r.mu.Lock()
		r.tags = append(r.tags, tag)
		_ = r.to.Send(row(tag)) // offline: Attached sends it
		r.mu.Unlock()
		time.Sleep(100 * time.Microsecond) // a rate, not a wait
	}
}

func verifyOrder(t *testing.T, d *device) {
	t.Helper()
	var last [2]uint64
	for _, tag := range d.order {
		if tag < last[tag%2] {
			t.Errorf("%s: %d came after %d", d.id, tag, last[tag%2])
		}
		last[tag%2] = tag
	}
	if len(d.order) != int(d.latest) {
		t.Errorf("%s: %d of %d messages came", d.id, len(d.order), d.latest)
	}
}
