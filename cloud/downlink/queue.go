package downlink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// ackBuffer bounds the acknowledged rows that wait to be deleted. When it is full, rows stay: the device gets the message a
// second time after its next reconnect, and the loss of the note is counted.
const ackBuffer = 8192

var (
	insertRow = store.NewStmt(`INSERT INTO queue (device, seq, message_id, topic, payload, qos, kind, expires_at, retain, properties) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	trimRows  = store.NewStmt(`DELETE FROM queue WHERE device = ? AND kind = 0 AND seq <= (SELECT seq FROM queue WHERE device = ? AND kind = 0 ORDER BY seq DESC LIMIT 1 OFFSET ?)`)
	deleteRow = store.NewStmt(`DELETE FROM queue WHERE device = ? AND seq = ?`)
	expireOne = store.NewStmt(`DELETE FROM queue WHERE device = ? AND expires_at <> 0 AND expires_at <= ? AND released = 0`)
	release   = store.NewStmt(`UPDATE queue SET released = 1 WHERE device = ? AND seq = ?`)
)

// The columns kind and retain of rows here; application has a kind of its own.
const (
	kindMessage  int64 = 0
	kindRetained int64 = 2 // goes to a new subscription because it is retained, and does not count against Config.QueueMax

	retainNo   int64 = 0
	retainYes  int64 = 1
	retainKept int64 = 2
)

func retainOf(retain bool) int64 {
	if retain {
		return retainYes
	}
	return retainNo
}

// queue numbers the rows of all devices.
type queue struct {
	mu    sync.Mutex // guards last, and is held while a row is submitted: the order of seqs is that of the commits
	last  int64
	acked chan ack
}

type ack struct{ device, seq int64 }

// next returns a number above all that this node gave before, and above those of other nodes as far as clocks agree: Unix
// microseconds.
func (q *queue) nextLocked(now time.Time) int64 {
	q.last = max(q.last+1, now.UnixMicro())
	return q.last
}

// queuedAt is when a row was numbered.
func queuedAt(seq int64) time.Time { return time.UnixMicro(seq) }

// enqueue makes a row of m and, when it is committed, hands m to the device if it is connected here. Both happen in the order
// of the rows.
func (d *Downlink) enqueue(ctx context.Context, device int64, m *Message) (Outcome, error) {
	d.noteFull(ctx, device, m.Device)
	type result struct {
		out Outcome
		err error
	}
	end := make(chan result, 1)
	until, id := d.expiry(m), message.IDOf(ctx)
	// The row may be committed after the caller has given up, so it must not share the caller's bytes.
	own := Message{Device: m.Device, Topic: m.Topic, Payload: append([]byte{}, m.Payload...), QoS: m.QoS, Retain: m.Retain, Expiry: until}

	d.queue.mu.Lock()
	seq := d.queue.nextLocked(d.now())
	unit := &store.Unit{Device: device, Ops: []store.Op{
		{Stmt: insertRow, Args: []any{device, seq, int64(id), own.Topic, own.Payload, int64(own.QoS), kindMessage, until.UnixMilli(), retainOf(own.Retain), nil}, Want: 1},
		{Stmt: trimRows, Args: []any{device, device, d.cfg.QueueMax}, Want: -1},
	}}
	unit.Done = func(err error) {
		if err != nil {
			end <- result{0, fmt.Errorf("queue message: %w", err)}
			return
		}
		end <- result{out: d.offer(&own, seq, id)}
	}
	d.Store.SubmitFor(ctx, unit)
	d.queue.mu.Unlock()

	select {
	case r := <-end:
		if r.out == Queued {
			d.wake(ctx, device, m, seq)
		}
		return r.out, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Deposit makes rows of retained messages for a new subscription of a persistent session, and gives the messages what makes them these rows:
// they are then exactly once at QoS 2, over the hub's end, too. They go to the session by the caller, or with its next connection.
func (d *Downlink) Deposit(ctx context.Context, device int64, list []server.Message) error {
	unit := &store.Unit{Device: device}
	end := make(chan error, 1)
	unit.Done = func(err error) { end <- err }
	d.queue.mu.Lock()
	for i := range list {
		m := &list[i]
		seq := d.queue.nextLocked(d.now())
		var until int64
		if !m.Expiry.IsZero() {
			until = m.Expiry.UnixMilli()
		}
		unit.Ops = append(unit.Ops, store.Op{Stmt: insertRow, Want: 1,
			Args: []any{device, seq, int64(0), m.Topic, m.Payload, int64(m.QoS), kindRetained, until, retainKept, []byte(m.Properties)}})
		m.Tag, m.PacketID = uint64(seq), packetID(seq)
	}
	d.Store.Submit(unit)
	d.queue.mu.Unlock()
	select {
	case err := <-end:
		if err != nil {
			return fmt.Errorf("queue retained messages: %w", err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noteFull counts the message that the next one drives out.
func (d *Downlink) noteFull(ctx context.Context, device int64, dev ident.Device) {
	var (
		n, id     int64
		topicName string
	)
	err := d.Store.QueryRow(ctx, `SELECT COUNT(*) FROM queue WHERE device = ? AND kind = 0`, device).Scan(&n)
	if err != nil || n < int64(d.cfg.QueueMax) {
		return
	}
	d.metrics.evicted.Inc()
	err = d.Store.QueryRow(ctx, `SELECT topic, message_id FROM queue WHERE device = ? AND kind = 0 ORDER BY seq LIMIT 1`, device).Scan(&topicName, &id)
	if err == nil {
		d.lost(dev, topicName, id, lostFull)
	}
}

// offer hands a message with a committed row to its device, if that is connected here now. It does not block.
func (d *Downlink) offer(m *Message, seq int64, id message.ID) Outcome {
	t, ok := d.Directory.Find(m.Device)
	if !ok {
		return Queued
	}
	msg, err := d.message(t, m)
	if err == nil {
		msg.Tag, msg.PacketID, msg.Receipt = uint64(seq), packetID(seq), d.track(m, id, queuedAt(seq))
		err = t.Queued(msg)
	}
	if err != nil {
		d.Log.Debug("queued message waits", "device", m.Device, "topic", m.Topic, "err", err)
		return Queued
	}
	return Delivered
}

// wake tells the node to which the device has come since we looked that there is a row: its Replay may have been over before
// the commit. Should the note be lost, the message comes with the device's next connection.
func (d *Downlink) wake(ctx context.Context, device int64, m *Message, seq int64) {
	at, err := d.place(ctx, device)
	if err == nil && at.online && at.node != d.cfg.Node {
		err = d.note(at.node, wireRow{Product: m.Device.Product, SN: m.Device.SN, Device: device, Seq: seq})
	}
	if err != nil {
		d.Log.Warn("node not told of a queued message", "device", m.Device, "err", err)
	}
}

// offerRow hands a row to its device, if it is still there and the device is connected here.
func (d *Downlink) offerRow(ctx context.Context, dev ident.Device, device, seq int64) error {
	m := Message{Device: dev}
	var qos, until, retain, id int64
	err := d.Store.QueryRow(ctx, `SELECT topic, payload, qos, expires_at, retain, message_id FROM queue WHERE device = ? AND seq = ?`, device, seq).
		Scan(&m.Topic, &m.Payload, &qos, &until, &retain, &id)
	if errors.Is(err, store.ErrNoRows) {
		return nil // replayed and acknowledged already
	}
	if err != nil {
		return fmt.Errorf("read queued message: %w", err)
	}
	m.QoS, m.Retain, m.Expiry = byte(qos), retain != 0, time.UnixMilli(until)
	d.offer(&m, seq, message.ID(id))
	return nil
}

// Replay hands a device that has just connected what waits for it, oldest first. It is called once for each Target, before
// anything else can be delivered from the queue.
func (d *Downlink) Replay(ctx context.Context, dev ident.Device, t Target) error {
	list, err := d.waiting(ctx, dev, t)
	t.Replay(list) // also when reading failed: what comes from now on must not be held back
	if err != nil {
		return fmt.Errorf("replay queue of %s: %w", dev, err)
	}
	if len(list) > 0 {
		d.metrics.replayed.Add(float64(len(list)))
		for i := range list {
			d.Meter.Of(dev.Product).Message(meter.Down, len(list[i].Payload))
		}
	}
	return nil
}

// waiting reads the rows of a device that are still of use.
func (d *Downlink) waiting(ctx context.Context, dev ident.Device, t Target) ([]server.Message, error) {
	if !t.Persistent() {
		return nil, nil
	}
	now := d.now()
	rows, err := d.Store.Query(ctx, `SELECT seq, topic, payload, qos, expires_at, released, retain, properties, message_id FROM queue WHERE device = ? ORDER BY seq`, t.DeviceID())
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var list []server.Message
	expired := 0
	for rows.Next() {
		m := Message{Device: dev}
		var seq, qos, until, released, retain, id int64
		var properties []byte
		if err := rows.Scan(&seq, &m.Topic, &m.Payload, &qos, &until, &released, &retain, &properties, &id); err != nil {
			return list, err
		}
		if released == 0 && until != 0 && until <= now.UnixMilli() {
			expired++
			d.lost(dev, m.Topic, id, lostExpired)
			continue
		}
		m.QoS, m.Retain = byte(qos), retain != 0
		if until != 0 {
			m.Expiry = time.UnixMilli(until)
		}
		msg, err := d.message(t, &m)
		if err != nil {
			d.Log.Warn("queued message cannot be sent", "device", dev, "topic", m.Topic, "err", err)
			continue
		}
		msg.Tag, msg.PacketID, msg.Released = uint64(seq), packetID(seq), released != 0
		msg.Kept, msg.Properties, msg.Receipt = retain == retainKept, properties, d.track(&m, message.ID(id), queuedAt(seq))
		list = append(list, msg)
	}
	if expired > 0 {
		d.metrics.expired.Add(float64(expired))
		d.Store.Submit(&store.Unit{Device: t.DeviceID(), Done: func(error) {}, Ops: []store.Op{
			{Stmt: expireOne, Args: []any{t.DeviceID(), now.UnixMilli()}, Want: -1}}})
	}
	return list, rows.Err()
}

// packetID is the packet id that a row has at QoS 2. It follows from the row alone: a device that got the message before a crash knows
// the repeat after it. Rows with the same one wait for each other.
func packetID(seq int64) uint16 { return uint16(seq%65_535) + 1 }

// Received notes that the device holds the QoS 2 message with this tag, and calls done when that is safe.
func (d *Downlink) Received(device int64, tag uint64, done func(error)) {
	d.Store.Submit(&store.Unit{Device: device, Done: done, Ops: []store.Op{{Stmt: release, Args: []any{device, int64(tag)}, Want: -1}}})
}

// Acknowledged notes that the device has taken the queued message with this tag. It does not block; Run deletes the row.
func (d *Downlink) Acknowledged(device int64, tag uint64) {
	select {
	case d.queue.acked <- ack{device, int64(tag)}:
	default:
		d.metrics.unnoted.Inc()
	}
}

// sweepEvery is how often rows of devices that do not come back are looked for.
const sweepEvery = 10 * time.Minute

// Run deletes acknowledged and expired rows and serves other nodes until ctx ends.
func (d *Downlink) Run(ctx context.Context) error {
	stop, err := d.serve()
	if err != nil {
		return err
	}
	defer stop()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case a := <-d.queue.acked:
			d.remove(a)
		case <-sweep.C:
			d.sweep(ctx)
			d.calls.sweep(d.now())
		case <-ctx.Done():
			return d.rest()
		}
	}
}

// rest deletes what is noted already; the doors are closed when Run is told to end, so nothing follows.
func (d *Downlink) rest() error {
	for {
		select {
		case a := <-d.queue.acked:
			d.remove(a)
		default:
			return nil
		}
	}
}

func (d *Downlink) remove(a ack) {
	d.Store.Submit(&store.Unit{Device: a.device, Ops: []store.Op{{Stmt: deleteRow, Args: []any{a.device, a.seq}, Want: -1}},
		Done: func(err error) {
			if err != nil {
				d.metrics.unnoted.Inc()
			}
		}})
}

// sweep deletes expired rows of all devices.
func (d *Downlink) sweep(ctx context.Context) {
	now := d.now().UnixMilli()
	err := d.noteExpired(ctx, now)
	if err == nil {
		err = d.Store.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM queue WHERE expires_at <> 0 AND expires_at <= ? AND released = 0`, now)
			return err
		})
	}
	if err != nil && ctx.Err() == nil {
		d.Log.Warn("expired messages not swept", "err", err)
	}
}

// noteExpired tells the journal which messages a sweep deletes.
func (d *Downlink) noteExpired(ctx context.Context, now int64) error {
	if d.Journal == nil {
		return nil
	}
	rows, err := d.Store.Query(ctx, `SELECT d.product, d.sn, q.topic, q.message_id FROM queue q JOIN device d ON d.id = q.device
		WHERE q.expires_at <> 0 AND q.expires_at <= ? AND q.released = 0`, now)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var (
			dev       ident.Device
			topicName string
			id        int64
		)
		if err := rows.Scan(&dev.Product, &dev.SN, &topicName, &id); err != nil {
			return err
		}
		d.lost(dev, topicName, id, lostExpired)
	}
	return rows.Err()
}
