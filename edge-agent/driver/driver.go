// Package driver runs drivers: programs in any language that bring devices in as sub-devices, by lines of JSON on their standard input and output.
// docs/driver-protocol.md is the protocol.
//
// It promises: a driver's message is acknowledged only when it is durable; a driver that ends, hangs or talks nonsense is started anew, later
// each time, and its devices are offline at the hub meanwhile; whatever a driver writes, it costs the agent no more memory than its limits say,
// and it speaks for no device that is not its own in the configuration.
//
// A driver is not kept from the rest of the gateway: it runs with the agent's user. It leaves what becomes of messages to its Door.
package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Door is what lets sub-devices in.
type Door interface {
	Attach(d ident.Device, p gateway.Port) error
	Detach(d ident.Device, p gateway.Port)
	// Found tells of a sub-device that is there and may not be attached.
	Found(d ident.Device)
	// Submit takes a message of an attached sub-device; done runs once.
	Submit(name string, payload []byte, qos byte, done func(error))
}

var _ Door = (*gateway.Gateway)(nil)

// Config is one driver. Zero fields get the defaults that are named.
type Config struct {
	Name    string
	Command []string
	// Env are variables beside PATH, HOME, LANG and TZ, which are the agent's.
	Env []string
	// Dir is the folder that it runs in, the agent's by default.
	Dir string
	// Devices are those that it may speak for.
	Devices []ident.Device
	// Settings is handed to it as it is, a JSON object.
	Settings json.RawMessage
	// Rate is how many messages a second it may send (100); a faster one is read more slowly.
	Rate int
	// Memory bounds its address space in bytes, where the system can; 0 does not.
	Memory uint64
	// RestartMin and RestartMax bound the pause before it is started anew (1s, 1m).
	RestartMin, RestartMax time.Duration
	// Silence is how long it may leave a ping unanswered (30s).
	Silence time.Duration
	// Stop is how long it may take to end when it is told (5s); then it is made to.
	Stop time.Duration
}

// Check fills in the defaults and reports the first thing that can't be right.
func (c *Config) Check() error {
	switch {
	case c.Name == "" || !ident.IsWord(c.Name):
		return fmt.Errorf("driver: bad name %q", c.Name)
	case len(c.Command) == 0 || c.Command[0] == "":
		return fmt.Errorf("driver: %s: the command is missing", c.Name)
	case c.Rate < 0 || c.RestartMin < 0 || c.RestartMax < 0 || c.Silence < 0 || c.Stop < 0:
		return fmt.Errorf("driver: %s: less than nothing", c.Name)
	}
	if len(c.Settings) == 0 {
		c.Settings = json.RawMessage("{}")
	}
	if !json.Valid(c.Settings) {
		return fmt.Errorf("driver: %s: the settings are not JSON", c.Name)
	}
	if c.Rate == 0 {
		c.Rate = 100
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&c.RestartMin, time.Second}, {&c.RestartMax, time.Minute}, {&c.Silence, 30 * time.Second}, {&c.Stop, stopTimeout}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	return nil
}

// Stats describe a driver.
type Stats struct {
	Name     string `json:"name"`
	Running  bool   `json:"running"`
	Starts   int64  `json:"starts"`
	Messages int64  `json:"messages"` // taken from it
	Dropped  int64  `json:"dropped"`  // for it: it did not read
	Bad      int64  `json:"bad"`      // lines that are not of the protocol
}

// Driver is one program that is kept running.
type Driver struct {
	cfg  Config
	door Door
	log  *slog.Logger

	running                        atomic.Bool
	starts, messages, dropped, bad atomic.Int64
}

// New returns a Driver; it starts nothing.
func New(cfg Config, door Door, log *slog.Logger) (*Driver, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	return &Driver{cfg: cfg, door: door, log: log.With("driver", cfg.Name)}, nil
}

// Stats returns the counters.
func (d *Driver) Stats() Stats {
	return Stats{d.cfg.Name, d.running.Load(), d.starts.Load(), d.messages.Load(), d.dropped.Load(), d.bad.Load()}
}

// healthyAfter is how long a driver must have run so that its next start does not wait longer than its first.
const healthyAfter = time.Minute

// Run keeps the program running until ctx ends.
func (d *Driver) Run(ctx context.Context) error {
	pause := d.cfg.RestartMin
	for ctx.Err() == nil {
		began := time.Now()
		d.starts.Add(1)
		err := d.once(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) >= healthyAfter {
			pause = d.cfg.RestartMin
		}
		if err == nil {
			err = errors.New("it ended by itself")
		}
		d.log.Warn("driver ended", "err", err, "ran", time.Since(began).Round(time.Millisecond), "again_in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, d.cfg.RestartMax)
	}
	return nil
}

// once starts the program and talks with it until one of them ends.
func (d *Driver) once(ctx context.Context) error {
	p, err := start(&d.cfg, d.log)
	if err != nil {
		return err
	}
	d.running.Store(true)
	defer d.running.Store(false)
	s := newSession(d, p)
	talk, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		s.write(talk)
		cancel()
	})
	wg.Go(func() { s.watch(talk, cancel) })
	err = s.read(talk)
	cancel()
	s.leave()
	wg.Wait()
	return errors.Join(err, s.why(), p.end())
}
