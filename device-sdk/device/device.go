// Package device is the Go SDK for a device: what its program calls to report
// values, take commands and keep a shadow.
//
// A program makes a Device, registers what it handles, and lets Run keep the
// connection:
//
//	dev, err := device.New(device.Config{
//		Server:  "tls://hub.example:8883",
//		Product: "xg8bmk2p0vw4q1zt",
//		SN:      "pump-17",
//		Secret:  secret,
//	}, slog.Default())
//	…
//	dev.HandleCommand("reboot", func(ctx context.Context, c *device.Command) (any, error) { … })
//	go dev.Run(ctx)
//	err = dev.PostProperties(ctx, device.Properties{"temperature": 21.5})
//
// # Talking to the hub
//
// Every call takes a ctx and returns when the hub has answered, or has
// acknowledged what needs no answer. While the hub is out of reach a call waits
// for as long as its ctx allows; a device that wants to go on measuring gives it
// a short one, or uses a buffer of its own. What the hub refuses comes back as a
// *ReplyError with the hub's code and words.
//
// # Being talked to
//
// Handlers run in goroutines of the SDK, and may call the Device. Register them
// before Run: then nothing is missed that the hub kept for the device. A handler
// may see the same message again after a lost connection, except commands, which
// the SDK recognises by their RequestID.
//
// The package leaves the connection to device-sdk/link and new firmware to
// device-sdk/update, and speaks sections 2 to 5 of the device protocol.
package device

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Config describes the device and its hub.
type Config struct {
	// Server is the hub: tcp://host:1883, tls://host:8883, ws://… or wss://…
	Server string
	// Product and SN identify the device, Secret is its own secret.
	Product, SN string
	Secret      credential.Secret
	// TLS says whom to trust on tls:// and wss://; see link.TLS.
	TLS link.TLS
	// CBOR makes both directions use CBOR instead of JSON.
	CBOR bool
	// Persistent keeps subscriptions and queued messages at the hub while the
	// device is away.
	Persistent bool
	// SignedFirmware tells the hub that the device verifies manifests: package update does.
	SignedFirmware bool
	// KeepAlive is the MQTT keep-alive, 60 s when zero; the hub takes 30 s to 1200 s.
	KeepAlive time.Duration
	// RequestTimeout is how long the hub may take for an answer, 10 s when zero.
	// It counts from when the request has been sent.
	RequestTimeout time.Duration
	// ReconnectMin and ReconnectMax bound the pauses between attempts to connect,
	// which double and are drawn at random; 1 s and 2 min when zero.
	ReconnectMin, ReconnectMax time.Duration
	// KeepTrying makes Run go on when the first login is refused.
	KeepTrying bool
}

// receiveBuffer is what this SDK announces to be able to receive, bytes.
const receiveBuffer = 256 << 10

// Device is one device. All methods are safe for concurrent use.
type Device struct {
	cfg    Config
	id     ident.Device
	log    *slog.Logger
	link   *link.Link
	format codec.Format
	nextID atomic.Int64
	work   tasks

	// mu guards the fields below.
	mu         sync.Mutex
	subscribed map[topic.Kind]bool
	waiting    map[waitKey]chan []byte
	commands   map[string]CommandHandler
	answered   answers
	onSet      func(ctx context.Context, set Properties) error

	shadow Shadow
}

// New checks cfg and returns a Device; Run connects it.
func New(cfg Config, log *slog.Logger) (*Device, error) {
	if cfg.RequestTimeout == 0 {
		cfg.RequestTimeout = 10 * time.Second
	}
	d := &Device{
		cfg:        cfg,
		id:         ident.Device{Product: cfg.Product, SN: cfg.SN},
		log:        log,
		subscribed: make(map[topic.Kind]bool),
		waiting:    make(map[waitKey]chan []byte),
		commands:   make(map[string]CommandHandler),
	}
	if cfg.CBOR {
		d.format = codec.CBOR
	}
	l, err := link.New(link.Config{
		Server: cfg.Server, Device: d.id, Secret: cfg.Secret, TLS: cfg.TLS,
		Options:    credential.Options{CBOR: cfg.CBOR, Buffer: receiveBuffer, SUIT: cfg.SignedFirmware},
		Persistent: cfg.Persistent, KeepAlive: cfg.KeepAlive, KeepTrying: cfg.KeepTrying,
		BackoffMin: cfg.ReconnectMin, BackoffMax: cfg.ReconnectMax,
	}, log)
	if err != nil {
		return nil, err
	}
	d.link = l
	d.shadow.init(d)
	// A RequestID must not repeat soon after a restart: late answers of the last
	// run would fit. 15 digits are what the protocol allows.
	d.nextID.Store(time.Now().UnixMilli() % 1e12)
	return d, nil
}

// Run keeps the device connected until ctx ends, then waits for its handlers and
// returns nil. It returns an error when the hub refuses the first login
// (link.ErrBadCredentials and others), unless Config.KeepTrying is set.
func (d *Device) Run(ctx context.Context) error {
	err := d.link.Run(ctx)
	d.work.wait()
	return err
}

// Identity returns the product and device serial numbers.
func (d *Device) Identity() ident.Device { return d.id }

// Connected reports whether the hub has accepted the login.
func (d *Device) Connected() bool { return d.link.Connected() }

// WaitConnected returns when the device is connected, with an error when ctx or
// Run ends before.
func (d *Device) WaitConnected(ctx context.Context) error { return d.link.WaitConnected(ctx) }

// Stats returns the connection's counters.
func (d *Device) Stats() link.Stats { return d.link.Stats() }

// Message is what arrives on a custom or broadcast topic.
type Message struct {
	// Topic is the whole topic; Path is what follows the device's serial number
	// ("set" by default), or $broadcast.
	Topic, Path string
	Payload     []byte
	QoS         byte
}

// Publish sends a payload on the custom topic /product/device/path with QoS 1,
// and returns when the hub has acknowledged it. The product needs a topic that
// allows it; "upload" and "upload/event" exist by default.
func (d *Device) Publish(ctx context.Context, path string, payload []byte) error {
	return d.publish(ctx, topic.Name(d.id, path), 1, payload)
}

// PublishQoS0 is Publish without acknowledgement: the message may be lost.
func (d *Device) PublishQoS0(ctx context.Context, path string, payload []byte) error {
	return d.publish(ctx, topic.Name(d.id, path), 0, payload)
}

// Subscribe hands the messages of the custom topic /product/device/path to
// handle, one after the other; path may hold + and #. "set" exists by default.
// Before the device is connected it only takes note and returns nil; a refusal
// is a *link.SubscribeError.
func (d *Device) Subscribe(ctx context.Context, path string, handle func(ctx context.Context, m Message)) error {
	return d.subscribe(ctx, topic.Name(d.id, path), handle)
}

// SubscribeBroadcast is Subscribe for what applications send to all devices of
// the product, on /product/$broadcast/path; path may hold + and #.
func (d *Device) SubscribeBroadcast(ctx context.Context, path string, handle func(ctx context.Context, m Message)) error {
	t := topic.Topic{Kind: topic.Broadcast, Device: ident.Device{Product: d.id.Product}, Tail: path}
	return d.subscribe(ctx, t.String(), handle)
}

// Unsubscribe ends a Subscribe of the same path.
func (d *Device) Unsubscribe(ctx context.Context, path string) error {
	return d.link.Unsubscribe(ctx, topic.Name(d.id, path))
}

func (d *Device) subscribe(ctx context.Context, filter string, handle func(ctx context.Context, m Message)) error {
	return d.link.Subscribe(ctx, filter, 1, func(ctx context.Context, m link.Message) {
		t, err := topic.Parse(m.Topic)
		if err != nil {
			return
		}
		handle(ctx, Message{Topic: m.Topic, Path: t.Tail, Payload: m.Payload, QoS: m.QoS})
	})
}

func (d *Device) publish(ctx context.Context, name string, qos byte, payload []byte) error {
	return d.link.Publish(ctx, link.Message{Topic: name, Payload: payload, QoS: qos})
}

// publishBody encodes body in the device's format and sends it on a system topic.
func (d *Device) publishBody(ctx context.Context, k topic.Kind, body any) error {
	b, err := codec.Marshal(d.format, body)
	if err != nil {
		return fmt.Errorf("encode %s: %w", k, err)
	}
	return d.publish(ctx, topic.System(d.id, k), 1, b)
}

// listen makes sure that messages of a system topic reach handle.
func (d *Device) listen(ctx context.Context, k topic.Kind, handle func(ctx context.Context, payload []byte)) error {
	d.mu.Lock()
	known := d.subscribed[k]
	d.subscribed[k] = true
	d.mu.Unlock()
	if known {
		return nil
	}
	err := d.link.Subscribe(ctx, topic.System(d.id, k), 1, func(ctx context.Context, m link.Message) {
		handle(ctx, m.Payload)
	})
	if err != nil {
		d.mu.Lock()
		delete(d.subscribed, k)
		d.mu.Unlock()
	}
	return err
}

func (d *Device) requestID() message.RequestID {
	return message.RequestID(strconv.FormatInt(d.nextID.Add(1), 10))
}
