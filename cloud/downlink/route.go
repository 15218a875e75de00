package downlink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// maxTopic is the longest topic in bytes that a stock device takes.
const maxTopic = 127

// route finds who can deliver m: this node, the node that the session row names, or the queue. c is set for calls.
func (d *Downlink) route(ctx context.Context, m *Message, c *wireCall) (Outcome, error) {
	if len(m.Topic) > maxTopic {
		return 0, fmt.Errorf("%w: topic of %d bytes, at most %d", ErrTooLargeForDevice, len(m.Topic), maxTopic)
	}
	var here error
	if t, ok := d.Directory.Find(m.Device); ok {
		var out Outcome
		if out, here = d.deliver(ctx, t, m); !errors.Is(here, ErrOffline) && !errors.Is(here, ErrNotSubscribed) {
			return out, here
		} // gone this moment, perhaps to another node: the row tells
	}
	dev, err := d.Registry.Device(ctx, m.Device)
	if err != nil {
		return 0, err
	}
	at, err := d.place(ctx, dev.ID)
	if err != nil {
		return 0, err
	}
	if at.online && at.node == d.cfg.Node && errors.Is(here, ErrNotSubscribed) {
		return 0, here
	}
	if at.online && at.node != d.cfg.Node {
		out, err := d.forward(ctx, at.node, m, c)
		if !errors.Is(err, errNodeGone) && !errors.Is(err, ErrOffline) || err != nil && ctx.Err() != nil {
			return out, err
		}
	}
	if !m.Queue || !at.persistent {
		return 0, ErrOffline
	}
	return d.keep(ctx, dev.ID, at, m)
}

// deliver hands m to a device on this node.
func (d *Downlink) deliver(ctx context.Context, t Target, m *Message) (Outcome, error) {
	qos, ok := t.Subscribed(m.Topic)
	if !ok {
		return 0, ErrNotSubscribed
	}
	if err := d.fits(m, t.Buffer()); err != nil {
		return 0, err
	}
	if m.Queue && t.Persistent() && min(qos, m.QoS) > 0 {
		return d.enqueue(ctx, t.DeviceID(), m)
	}
	msg, err := d.message(t, m)
	if err != nil {
		return 0, err
	}
	if msg.Volatile = true; t.Persistent() {
		msg.QoS = min(msg.QoS, 1) // a packet id that a crash forgets could swallow a later message
	}
	if min(qos, m.QoS) > 0 {
		msg.Receipt = d.track(m, message.IDOf(ctx), d.now())
	}
	if err := t.Send(msg); err != nil {
		return 0, translate(err)
	}
	return Delivered, nil
}

// message puts m into the form that the target takes.
func (d *Downlink) message(t Target, m *Message) (server.Message, error) {
	payload := m.Payload
	if form := codec.Detect(payload); strings.HasPrefix(m.Topic, "/$system/") && !strings.HasSuffix(m.Topic, agentDown) && t.CBOR() != (form == codec.CBOR) {
		turn := codec.ToJSON // byte strings become base64
		if form == codec.JSON {
			turn = codec.ToCBOR
		}
		var err error
		if payload, err = turn(payload, codec.DefaultLimits()); err != nil {
			return server.Message{}, fmt.Errorf("turn message from %s: %w", form, err)
		}
	}
	return server.Message{Topic: m.Topic, Payload: payload, QoS: m.QoS, Retain: m.Retain, Expiry: m.Expiry, Properties: m.Properties}, nil
}

// fits checks the packet against what the device takes.
func (d *Downlink) fits(m *Message, buffer int) error {
	if buffer == 0 {
		buffer = d.cfg.DefaultBuffer
	}
	// OASIS MQTT 3.1.1 section 3.3: fixed header (1 and the length field, 2 bytes up to 16,383), topic length, packet id.
	size := len(m.Topic) + len(m.Payload) + len(m.Properties) + 2 + 2
	for header, n := 2, size; ; header, n = header+1, n>>7 {
		if n < 128 {
			size += header
			break
		}
	}
	if size > buffer {
		return fmt.Errorf("%w: packet of %d bytes, the device takes %d", ErrTooLargeForDevice, size, buffer)
	}
	return nil
}

// place is what the session row says of a device.
type place struct {
	node       string
	online     bool
	persistent bool
	via        int64 // the gateway's device id for a sub-device
	buffer     int
	verifies   bool
	subs       []Filter
}

// place reads the session row. A sub-device has its gateway's filters.
func (d *Downlink) place(ctx context.Context, device int64) (place, error) {
	var at place
	var client string
	var subs []byte
	var online, persistent int64
	err := d.Store.QueryRow(ctx, `SELECT node, client, persistent, online, subs FROM session WHERE device = ?`, device).
		Scan(&at.node, &client, &persistent, &online, &subs)
	if errors.Is(err, sql.ErrNoRows) {
		return at, nil
	}
	if err != nil {
		return at, fmt.Errorf("read session: %w", err)
	}
	at.online, at.persistent = online != 0, persistent != 0
	info := ParseClient(client)
	at.buffer, at.via, at.verifies = info.Buffer, info.Via, info.Verifies
	if at.via != 0 {
		err := d.Store.QueryRow(ctx, `SELECT subs FROM session WHERE device = ?`, at.via).Scan(&subs)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return at, fmt.Errorf("read gateway's session: %w", err)
		}
	}
	at.subs, err = DecodeFilters(subs)
	return at, err
}

// keep queues m for a persistent session that is away.
func (d *Downlink) keep(ctx context.Context, device int64, at place, m *Message) (Outcome, error) {
	i := slices.IndexFunc(at.subs, func(f Filter) bool { return topic.Match(f.Filter, m.Topic) })
	if i < 0 {
		return 0, ErrNotSubscribed
	}
	if err := d.fits(m, at.buffer); err != nil {
		return 0, err
	}
	if m.QoS == 0 || !slices.ContainsFunc(at.subs, func(f Filter) bool { return f.QoS > 0 && topic.Match(f.Filter, m.Topic) }) {
		return 0, ErrOffline // QoS 0 is not kept
	}
	return d.enqueue(ctx, device, m)
}

// expiry is when a queued message ends to be of use.
func (d *Downlink) expiry(m *Message) time.Time {
	if m.Expiry.IsZero() {
		return d.now().Add(d.cfg.QueueTTL)
	}
	return m.Expiry
}

// agentDown ends the topic of the agent channel, which is CBOR whatever the session's format is.
const agentDown = "/agent/down"
