package downlink

import (
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// arrivals counts what is told of as taken.
type arrivals struct {
	Journal
	ids []message.ID
}

func (a *arrivals) Taken(_ ident.Device, _ string, id message.ID, _ time.Time) {
	a.ids = append(a.ids, id)
}

// TestReceiptsAreABoundedMemory: each acknowledgement is told once, and one that comes after the ring has come round is not
// taken for that of the message which has its slot now.
func TestReceiptsAreABoundedMemory(t *testing.T) {
	told := &arrivals{}
	d := New(DefaultConfig(), Deps{Journal: told})
	m := &Message{Device: ident.Device{Product: "p", SN: "d"}, Topic: "/p/d/set", QoS: 1}
	if d.track(m, 0, time.Now()) != 0 || d.track(&Message{Topic: "t"}, 1, time.Now()) != 0 {
		t.Error("a receipt for a message without a number, or without an acknowledgement")
	}
	old := d.track(m, 1, time.Now())
	for id := message.ID(2); id < receiptBlocks*receiptBlock; id++ {
		d.track(m, id, time.Now())
	}
	second := old + 1
	d.track(m, 1_000_000, time.Now())
	last := d.track(m, 2_000_000, time.Now()) // in the slot of old
	for _, r := range []uint64{old, second, second, last, last, last + 1} {
		d.Confirmed(r)
	}
	if len(told.ids) != 2 || told.ids[0] != 2 || told.ids[1] != 2_000_000 {
		t.Errorf("told of %v, want 2 and 2000000", told.ids)
	}
}

type silent struct{ Journal }

func (silent) Taken(ident.Device, string, message.ID, time.Time) {}

func BenchmarkReceipt(b *testing.B) {
	d := New(DefaultConfig(), Deps{Journal: silent{}})
	m := &Message{Device: ident.Device{Product: "p", SN: "d"}, Topic: "/p/d/set", QoS: 1}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		d.Confirmed(d.track(m, 1, now))
	}
}
