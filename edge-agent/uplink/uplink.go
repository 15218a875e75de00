// Package uplink is the agent's way to the hub: it holds the gateway's
// connection, keeps the sub-devices logged in there, sends what the buffer holds
// and brings down what is for them.
//
// It promises: a record leaves the buffer only when the hub has acknowledged it;
// records of one sub-device go up in the order in which they were accepted (with a hub that speaks the agent channel what waited for a
// connection and what came since are two lanes, each in its order); a
// sub-device is logged in at the hub before its first message goes up, and
// logged out after its last one when it has left. Records of a sub-device that
// the hub refuses stay in the buffer, do not hold up others, and are tried again
// every minute.
//
// It leaves the listener to gateway and durability to buffer.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Config says who the gateway is and whom it carries.
type Config struct {
	// Link is the gateway's own connection.
	Link link.Config
	// Subdevices are added to the gateway's topology at every connection.
	Subdevices []ident.Device
	// Secrets are of the sub-devices whose secret the gateway knows: it proves so to the hub, whose products may require it.
	Secrets map[ident.Device]credential.Secret
	// ReplyTimeout is how long the hub may take to answer a request.
	ReplyTimeout time.Duration
	// RetryRefused is after how long a refused sub-device is tried again.
	RetryRefused time.Duration
	// RetryBusy is after how long records are brought again for which the hub had no room.
	RetryBusy time.Duration

	// Version is what the hub is told of the program; nil: nothing.
	Version func() string
	// About fills in what else a hello tells; nil: nothing.
	About func(h *agentmsg.Hello)
	// Asked takes what the hub asks for over the agent channel beside messages: *agentmsg.Config, and *agentmsg.Diagnose with Bundle. It must not
	// block; nil: nothing is taken.
	Asked func(m agentmsg.Message)
	// Plain has the hub treated as one that does not speak the agent channel.
	Plain bool
	// Newest has what waited for a connection sent from its end, when the hub speaks the channel.
	Newest bool
	// Keep keeps what the channel must know again after a restart; nil: it is forgotten, and messages may come twice when a hub is restored.
	Keep Keeper
	// Streams are those beside the first one.
	Streams []Stream
	// Now is the wall clock for the times of messages; nil: time.Now.
	Now func() time.Time
	// NewsEvery is how often the hub is told how much waits.
	NewsEvery time.Duration
}

// Downlink is where messages for sub-devices go.
type Downlink interface {
	Deliver(d ident.Device, name string, payload []byte, qos byte) error
	// Notice tells what the hub says of sub-devices on a topic of that kind.
	Notice(k topic.Kind, subs []message.Subdev)
	// Carries tells whether a sub-device of the configuration is still to be put behind this gateway.
	Carries(d ident.Device) bool
}

// Uplink is the way up. Make it with New, give it its Downlink with Serve, then
// call Run.
type Uplink struct {
	cfg  Config
	log  *slog.Logger
	link *link.Link
	buf  *buffer.Stream // the first of streams: all that goes nowhere else
	topo *topology

	down Downlink

	keep    Keeper
	streams []*stream
	channel atomic.Pointer[channel]
	muted   time.Time // until then the hub is not greeted; of the connection's goroutine, as is hush
	hush    int       // greetings in a row that the connection ended over
	clock   clock

	batches, batched atomic.Int64 // batches sent, and records in them

	// mu guards the fields below.
	mu       sync.Mutex
	attached map[ident.Device]bool
	wanted   map[ident.Device][]server.Subscription
	revoked  map[ident.Device]bool // the hub disabled or removed them on this connection
	poke     chan struct{}         // holds one token: something above changed
	again    time.Time             // when what the hub had no room for is brought again; zero: there is none
}

// New returns an Uplink over buf and Config.Streams, whose Buffer must run while the Uplink does.
func New(cfg Config, buf *buffer.Stream, log *slog.Logger) (*Uplink, error) {
	if cfg.ReplyTimeout == 0 {
		cfg.ReplyTimeout = 10 * time.Second
	}
	if cfg.RetryRefused == 0 {
		cfg.RetryRefused = time.Minute
	}
	if cfg.RetryBusy == 0 {
		cfg.RetryBusy = 5 * time.Second
	}
	if cfg.NewsEvery == 0 {
		cfg.NewsEvery = 5 * time.Minute
	}
	if cfg.Keep == nil {
		cfg.Keep = &memory{m: make(map[string][]byte)}
	}
	u := &Uplink{
		cfg: cfg, log: log, buf: buf, keep: cfg.Keep,
		attached: make(map[ident.Device]bool),
		wanted:   make(map[ident.Device][]server.Subscription),
		revoked:  make(map[ident.Device]bool),
		poke:     make(chan struct{}, 1),
	}
	u.addStream(Stream{Buffer: buf})
	for _, s := range cfg.Streams {
		u.addStream(s)
	}
	u.clock.begin(cfg.Now)
	cfg.Link.TLS.Now = u.judge
	l, err := link.New(cfg.Link, log)
	if err != nil {
		return nil, err
	}
	u.link = l
	u.topo = newTopology(l, cfg, log)
	u.recall()
	return u, nil
}

// Serve names what takes messages for sub-devices. Call it once, before Run.
func (u *Uplink) Serve(down Downlink) error {
	u.down = down
	u.link.OnUp(u.up)
	u.link.HandleRest(u.deliver)
	if err := u.topo.listen(); err != nil {
		return err
	}
	return u.listenNotices()
}

// Run works until ctx ends and returns nil then, or the reason why the hub
// refused the gateway's first login when Config.Link.KeepTrying is off.
func (u *Uplink) Run(ctx context.Context) error {
	return u.link.Run(ctx)
}

// OnUp has f called after every login at the hub, with a ctx that ends with the connection. Call it before Run.
func (u *Uplink) OnUp(f func(ctx context.Context)) { u.link.OnUp(f) }

// Connected reports whether the hub has accepted the gateway.
func (u *Uplink) Connected() bool { return u.link.Connected() }

// Forward puts a sub-device's message into the buffer, into the stream of its topic.
func (u *Uplink) Forward(d ident.Device, name string, payload []byte, qos byte, done func(error)) {
	u.ForwardTo("", d, name, payload, qos, done)
}

// ForwardTo is Forward into a stream of that name. "", or one that there is not, is the topic's own.
func (u *Uplink) ForwardTo(into string, _ ident.Device, name string, payload []byte, qos byte, done func(error)) {
	to := u.streamOf(name)
	for _, s := range u.streams {
		if s.name == into {
			to = s.Buffer
		}
	}
	to.Append(buffer.Record{Topic: name, Payload: payload, QoS: qos, Time: u.clock.now()}, func(err error) {
		// What waiting heals must not be refused for good: not acknowledged, the
		// sub-device keeps the message.
		if errors.Is(err, buffer.ErrUnavailable) || errors.Is(err, buffer.ErrClosed) || errors.Is(err, buffer.ErrFull) {
			err = fmt.Errorf("%w: %w", server.ErrUnavailable, err)
		}
		done(err)
	})
}

// Attached notes that a sub-device is connected to the gateway.
func (u *Uplink) Attached(d ident.Device) {
	u.mu.Lock()
	u.attached[d] = true
	u.mu.Unlock()
	u.wake()
}

// Detached queues the sub-device's logout behind its last message.
func (u *Uplink) Detached(d ident.Device) {
	u.mu.Lock()
	delete(u.attached, d)
	u.mu.Unlock()
	body, err := u.topo.logoutBody(d)
	if err != nil {
		u.log.Error("a logout can't be encoded", "product", d.Product, "device", d.SN, "err", err)
		return
	}
	name := topic.System(u.link.Device(), topic.SubdevLogout)
	u.buf.Append(buffer.Record{Topic: name, Payload: body, QoS: 1, Time: u.clock.now()}, func(err error) {
		if err != nil && !errors.Is(err, buffer.ErrClosed) {
			u.log.Warn("a logout could not be queued", "product", d.Product, "device", d.SN, "err", err)
		}
	})
}

// Admitted notes the secret of a sub-device that the hub has put behind the gateway.
func (u *Uplink) Admitted(d ident.Device, secret credential.Secret) {
	u.topo.mu.Lock()
	defer u.topo.mu.Unlock()
	u.topo.secrets[d] = secret
}

// Wanted notes the sub-device's filters; the hub is asked for them.
func (u *Uplink) Wanted(d ident.Device, subs []server.Subscription) {
	u.mu.Lock()
	if len(subs) == 0 {
		delete(u.wanted, d)
	} else {
		u.wanted[d] = subs
	}
	u.mu.Unlock()
	u.wake()
}

func (u *Uplink) wake() {
	select {
	case u.poke <- struct{}{}:
	default:
	}
}

// up runs once for each connection, until it ends.
func (u *Uplink) up(ctx context.Context) {
	for _, s := range u.streams {
		s.Buffer.SetOnline(true)
		defer s.Buffer.SetOnline(false)
	}
	u.setClock(ctx)
	u.keepTime()
	c := newCarrier(u)
	if err := c.run(ctx); err != nil && ctx.Err() == nil {
		u.log.Error("the way up stopped", "err", err)
	}
}

// filter is a sub-device's subscription.
type filter = server.Subscription

func (u *Uplink) isAttached(d ident.Device) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.attached[d]
}

func (u *Uplink) filters(d ident.Device) []filter {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.wanted[d]
}

// changes returns who is attached, and takes the hub's decisions since last time.
func (u *Uplink) changes() (attached []ident.Device, revoked map[ident.Device]bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for d := range u.attached {
		attached = append(attached, d)
	}
	revoked, u.revoked = u.revoked, make(map[ident.Device]bool)
	return attached, revoked
}
