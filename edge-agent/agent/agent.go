// Package agent is the daemon on a gateway: it lets sub-devices log in on the
// local network, keeps what they send until the hub has it, and brings back what
// the hub has for them.
//
// It wires the parts and decides the order of start and stop; what each
// promises is written in gateway (the door), buffer (durability) and uplink (the
// way to the hub). Configuration comes from one file, see Config.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	sdk "github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/edge-agent/journal"
	"github.com/hawser-iot/hawser/edge-agent/localapi"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/edge-agent/shadowsync"
	"github.com/hawser-iot/hawser/edge-agent/state"
	"github.com/hawser-iot/hawser/edge-agent/trial"
	"github.com/hawser-iot/hawser/edge-agent/uplink"
	"github.com/hawser-iot/hawser/edge-agent/upload"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// reportEvery is how often the counters go into the log.
const reportEvery = time.Minute

// lan is the half of the agent that works on the local network: the door of sub-devices, and what else only a gateway has. A core agent
// (build tag core) has none of it. Run returns nil when ctx has ended it, after what was in hand is durable.
type lan interface {
	uplink.Downlink
	Run(ctx context.Context) error
	// Close gives up what openLAN opened, when Run was never called.
	Close() error
	// Addr is where sub-devices log in, or nil.
	Addr() net.Addr
	// Shadows are the shadows that are kept here.
	Shadows() *shadowsync.Syncer
	// Commands are what the agent answers at its socket for this half.
	Commands() map[string]localapi.Handler
	// Connections is how many sub-devices are connected.
	Connections() int
	// Firmware takes firmware for sub-devices; nil when nobody does.
	Firmware() subfirmware
	// Routes counts what the routes did.
	Routes() []agentmsg.Route
}

// subfirmware is what takes firmware for sub-devices.
type subfirmware interface {
	Status() []ota.Subdevice
	Consent(d ident.Device, agreed bool) error
	History(d ident.Device) ([]ota.Event, error)
}

// Agent is the assembled daemon.
type Agent struct {
	// Trial is set before Run when the configuration is on trial, ConfigPath when it came from a file that may be changed from afar.
	Trial      *trial.Trial
	ConfigPath string
	restart    chan struct{} // holds one token: the agent is to be started anew

	cfg  Config
	log  *slog.Logger
	buf  *buffer.Buffer
	kept *state.Store
	up   *uplink.Uplink
	lan  lan
	api  *localapi.Server // nil without a socket
	ota  *ota.OTA         // nil when the gateway takes no firmware
	// uploads sends files; nil without rules.
	uploads *upload.Upload
	page    *page // nil without a page
	// remote takes configurations from the hub, and asked what it asks for; files speaks with it about files.
	remote *remote
	asked  chan agentmsg.Message
	files  func() (*sdk.MQTT, error)
	// noOTA is why it takes none though it should.
	noOTA   error
	started time.Time

	// Version is what Status says of the program, and Journal has the lines of its log. Set them before Run.
	Version string
	Journal *journal.Journal
}

// New opens the data folder and the listener; a folder or port in use is an
// error here. Close releases them when Run is not called.
func New(cfg Config, log *slog.Logger) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Secret == "" {
		return nil, errUnregistered
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	a := &Agent{cfg: cfg, log: log, started: time.Now(), restart: make(chan struct{}, 1)}
	var err error
	a.buf, err = buffer.Open(cfg.buffer(), log)
	if err != nil {
		return nil, err
	}
	if a.kept, err = state.Open(cfg.statePath(), log); err != nil {
		return nil, errors.Join(err, a.buf.Close())
	}
	if err := a.assemble(); err != nil {
		return nil, errors.Join(err, a.buf.Close(), a.kept.Close())
	}
	return a, nil
}

func (a *Agent) assemble() error {
	lc, err := a.cfg.link()
	if err != nil {
		return err
	}
	var ids []ident.Device
	secrets := make(map[ident.Device]credential.Secret)
	for _, s := range a.cfg.Subdevices {
		d := ident.Device{Product: s.Product, SN: s.Device}
		if ids = append(ids, d); s.Secret != "" {
			secrets[d] = s.Secret
		}
	}
	a.up, err = uplink.New(uplink.Config{Link: lc, Subdevices: ids, Secrets: secrets, Newest: a.cfg.Buffer.Replay == newest,
		Version: func() string { return a.Version }, About: a.about, Asked: a.ask, Keep: a.kept.Bucket("uplink"),
		Streams: a.cfg.Buffer.uplink(a.buf)}, a.buf.Stream(buffer.DefaultStream), a.log)
	if err != nil {
		return err
	}
	a.asked = make(chan agentmsg.Message, 4)
	a.remote = &remote{cfg: &a.cfg, now: a.up.Now, say: a.up.Say, restart: a.startAnew, log: a.log}
	a.files = sync.OnceValues(func() (*sdk.MQTT, error) { return sdk.NewMQTT(a.up.Uploads(), a.log.With("part", "uploads")) })
	a.lan, err = openLAN(&a.cfg, a.up, a.kept, a.log)
	if err != nil {
		return err
	}
	err = a.up.Serve(a.lan)
	if err == nil && a.cfg.Firmware != nil {
		a.ota, err = a.cfg.ota(a.up.Firmware(), a.log)
		if errors.Is(err, ota.ErrUnavailable) {
			// Sub-devices are carried all the same.
			a.log.Error("the gateway takes no firmware", "err", err)
			a.noOTA, err = err, nil
		}
	}
	if err == nil {
		a.uploads, err = a.openUploads()
	}
	if err == nil {
		a.page, err = a.openPage()
	}
	if err == nil {
		err = a.listen()
	}
	if err != nil {
		if a.page != nil {
			err = errors.Join(err, a.page.Close())
		}
		return errors.Join(err, a.lan.Close())
	}
	return nil
}

// listen makes the socket for commands. The agent works without one, where the path is too long.
func (a *Agent) listen() (err error) {
	a.api, err = localapi.Listen(a.cfg.SocketPath(), a.commands(), a.log)
	if errors.Is(err, localapi.ErrPath) {
		a.log.Warn("there is no socket for hawser-agent ota", "err", err)
		return nil
	}
	return err
}

// Addr is the address where sub-devices log in; a core agent has none.
func (a *Agent) Addr() net.Addr { return a.lan.Addr() }

// Close releases what New opened, for an Agent that is not Run.
func (a *Agent) Close() error {
	err := a.lan.Close()
	if a.page != nil {
		err = errors.Join(err, a.page.Close())
	}
	if a.api != nil {
		err = errors.Join(err, a.api.Close())
	}
	return errors.Join(err, a.buf.Close(), a.kept.Close())
}

// Run works until ctx ends, a part fails, or another program is to be started (ErrRestart). The parts end in an order: first the
// door, so that nothing new is accepted and what was accepted is acknowledged;
// then the way up; then the buffer, which both write to; the file last.
func (a *Agent) Run(ctx context.Context) error {
	a.log.Info("ready", "variant", Variant, "listen", a.lan.Addr(), "hub", a.cfg.Hub, "product", a.cfg.Product, "device", a.cfg.Device,
		"subdevices", len(a.cfg.Subdevices), "buffered", a.buffered().Records)
	a.remote.open(a.ConfigPath, a.Trial != nil)
	door, doorCtx := errgroup.WithContext(ctx)
	// The later parts outlive ctx until the earlier ones have ended.
	upCtx, stopUp := context.WithCancel(context.WithoutCancel(ctx))
	bufCtx, stopBuf := context.WithCancel(context.WithoutCancel(ctx))
	up, buf, kept := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { buf <- a.buf.Run(bufCtx) }()
	go func() { kept <- a.kept.Run(bufCtx) }()
	go func() { up <- a.up.Run(upCtx) }()
	door.Go(func() error { return a.lan.Run(doorCtx) })
	if a.api != nil {
		door.Go(func() error { return a.api.Run(doorCtx) })
	}
	if a.page != nil {
		door.Go(func() error { return a.page.Run(doorCtx) })
	}
	if a.ota != nil {
		door.Go(func() error { return a.updates(doorCtx) })
	}
	door.Go(func() error { return a.onTrial(doorCtx) })
	door.Go(func() error { a.answer(doorCtx); return nil })
	if a.uploads != nil {
		door.Go(func() error { return a.uploads.Run(doorCtx) })
	}
	door.Go(func() error { return a.watch(doorCtx, up) })
	door.Go(func() error { a.report(doorCtx); return nil })
	err := door.Wait()
	stopUp()
	err = errors.Join(err, <-up)
	stopBuf()
	err = errors.Join(err, <-buf, <-kept, a.buf.Close(), a.kept.Close())
	a.log.Info("stopped", "buffered", a.buffered().Records)
	return err
}

// updates takes firmware. When another slot is to be started it ends all, with ErrRestart.
func (a *Agent) updates(ctx context.Context) error {
	if err := a.ota.Run(ctx); err != nil {
		return err
	}
	if a.ota.Restarting() {
		return ErrRestart
	}
	return nil
}

// watch ends the door when the way up has ended by itself, and puts its error
// back for Run.
func (a *Agent) watch(ctx context.Context, up chan error) error {
	select {
	case err := <-up:
		up <- nil
		if err == nil {
			err = errors.New("the way up ended")
		}
		return err
	case <-ctx.Done():
		return nil
	}
}

// report logs the counters until ctx ends.
func (a *Agent) report(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s := a.buffered()
			a.log.Info("counters", "connected", a.up.Connected(), "subdevices_connected", a.lan.Connections(),
				"buffered", s.Records, "buffered_bytes", s.Bytes, "accepted", s.Appended, "carried", s.Removed,
				"dropped", s.Dropped, "refused", s.Rejected, "failed", s.Failed)
			if a.uploads != nil {
				u := a.uploads.Stats()
				a.log.Info("files", "sent", u.Files, "failed", u.Failed, "waiting", u.Waiting, "bytes", u.Bytes, "sending", u.Sending,
					"done", u.Done, "total", u.Total, "rate", u.Rate)
			}
		case <-ctx.Done():
			return
		}
	}
}
