package downlink

import (
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Journal is told of the end of messages. It must not block.
type Journal interface {
	// Taken: the device has acknowledged it. It was sent at the time since.
	Taken(dev ident.Device, topicName string, id message.ID, since time.Time)
	// Lost: a queued one gave way to a newer one, or its time was over.
	Lost(dev ident.Device, topicName string, id message.ID, why string)
}

// Why a message is Lost.
const (
	lostFull    = "the device's queue was full: it gave way to a newer message"
	lostExpired = "its time was over before the device came"
)

// lost tells the journal of a message that will not be delivered.
func (d *Downlink) lost(dev ident.Device, topicName string, id int64, why string) {
	if d.Journal != nil && id != 0 {
		d.Journal.Lost(dev, topicName, message.ID(id), why)
	}
}

// Receipts are numbers; what one stands for is in a ring of slots, which come in blocks as they are first used. When the ring has come
// round, the message that was handed over longest ago is forgotten, and its acknowledgement is not told.
const (
	receiptBlocks = 64
	receiptBlock  = 256
)

// receipts remembers the messages under way whose ids the journal knows.
type receipts struct {
	mu     sync.Mutex // guards the fields below
	last   uint64
	blocks [receiptBlocks]*[receiptBlock]tracked
}

// tracked is a message under way.
type tracked struct {
	receipt uint64
	dev     ident.Device
	topic   string
	id      message.ID
	since   time.Time
}

// slot is where a receipt is or would be.
func (r *receipts) slotLocked(receipt uint64) *tracked {
	block := &r.blocks[receipt/receiptBlock%receiptBlocks]
	if *block == nil {
		*block = new([receiptBlock]tracked)
	}
	return &(*block)[receipt%receiptBlock]
}

// track returns the receipt by which the device's acknowledgement of m will be known, 0 when nobody wants to know.
func (d *Downlink) track(m *Message, id message.ID, since time.Time) uint64 {
	if d.Journal == nil || id == 0 || m.QoS == 0 {
		return 0
	}
	r := &d.receipts
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	*r.slotLocked(r.last) = tracked{r.last, m.Device, m.Topic, id, since}
	return r.last
}

// Confirmed tells the journal that a device has acknowledged the message with this receipt. It does not block.
func (d *Downlink) Confirmed(receipt uint64) {
	r := &d.receipts
	r.mu.Lock()
	slot := r.slotLocked(receipt)
	t := *slot
	if t.receipt == receipt {
		*slot = tracked{} // let go of the strings
	}
	r.mu.Unlock()
	if t.receipt == receipt {
		d.Journal.Taken(t.dev, t.topic, t.id, t.since)
	}
}
