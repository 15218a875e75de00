// Package devicetest is a hub for the tests of device programs: a real MQTT
// server on a free port of this machine that knows the devices it is told of and
// answers the system topics as a hub does.
//
//	hub := devicetest.New(t)
//	id := hub.AddDevice(devicetest.Device{Secret: "0123456789abcdef"})
//	dev, err := device.New(device.Config{Server: hub.URL(), Product: id.Product, SN: id.SN, Secret: "0123456789abcdef"}, log)
//	…
//	reply, err := hub.Command(ctx, id, "reboot", nil)
//
// It keeps a shadow, the last reported properties and everything that devices
// sent, in memory; it can disturb a program on purpose: drop connections, hold
// acknowledgements back, go away and come back. It has no thing models and so
// refuses no value, and no rules.
//
// It brings firmware to devices that verify it: an Authority has test keys and signs a
// Release, OfferFirmware does the hub's part of the handshake and serves the
// files, and a Board is a device with two slots in memory for package update.
//
// It takes files from package upload, over MQTT and HTTP, keeps those that arrive whole (Uploaded), and can disturb what is sent (DisturbUploads).
package devicetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Kind is what a device's product says it is.
type Kind uint8

// The kinds of products.
const (
	Direct    Kind = iota // connects itself
	Gateway               // connects itself and carries sub-devices
	Subdevice             // only behind a gateway
)

// Device is one that the hub shall know. Empty serial numbers and an empty
// secret are generated.
type Device struct {
	ID     ident.Device
	Secret credential.Secret
	Kind   Kind
	// Topics are the product's custom topics; nil means the default ones.
	Topics []topic.Template
	// ProductSecret, if set, allows dynamic registration.
	ProductSecret credential.Secret
}

// Message is one that a device sent, in the order in which the hub took it.
type Message struct {
	// From is the device whose topic it is; By the one whose connection it came
	// on, the gateway of a sub-device.
	From, By ident.Device
	Topic    topic.Topic
	Name     string
	Payload  []byte
	QoS      byte
	Dup      bool
}

// Hub is a running test hub.
type Hub struct {
	log   *slog.Logger
	certs *certificates
	addr  [2]string // plain and TLS

	// mu guards the fields below. It is never held while the engine is called.
	mu       sync.Mutex
	engine   *server.Server
	stop     func()
	devices  map[ident.Device]*state
	messages []Message
	arrived  chan struct{} // closed and replaced with every change that a test may wait for
	held     []func()      // acknowledgements held back
	holding  bool
	calls    map[callKey]chan []byte
	lastCall int
	updates  []*deployment // by deployment - 1
	assigned uint64        // counter of the last assignment
	files    net.Listener  // firmware; nil before the first offer
	uploads  uploads
}

// state is what the hub knows of a device.
type state struct {
	Device
	perms    *topic.Permissions
	shadow   *shadowdoc.Document
	reported map[string]message.Value
	disabled bool
	mute     bool         // its requests are not answered
	gateway  ident.Device // who carries it, if logged in
	online   bool
}

// New starts a hub and ends it with the test.
func New(t testing.TB) *Hub {
	t.Helper()
	h, err := Start(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// Start starts a hub on free ports of 127.0.0.1.
func Start(log *slog.Logger) (*Hub, error) {
	certs, err := newCertificates()
	if err != nil {
		return nil, err
	}
	h := &Hub{
		log: log, certs: certs,
		addr:    [2]string{"127.0.0.1:0", "127.0.0.1:0"},
		devices: make(map[ident.Device]*state),
		arrived: make(chan struct{}),
		calls:   make(map[callKey]chan []byte),
	}
	return h, h.Resume()
}

// URL is the plain address for clients, TLSURL the encrypted one.
func (h *Hub) URL() string { return "tcp://" + h.addr[0] }

// TLSURL is the address for clients that trust CA.
func (h *Hub) TLSURL() string { return "tls://" + h.addr[1] }

// CA is the PEM certificate of the authority that signed the hub's certificate.
func (h *Hub) CA() []byte { return h.certs.ca }

// Pin is the SHA-256 digest of the hub's public key.
func (h *Hub) Pin() []byte { return h.certs.pin }

// Resume opens the addresses again after Pause. Sessions are forgotten, devices
// and shadows are not.
func (h *Hub) Resume() error {
	var lns [2]net.Listener
	for i := range lns {
		ln, err := listen(h.addr[i])
		if err != nil {
			if i > 0 {
				lns[0].Close()
			}
			return fmt.Errorf("devicetest: %w", err)
		}
		lns[i], h.addr[i] = ln, ln.Addr().String()
	}
	engine := server.New(server.DefaultConfig(), (*owner)(h), h.log)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, ln := range []net.Listener{lns[0], h.certs.listener(lns[1])} {
		wg.Go(func() {
			if err := engine.Serve(ctx, ln, []string{"tcp", "tls"}[i]); err != nil && ctx.Err() == nil {
				h.log.Error("the test hub's listener ended", "err", err)
			}
		})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.engine = engine
	h.stop = func() {
		closeCtx, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		if err := engine.Close(closeCtx); err != nil {
			h.log.Warn("the test hub did not close in time", "err", err)
		}
		cancel()
		wg.Wait()
	}
	return nil
}

// listen opens an address, also when it is taken for a moment: by a connection that got the hub's port as its own while the hub was down.
func listen(addr string) (ln net.Listener, err error) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		ln, err = net.Listen("tcp", addr)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return ln, err
		}
	}
}

// Pause closes the addresses and all connections, as a hub that is down.
func (h *Hub) Pause() {
	h.mu.Lock()
	stop := h.stop
	h.stop = nil
	h.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// Close ends the hub.
func (h *Hub) Close() {
	h.HoldAcks(false)
	h.Pause()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files != nil {
		_ = h.files.Close() // it only ends
	}
	if h.uploads.server != nil {
		_ = h.uploads.server.Close()
	}
}

// AddDevice makes the hub know a device and returns its identity.
func (h *Hub) AddDevice(d Device) ident.Device {
	if d.ID.Product == "" {
		d.ID.Product = ident.NewProductSN()
	}
	if d.ID.SN == "" {
		d.ID.SN = ident.NewDeviceSN()
	}
	if d.Secret == "" {
		d.Secret = credential.NewSecret()
	}
	if d.Topics == nil {
		d.Topics = topic.DefaultTemplates()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.devices[d.ID] = &state{
		Device:   d,
		perms:    topic.Compile(d.ID, d.Topics, topic.Scope{Gateway: d.Kind == Gateway}),
		shadow:   shadowdoc.New(),
		reported: make(map[string]message.Value),
	}
	return d.ID
}

// Secret returns the secret of a device, "" for one that the hub does not know.
func (h *Hub) Secret(d ident.Device) credential.Secret {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.devices[d]; s != nil {
		return s.Secret
	}
	return ""
}

// Online reports whether the device is connected, or logged in by its gateway.
func (h *Hub) Online(d ident.Device) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.devices[d]
	return s != nil && s.online
}

// WaitOnline waits until Online returns what is wanted.
func (h *Hub) WaitOnline(ctx context.Context, d ident.Device, online bool) error {
	return h.wait(ctx, func() bool { s := h.devices[d]; return s != nil && s.online == online })
}

// Messages returns everything that devices sent so far.
func (h *Hub) Messages() []Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Message(nil), h.messages...)
}

// WaitMessage returns the first message, past or coming, that want accepts.
func (h *Hub) WaitMessage(ctx context.Context, want func(Message) bool) (Message, error) {
	var found Message
	next := 0
	err := h.wait(ctx, func() bool {
		for ; next < len(h.messages); next++ {
			if want(h.messages[next]) {
				found = h.messages[next]
				return true
			}
		}
		return false
	})
	return found, err
}

// Reported returns the values of the device's properties as JSON.
func (h *Hub) Reported(d ident.Device) map[string]json.RawMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	vals := make(map[string]json.RawMessage)
	if s := h.devices[d]; s != nil {
		for k, v := range s.reported {
			vals[k] = v.Value
		}
	}
	return vals
}

// Shadow returns the device's shadow; it must be known.
func (h *Hub) Shadow(d ident.Device) *shadowdoc.Document {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.devices[d].shadow
}

// WaitShadow waits until the device's shadow is as wanted.
func (h *Hub) WaitShadow(ctx context.Context, d ident.Device, want func(*shadowdoc.Document) bool) error {
	return h.wait(ctx, func() bool { return want(h.devices[d].shadow) })
}

// ErrUnknown is returned for a device that AddDevice did not add.
var ErrUnknown = errors.New("devicetest: no such device")

// wait polls cond, under mu, after every change until it holds or ctx ends.
func (h *Hub) wait(ctx context.Context, cond func() bool) error {
	for {
		h.mu.Lock()
		ok, arrived := cond(), h.arrived
		h.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// changedLocked wakes those in wait.
func (h *Hub) changedLocked() {
	close(h.arrived)
	h.arrived = make(chan struct{})
}
