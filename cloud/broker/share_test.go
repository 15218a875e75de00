package broker_test

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// share is what the workers of these tests subscribe to.
const share = "$share/workers//+/+/upload"

// tally counts what the members of a group get.
type tally struct {
	mu     sync.Mutex // guards the fields below
	times  map[string]int
	member map[string]int
}

func newTally() *tally { return &tally{times: map[string]int{}, member: map[string]int{}} }

// follow counts what a client gets until its connection ends.
func (l *tally) follow(name string, c *brokertest.Client) {
	go func() {
		for p := range c.Packets() {
			if p.Type == packet.PUBLISH {
				l.mu.Lock()
				l.times[p.Payload]++
				l.member[name]++
				l.mu.Unlock()
			}
		}
	}()
}

// arrived is how many different messages came, and how many came again.
func (l *tally) arrived() (all, again int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.times {
		again += n - 1
	}
	return len(l.times), again
}

// uploads sends n messages of a device and waits for their acknowledgements.
func uploads(dev *brokertest.Client, d *registry.Device, from, to int) {
	for i := from; i < to; i++ {
		dev.Send(topic.Name(d.Identity, "upload"), fmt.Sprint(i))
	}
	for i := from; i < to; {
		if dev.Next().Type == packet.PUBACK {
			i++
		}
	}
}

// twoNodes starts nodes over one store and one bus.
func twoNodes(t *testing.T, db *store.DB, k *keys) (a, b *brokertest.Stack) {
	t.Helper()
	link, err := bus.Open(t.Context(), bus.Config{Name: "both"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() }) // after the nodes have ended
	quick := func(c *application.Config) { c.Announce = time.Second }
	a = brokertest.New(t, brokertest.Config{Store: db, Bus: link, Keys: k, Node: "a", Number: 1, Applications: quick})
	return a, brokertest.New(t, brokertest.Config{Store: db, Bus: link, Keys: k, Node: "b", Number: 2, Applications: quick})
}

// TestShared: each message goes to one member of the group, on whichever node, in turn; QoS 0 too.
func TestShared(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := newKeys()
		a, b := twoNodes(t, db, k)
		d := a.New(t)
		dev := a.MustDial(t, brokertest.Of(d))
		all, other := newTally(), newTally()
		for name, s := range map[string]*brokertest.Stack{"one": a, "two": b, "three": b} {
			c := s.MustDial(t, by("viewer", name, name == "three"))
			c.Subscribe(share)
			all.follow(name, c)
		}
		lone := b.MustDial(t, by("all", "lone", false)) // another group of the same filter
		lone.Subscribe("$share/others//+/+/upload")
		other.follow("lone", lone)
		brokertest.Eventually(t, "node a knows the members", func() bool { return a.Applications.Members(share) == 3 })
		brokertest.Eventually(t, "node b knows the members", func() bool { return b.Applications.Members(share) == 3 })
		brokertest.Eventually(t, "node a knows the other group", func() bool { return a.Applications.Members("$share/others//+/+/upload") == 1 })
		const total = 300
		uploads(dev, d, 0, total)
		for _, l := range []*tally{all, other} {
			brokertest.Eventually(t, "all came", func() bool { n, _ := l.arrived(); return n == total })
			if _, again := l.arrived(); again != 0 {
				t.Errorf("%d came more than once", again)
			}
		}
		least := 1 // a member whose node is late with its announcements is passed over for a while, on a busy machine
		if harness.Long() {
			least = total / 20
		}
		all.mu.Lock()
		for _, name := range []string{"one", "two", "three"} {
			if n := all.member[name]; n < least {
				t.Errorf("%s got %d of %d", name, n, total)
			}
		}
		all.mu.Unlock()
		brokertest.Eventually(t, "no rows", func() bool { return queued(t, db) == 0 })
		dev.SendQoS0(topic.Name(d.Identity, "upload"), "light")
		brokertest.Eventually(t, "QoS 0 came", func() bool { n, _ := all.arrived(); return n == total+1 })
	})
}

// TestSharedMemberLeaves: what a member has not acknowledged goes to another when it leaves, here or elsewhere, by its will or without; while
// nobody is there it waits for who comes back, over the end of the hub.
func TestSharedMemberLeaves(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := newKeys()
		a, b := twoNodes(t, db, k)
		d := a.New(t)
		dev := a.MustDial(t, brokertest.Of(d))
		all := newTally()
		idle := by("viewer", "idle", false)
		idle.NoAck = true
		hung, away := a.MustDial(t, idle), b.MustDial(t, by("viewer", "away", true))
		idle.ClientID = "idle too"
		hungToo := b.MustDial(t, idle)
		for _, c := range []*brokertest.Client{hung, away, hungToo} {
			c.Subscribe(share)
		}
		all.follow("away", away)
		brokertest.Eventually(t, "node a knows the members", func() bool { return a.Applications.Members(share) == 3 })
		const total = 600 // more than the window of who does not acknowledge
		uploads(dev, d, 0, total)
		if n, _ := all.arrived(); n == total {
			t.Fatal("the members that do not acknowledge got nothing")
		}
		hung.Close()
		hungToo.Disconnect()
		brokertest.Eventually(t, "all came", func() bool { n, _ := all.arrived(); return n == total })
		if _, again := all.arrived(); again != 0 {
			t.Errorf("%d came more than once", again)
		}
		brokertest.Eventually(t, "no rows", func() bool { return queued(t, db) == 0 })

		away.Disconnect()
		brokertest.Eventually(t, "node a knows that nobody is there", func() bool { return a.Applications.Members(share) == 0 })
		uploads(dev, d, total, total+200)
		b.Stop()
		a.Stop()
		s := brokertest.New(t, brokertest.Config{Store: db, Keys: k})
		back := s.MustDial(t, by("viewer", "away", true))
		all.follow("back", back)
		brokertest.Eventually(t, "all came", func() bool { n, _ := all.arrived(); return n == total+200 })
		brokertest.Eventually(t, "no rows", func() bool { return queued(t, db) == 0 })
	})
}

// TestSharedOfADeadNode: what members of a node have that dies goes to others when it has been silent for a while.
func TestSharedOfADeadNode(t *testing.T) {
	k := newKeys()
	db := storetest.SQLite(t)
	a, b := twoNodes(t, db, k)
	d := a.New(t)
	dev := a.MustDial(t, brokertest.Of(d))
	c := a.MustDial(t, by("viewer", "one", false))
	c.Subscribe(share)
	all := newTally()
	all.follow("one", c)
	uploads(dev, d, 0, 50)
	brokertest.Eventually(t, "all came", func() bool { n, _ := all.arrived(); return n == 50 })
	// Rows as a node leaves them that was killed a minute ago.
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 50 {
			_, err := tx.Exec(t.Context(), `INSERT INTO queue (device, seq, topic, payload, qos, kind, expires_at, member) VALUES (?, ?, ?, ?, 1, 1, ?, 'app:viewer:dead')`,
				application.GroupID("default", nil, share), int64(i+1), topic.Name(d.Identity, "upload"), fmt.Appendf(nil, "dead %d", i), time.Now().Add(time.Hour).UnixMilli())
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "all came", func() bool { n, _ := all.arrived(); return n == 100 })
	_ = b
}
