// Package downlink brings messages to devices, wherever they are connected.
//
// One path serves all: find the node that holds the device's session (this one, or the one that the session row names),
// have that node deliver, and tell the caller what happened. A message that may wait is a row of the queue table before
// anything else happens to it; the row goes when the device has acknowledged the message.
//
// It promises that a queued message is delivered at least once while it lives (72 h and 100 messages a device by default, the
// oldest gives way), in order; that replies and commands, which are volatile, are never queued; that no packet exceeds what the
// device has announced to take; and that a Call gets the answer of exactly its own request.
//
// It leaves to presence who is connected, and to the caller what a message means.
package downlink

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Message is one message to one device. Payload is JSON or CBOR on system topics (a device gets what it speaks) and
// opaque bytes on custom topics; it must not change until Send has returned.
type Message struct {
	Device  ident.Device
	Topic   string // kept, as Device is, for longer than the sending lasts: it must not be the memory of a connection
	Payload []byte
	QoS     byte
	Retain  bool      // it was published so, which subscriptions with Retain As Published are told
	Queue   bool      // keep it for a persistent session that is away
	Expiry  time.Time // not delivered after it; zero: Config.QueueTTL for a queued message, else never
	By      string    // the application that sends it, for the log

	Properties packet.Properties // for a client of MQTT 5.0; a queued message has none
}

// Outcome is what became of a message.
type Outcome uint8

// The outcomes. Delivered means handed to the device's connection; Queued that it waits in the store.
const (
	Delivered Outcome = iota + 1
	Queued
)

func (o Outcome) String() string {
	switch o {
	case Delivered:
		return "delivered"
	case Queued:
		return "queued"
	}
	return "none"
}

// Errors of Send and Call. Device not found errors are the registry's.
var (
	// ErrOffline: the device has no connection, and the message may not wait or its session is not persistent.
	ErrOffline = errors.New("downlink: device is offline")
	// ErrNotSubscribed: the device is there, but not subscribed to the topic.
	ErrNotSubscribed = errors.New("downlink: device is not subscribed to the topic")
	// ErrTooLargeForDevice: the packet would exceed what the device takes, see Config.
	ErrTooLargeForDevice = errors.New("downlink: message is too large for the device")
	// ErrFull: the connection's queue is full of messages that may not be dropped.
	ErrFull = errors.New("downlink: the device's queue is full")
	// ErrNoAnswer: Call's context ended before the device answered.
	ErrNoAnswer = errors.New("downlink: the device did not answer in time")
)

// Target is a device's place on this node: its own connection, or its login over a gateway's connection.
// Its methods do not block.
type Target interface {
	// Send hands a message to the connection that does not wait in the queue table.
	Send(server.Message) error
	// Queued hands over a message whose queue row is committed; Tag is its seq. While Replay has not been called the target
	// keeps it back and sends it afterwards, unless it was part of the replay.
	Queued(server.Message) error
	// Replay hands over what waited in the queue table when the target was attached, oldest first.
	Replay([]server.Message)
	Subscribed(topic string) (qos byte, ok bool)
	DeviceID() int64
	CBOR() bool       // wants CBOR on system topics
	Verifies() bool   // verifies the manifests of firmware
	Buffer() int      // largest packet in bytes; 0: Config.DefaultBuffer
	Persistent() bool // its queue rows are kept
}

// Directory knows who is connected to this node.
type Directory interface {
	Find(ident.Device) (Target, bool)
}

// Config bounds the queues.
type Config struct {
	Node          string        // this node's name, as session rows have it; no dots or blanks, it is part of bus subjects
	QueueMax      int           // messages kept for a device that is away
	QueueTTL      time.Duration // how long they are kept
	DefaultBuffer int           // packet size in bytes for devices that announced none
}

// DefaultConfig has the protocol's limits.
func DefaultConfig() Config {
	return Config{Node: "hub", QueueMax: 100, QueueTTL: 72 * time.Hour, DefaultBuffer: 2048}
}

// Deps are what a Downlink stands on.
type Deps struct {
	Store     *store.DB
	Registry  *registry.Registry
	Bus       *bus.Bus
	Directory Directory
	Journal   Journal      // nil: nobody keeps what became of queued messages
	Meter     *meter.Meter // nil: nothing is counted by product
	Log       *slog.Logger
	Metrics   prometheus.Registerer // nil: not exported
}

// Downlink is safe for concurrent use.
type Downlink struct {
	cfg Config
	Deps
	metrics *metrics
	now     func() time.Time

	queue queue
	calls calls
	// receipts are of the messages that were handed to their devices, for the journal.
	receipts receipts
	request  atomic.Int64
}

// New returns a Downlink. Run must be running for acknowledged messages to leave the queue and for other nodes to reach this
// one's devices.
func New(cfg Config, deps Deps) *Downlink {
	d := &Downlink{cfg: cfg, Deps: deps, metrics: newMetrics(deps.Metrics), now: time.Now}
	d.queue.acked = make(chan ack, ackBuffer)
	d.calls.all = map[callKey]*call{}
	d.request.Store(time.Now().UnixMilli() % 1e12 * 1000) // 15 digits at most, new for 31 years
	return d
}

// Send brings m to its device: Delivered when it was handed to the connection, Queued when the device is away and the
// message is safe in the store.
func (d *Downlink) Send(ctx context.Context, m Message) (Outcome, error) {
	out, err := d.route(ctx, &m, nil)
	d.count(&m, out, err)
	return out, err
}

// Reply sends an answer, which is never queued, to a device whose request did not come over MQTT.
func (d *Downlink) Reply(dev ident.Device, topicName string, payload []byte) error {
	t, ok := d.Directory.Find(dev)
	if !ok {
		return ErrOffline
	}
	return translate(t.Send(server.Message{Topic: topicName, Payload: payload, QoS: 1, Volatile: true}))
}

// NextRequestID returns a request id of at most 15 digits that this node has not used for a long time.
func (d *Downlink) NextRequestID() string {
	return strconv.FormatInt(d.request.Add(1), 10)
}

// translate turns the engine's errors into ours.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, server.ErrNotSubscribed):
		return ErrNotSubscribed
	case errors.Is(err, server.ErrOffline):
		return ErrOffline
	case errors.Is(err, server.ErrFull):
		return ErrFull
	}
	return err
}
