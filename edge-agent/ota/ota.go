// Package ota brings new firmware into a gateway's slots: it gives the engine of device-sdk/update the slots, the boot loader, the owner's say and the
// checks of this device, and tells people how far an update is.
//
// It promises: nothing is written into a slot that a start may try; a slot is armed when all that belongs to it has been read back, also the modules
// that the release does not have, which come from the slot that runs; an update that is not found well in time goes back; and whatever is
// cut off goes on at the next start. What was signed and downloaded how is the engine's affair (its plan is on disk in docs/formats/device-update.md), what a
// boot loader understands that of edge-agent/slot.
package ota

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/slot"
	"github.com/hawser-iot/hawser/protocol/credential"
)

// Config is what an OTA works with.
type Config struct {
	// Device is ProductSN.DeviceSN.
	Device string
	Secret credential.Secret
	// Dir is the folder for what must last.
	Dir  string
	Link update.Link
	// Root is the root document that the device was shipped with; without one it needs AllowUnsigned.
	Root          []byte
	AllowUnsigned bool
	Boot          Boot
	Modules       []Module
	// Consent says that the owner has to agree to each update.
	Consent bool
	Checks  Checks
	// Trial is how long a new release has to be found well; 10 min when zero.
	Trial    time.Duration
	Watchdog Watchdog
	Download update.Download
	// Poll is how often what is waited for is looked at; 1 min when zero.
	Poll time.Duration
	// Store replaces the files in Dir, and Open the file system that has the paths of the modules, in tests. Open makes what is not there when size is
	// not negative.
	Store update.Store
	Open  func(path string, size int64) (Medium, error)
}

// Medium is where an image is.
type Medium interface {
	update.Target
	// Size is how many bytes there are.
	Size() int64
}

// Boot is how one of the two slots is started.
type Boot struct {
	Control slot.Control
	Slots   slot.Names
	// Tries is how often a slot that was armed is started before the boot loader goes back; 3 when zero.
	Tries int
	// Used says that what is in the slot that was armed is used without a start of the device: what runs is what was current when this program began,
	// until Restart has had its way.
	Used bool
	// Restart starts the device, or what is in the slot. When it returns nil, New's caller is told by Restarting.
	Restart func(ctx context.Context) error
}

// Module is a part of the device with a firmware of its own.
type Module struct {
	Name string
	update.Module
	// Paths are where the image is in each slot: a partition, or a file.
	Paths map[string]string
}

// OTA takes updates. Make it with New, call Run.
type OTA struct {
	cfg       Config
	log       *slog.Logger
	store     update.Store
	storage   *storage
	installer *installer
	updater   *update.Updater
	watchdog  *watchdog

	restarting chan struct{} // closed when the program is to end
}

// ErrUnavailable is wrapped by errors of New that are not of cfg: the boot loader's state or the records can't be read. The rest of an agent goes on without
// updates then; a slot on trial stays one, and what counts its starts takes it back.
var ErrUnavailable = errors.New("ota: no updates are taken")

// New checks cfg and reads what is on disk. Call it before the connection is made.
func New(cfg Config, log *slog.Logger) (*OTA, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	o, err := open(cfg, log)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return o, nil
}

func open(cfg Config, log *slog.Logger) (*OTA, error) {
	files := cfg.Store
	if files == nil {
		var err error
		if files, err = update.OpenFiles(Folder(cfg.Dir)); err != nil {
			return nil, err
		}
	}
	o := &OTA{cfg: cfg, log: log, store: Observe(files, maxHistory, log), restarting: make(chan struct{})}
	o.storage = &storage{modules: cfg.Modules, slots: cfg.Boot.Slots, open: cfg.Open}
	if cfg.Open == nil {
		o.storage.open = openMedium
	}
	o.installer = &installer{boot: cfg.Boot, storage: o.storage, store: o.store, log: log, restart: o.restart}
	if err := o.installer.open(context.Background()); err != nil {
		return nil, err
	}
	o.storage.running = o.installer.running
	o.watchdog = &watchdog{cfg: cfg.Watchdog, log: log}
	modules := make(map[string]update.Module)
	for _, m := range cfg.Modules {
		modules[m.Name] = m.Module
	}
	var err error
	o.updater, err = update.New(update.Config{
		Device: cfg.Device, Secret: cfg.Secret, Modules: modules, Root: cfg.Root, Link: cfg.Link, Store: o.store, Storage: o.storage,
		Installer: o.installer, AllowUnsigned: cfg.AllowUnsigned, Download: cfg.Download, Consent: o.consent, Power: o.power, Healthy: o.healthy,
		TrialTimeout: cfg.Trial, Poll: cfg.Poll, WayBack: true,
	}, log)
	return o, err
}

// Folder is where an agent with the data folder data keeps its records.
func Folder(data string) string { return filepath.Join(data, "firmware") }

func (c *Config) check() error {
	if c.Boot.Tries == 0 {
		c.Boot.Tries = 3
	}
	if c.Poll == 0 {
		c.Poll = time.Minute
	}
	if err := c.Boot.Slots.Check(); err != nil {
		return err
	}
	switch {
	case len(c.Boot.Slots) != 2:
		return fmt.Errorf("ota: %d slots, want 2", len(c.Boot.Slots))
	case c.Boot.Control == nil || c.Boot.Restart == nil:
		return errors.New("ota: Boot.Control and Boot.Restart must be set")
	case c.Boot.Tries < 1 || c.Boot.Tries > slot.MaxTries:
		return fmt.Errorf("ota: %d tries, want 1 to %d", c.Boot.Tries, slot.MaxTries)
	case len(c.Modules) == 0:
		return errors.New("ota: no modules")
	}
	seen := map[string]string{}
	for _, m := range c.Modules {
		for _, s := range c.Boot.Slots {
			path := m.Paths[s]
			if path == "" {
				return fmt.Errorf("ota: module %s has no path for slot %s", m.Name, s)
			}
			if other, ok := seen[path]; ok {
				return fmt.Errorf("ota: module %s and %s have the path %s", m.Name, other, path)
			}
			seen[path] = m.Name
		}
		if len(m.Paths) != len(c.Boot.Slots) {
			return fmt.Errorf("ota: module %s has paths for slots that there are not", m.Name)
		}
	}
	return nil
}

// Run takes updates until ctx ends, or until the program is to end so that another slot is started: see Restarting.
func (o *OTA) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { o.watchdog.run(ctx) })
	wg.Go(func() {
		select {
		case <-o.restarting:
			stop()
		case <-ctx.Done():
		}
	})
	err := o.updates(ctx)
	stop()
	wg.Wait()
	if o.Restarting() {
		return nil
	}
	return err
}

// updates runs the engine. Records and an environment that can't be written, as on a full disk, keep it waiting, and nothing else of the agent.
func (o *OTA) updates(ctx context.Context) error {
	for {
		err := o.updater.Run(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		o.log.Error("no firmware is taken now, it is tried again", "err", err)
		wait := time.NewTimer(o.cfg.Poll)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil
		}
	}
}

// Restarting tells that Run has ended because the program is to be started anew.
func (o *OTA) Restarting() bool {
	select {
	case <-o.restarting:
		return true
	default:
		return false
	}
}

// restart is the installer's way to start another slot.
func (o *OTA) restart(ctx context.Context) error {
	if err := o.cfg.Boot.Restart(ctx); err != nil {
		return err
	}
	if !o.Restarting() {
		close(o.restarting)
	}
	return nil
}

// module is the module of a name, nil if there is none.
func (s *storage) module(name string) *Module {
	i := slices.IndexFunc(s.modules, func(m Module) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &s.modules[i]
}
