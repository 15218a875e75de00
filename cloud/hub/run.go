package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
)

// part is something that runs for as long as the hub does.
type part struct {
	name string
	run  func(context.Context) error
}

// Run serves until ctx ends or a part fails, then stops everything in order and closes it. It returns nil after a stop
// that was asked for.
func (h *Hub) Run(ctx context.Context) error {
	// Parts and doors outlive ctx: they end when stop says so.
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, gctx := errgroup.WithContext(running)

	unsubscribe, err := h.changes.start()
	if err != nil {
		return errors.Join(err, h.close())
	}
	for _, p := range h.parts() {
		g.Go(func() error {
			err := p.run(gctx)
			if err == nil || gctx.Err() != nil && errors.Is(err, context.Canceled) {
				return nil // it was asked to end
			}
			return fmt.Errorf("%s: %w", p.name, err)
		})
	}
	h.open(gctx, g)
	h.log.Info("ready", "mqtt", address(h.doors.mqtt), "mqtts", address(h.doors.mqtts), "http", address(h.doors.http),
		"https", address(h.doors.https), "pprof", address(h.doors.pprof), "console", h.consoleURL(), "data", h.cfg.Data, "version", h.version, "took", time.Since(h.started).Round(time.Millisecond))
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-gctx.Done(): // a part failed
		}
		h.stop()
		end()
		return nil
	})
	err = g.Wait()
	unsubscribe()
	if err := errors.Join(err, h.close()); err != nil {
		return err
	}
	h.log.Info("stopped")
	return nil
}

// Reload has the hub look at its certificate at once; it looks by itself within seconds.
func (h *Hub) Reload() { h.tls.reload() }

// parts are all that run beside the doors.
func (h *Hub) parts() []part {
	all := []part{
		{"message numbers", h.numbers.Run},
		{"message log", h.messages.Run},
		{"registry", h.registry.Run},
		{"uplink", h.path.Run},
		{"agents", h.agents.Run},
		{"downlink", h.downlink.Run},
		{"presence", h.presence.Run},
		{"provision", h.births.Run},
		{"broker", h.broker.Run},
		{"retained messages", h.retained.Run},
		{"thing model", h.things.Run},
		{"rules", h.rules.Run},
		{"connectors", h.connectors.Run},
		{"parse scripts", h.scripts.Run},
		{"files of devices", h.uploads.Run},
		{"firmware updates", h.ota.Run},
		{"firmware packs and deltas", h.artifacts.Run},
		{"jobs", h.jobs.Run},
		{"metrics", h.history.Run},
		{"alarms", h.alarms.Run},
		{"retention", h.retention().run},
		{"certificate", h.tls.Run},
		{"trust", h.trust.Run},
		{"nonces", h.trimNonces},
		{"memory", newMemoryKeeper(func() uint64 { return h.broker.Stats().Connects }).run},
		{"keyring", (&keyringWatch{ring: h.ring, db: h.db, ca: h.tls.authority, log: h.log.With("part", "keyring")}).Run},
	}
	if h.series != nil {
		all = append(all, part{"history of properties", h.series.Run})
	}
	return all
}

// open starts to accept on every door that is on.
func (h *Hub) open(ctx context.Context, g *errgroup.Group) {
	h.openFaces(g)
	for _, d := range []struct {
		name  string
		ln    net.Listener
		serve func(net.Listener) error
	}{
		{"MQTT", h.doors.mqtt, func(ln net.Listener) error { return h.broker.Serve(ctx, ln, "tcp") }},
		{"MQTT over TLS", h.doors.mqtts, func(ln net.Listener) error { return h.broker.Serve(ctx, ln, "tls") }},
		{"HTTP", h.doors.http, h.web.serve},
		{"HTTPS", h.doors.https, h.web.serve},
		{"profiles", h.doors.pprof, h.profiles.serve},
	} {
		if d.ln == nil {
			continue
		}
		g.Go(func() error {
			if err := d.serve(d.ln); err != nil && !h.stopping.Load() {
				return fmt.Errorf("%s on %s: %w", d.name, d.ln.Addr(), err)
			}
			return nil
		})
	}
}

// stop ends what takes work, in an order in which nothing that was taken is left undone. What runs beside the doors is
// ended by its context afterwards, and closed by close.
func (h *Hub) stop() {
	h.log.Info("stopping", "at_most", h.cfg.StopTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), h.cfg.StopTimeout)
	defer cancel()
	// Load balancers look elsewhere from now on.
	h.stopping.Store(true)
	// MQTT first: it stops reading, waits for the acknowledgements in hand, and closes; a device that reconnects finds
	// another node or waits. Requests of the API that wait for a device go on meanwhile, or fail as they would for a
	// device that has gone.
	if err := h.broker.Close(ctx); err != nil {
		h.log.Warn("MQTT connections cut off with messages in hand", "err", err)
	}
	// Then HTTP: event streams, which would go on for ever, are ended; requests in hand are finished. After this nothing
	// new comes in.
	h.feed.end()
	h.stopFaces(ctx)
	_ = h.profiles.Close() // whoever takes a profile of a hub that stops gets none
}

// close closes what New has opened, in the reverse order; it may be called for a hub that was wired half.
func (h *Hub) close() error {
	var errs []error
	h.doors.close()
	// Connections to targets when the rules, which run no more, have saved what they delivered.
	if h.connectors != nil {
		errs = append(errs, h.connectors.Close())
	}
	// The bus before the store: what other nodes still send down may want to read it.
	if h.bus != nil {
		errs = append(errs, h.bus.Close())
	}
	if h.numbers != nil {
		errs = append(errs, h.numbers.close())
	}
	// The store last: it commits what is still queued.
	if h.db != nil {
		errs = append(errs, h.db.Close())
	}
	return errors.Join(errs...)
}
