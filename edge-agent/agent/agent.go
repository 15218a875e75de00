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
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/edge-agent/uplink"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// reportEvery is how often the counters go into the log.
const reportEvery = time.Minute

// Agent is the assembled daemon.
type Agent struct {
	cfg Config
	log *slog.Logger
	buf *buffer.Buffer
	up  *uplink.Uplink
	gw  *gateway.Gateway
}

// New opens the data folder and the listener; a folder or port in use is an
// error here. Close releases them when Run is not called.
func New(cfg Config, log *slog.Logger) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	a := &Agent{cfg: cfg, log: log}
	var err error
	a.buf, err = buffer.Open(buffer.Config{
		Path: cfg.bufferPath(), MaxBytes: int64(cfg.Buffer.MaxBytes), CommitEvery: time.Duration(cfg.Buffer.CommitEvery),
	}, log)
	if err != nil {
		return nil, err
	}
	if err := a.assemble(); err != nil {
		return nil, errors.Join(err, a.buf.Close())
	}
	return a, nil
}

func (a *Agent) assemble() error {
	lc, err := a.cfg.link()
	if err != nil {
		return err
	}
	var ids []ident.Device
	var subs []gateway.Subdevice
	secrets := make(map[ident.Device]credential.Secret)
	for _, s := range a.cfg.Subdevices {
		d := ident.Device{Product: s.Product, SN: s.Device}
		ids, secrets[d] = append(ids, d), s.Secret
		subs = append(subs, gateway.Subdevice{Device: d, Secret: s.Secret})
	}
	a.up, err = uplink.New(uplink.Config{Link: lc, Subdevices: ids, Secrets: secrets}, a.buf, a.log)
	if err != nil {
		return err
	}
	a.gw, err = gateway.New(gateway.Config{Listen: a.cfg.Listen, Subdevices: subs}, a.up, a.log)
	if err != nil {
		return err
	}
	if err := a.up.Serve(a.gw); err != nil {
		return errors.Join(err, a.gw.Close())
	}
	return nil
}

// Addr is the address where sub-devices log in.
func (a *Agent) Addr() net.Addr { return a.gw.Addr() }

// Close releases what New opened, for an Agent that is not Run.
func (a *Agent) Close() error { return errors.Join(a.gw.Close(), a.buf.Close()) }

// Run works until ctx ends or a part fails. The parts end in an order: first the
// door, so that nothing new is accepted and what was accepted is acknowledged;
// then the way up; then the buffer, which both write to; the file last.
func (a *Agent) Run(ctx context.Context) error {
	a.log.Info("ready", "listen", a.Addr().String(), "hub", a.cfg.Hub, "product", a.cfg.Product, "device", a.cfg.Device,
		"subdevices", len(a.cfg.Subdevices), "buffered", a.buf.Stats().Records)
	door, doorCtx := errgroup.WithContext(ctx)
	// The later parts outlive ctx until the earlier ones have ended.
	upCtx, stopUp := context.WithCancel(context.WithoutCancel(ctx))
	bufCtx, stopBuf := context.WithCancel(context.WithoutCancel(ctx))
	up, buf := make(chan error, 1), make(chan error, 1)
	go func() { buf <- a.buf.Run(bufCtx) }()
	go func() { up <- a.up.Run(upCtx) }()
	door.Go(func() error { return a.gw.Run(doorCtx) })
	door.Go(func() error { return a.watch(doorCtx, up) })
	door.Go(func() error { a.report(doorCtx); return nil })
	err := door.Wait()
	stopUp()
	err = errors.Join(err, <-up)
	stopBuf()
	err = errors.Join(err, <-buf, a.buf.Close())
	a.log.Info("stopped", "buffered", a.buf.Stats().Records)
	return err
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
			s, g := a.buf.Stats(), a.gw.Stats()
			a.log.Info("counters", "connected", a.up.Connected(), "subdevices_connected", g.Connections,
				"buffered", s.Records, "buffered_bytes", s.Bytes, "accepted", s.Appended, "carried", s.Removed,
				"dropped", s.Dropped, "failed", s.Failed)
		case <-ctx.Done():
			return
		}
	}
}
