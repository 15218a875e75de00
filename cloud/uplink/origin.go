package uplink

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Origin is where a QoS 1 publish of a persistent session came from, noted in the message's own commit, so that its repeat is known. Device
// holds the session; a Packet of 0 is none. The checksum of topic and payload tells a repeat from another message that was given the same packet id and did not
// arrive the first time.
type Origin struct {
	Device int64
	Packet uint16
	Sum    uint32
}

// originSlots is how many of a session's last publishes are remembered: as many as clients usually have unacknowledged. More would cost
// each message a page of its own in the store's log.
const originSlots = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OriginOf is the origin of a publish.
func OriginOf(device int64, packet uint16, topicName string, payload []byte) Origin {
	var room [128]byte
	sum := crc32.Update(crc32.Checksum(append(room[:0], topicName...), castagnoli), castagnoli, payload)
	return Origin{Device: device, Packet: packet, Sum: sum}
}

var (
	noteOrigin = store.NewStmt(`INSERT INTO origin (device, slot, mark, message) VALUES (?, ?, ?, ?)
	ON CONFLICT (device, slot) DO UPDATE SET mark = excluded.mark, message = excluded.message`)
	// behindAll is a unit's only statement when nothing but its place behind the device's earlier units is wanted.
	behindAll = store.NewStmt(`DELETE FROM origin WHERE device = ? AND slot = -1`)
)

func (o *Origin) note(id message.ID) store.Op {
	return noteOrigin.Op(o.Device, int64(o.Packet%originSlots), o.mark(), int64(id))
}

func (o *Origin) mark() int64 { return int64(o.Packet)<<32 | int64(o.Sum) }

// Notes are what is remembered of a session's publishes on its earlier connections, read when the first repeat comes on a new one, so that a client that
// sends hundreds again does not wait for the store at each. It is for one goroutine at a time.
type Notes struct {
	kept [originSlots]note
	sent [originSlots]int64 // the mark of the last publish on this connection; it may not be committed
}

type note struct {
	mark    int64
	message message.ID
}

// ReadNotes waits until what came before, on the device's other connections and this one, is committed or refused, and reads what is remembered.
func ReadNotes(ctx context.Context, db *store.DB, device, epoch int64) (*Notes, error) {
	if err := db.Do(ctx, &store.Unit{Device: device, Epoch: epoch, Ops: []store.Op{behindAll.Op(device)}}); err != nil {
		return nil, fmt.Errorf("look for the messages of repeats: %w", err)
	}
	rows, err := db.Query(ctx, `SELECT slot, mark, message FROM origin WHERE device = ?`, device)
	if err != nil {
		return nil, fmt.Errorf("look for the messages of repeats: %w", err)
	}
	defer func() { _ = rows.Close() }()
	n := &Notes{}
	for rows.Next() {
		var slot int64
		var at note
		if err := rows.Scan(&slot, &at.mark, &at.message); err != nil {
			return nil, fmt.Errorf("look for the messages of repeats: %w", err)
		}
		if slot >= 0 && slot < originSlots {
			n.kept[slot] = at
		}
	}
	return n, rows.Err()
}

// Sent notes a publish that goes on its way.
func (n *Notes) Sent(o *Origin) { n.sent[o.Packet%originSlots] = o.mark() }

// Seen looks for the message that a publish marked as a repeat repeats. It is ok when that was committed: then nothing is left to be done for the
// repeat. A stale answer is none: the message was sent on this connection already, and what became of it only new notes tell.
func (n *Notes) Seen(o *Origin) (id message.ID, ok, stale bool) {
	slot, mark := o.Packet%originSlots, o.mark()
	if at := n.kept[slot]; at.mark == mark {
		return at.message, true, false
	}
	return 0, false, n.sent[slot] == mark
}
