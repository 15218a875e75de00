package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/edge-agent/slot"
	"github.com/hawser-iot/hawser/edge-agent/uplink"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Firmware says how the gateway takes firmware of its own; docs/agent-ota.md has examples for each boot loader.
type Firmware struct {
	// Root is the root document that the gateway was shipped with: a file. Without one it needs AllowUnsigned.
	Root string `yaml:"root"`
	// AllowUnsigned takes firmware as stock devices do, which whoever has the hub can make.
	AllowUnsigned bool             `yaml:"allow_unsigned"`
	Boot          FirmwareBoot     `yaml:"boot"`
	Modules       []FirmwareModule `yaml:"modules"`
	// Consent makes each update wait for `hawser-agent ota consent`.
	Consent bool           `yaml:"consent"`
	Checks  FirmwareChecks `yaml:"checks"`
	// Trial is how long a new release has to be found well.
	Trial    Duration `yaml:"trial"`
	Watchdog Watchdog `yaml:"watchdog"`
}

// FirmwareBoot says what starts a slot.
type FirmwareBoot struct {
	// Kind is uboot, grub, agent (the agent's own program in a folder for each slot), files (others') or hook.
	Kind  string   `yaml:"kind"`
	Slots []string `yaml:"slots"`
	// Tries is how often an armed slot is started before the one before comes back.
	Tries int `yaml:"tries"`
	// Path is of the environment (uboot, grub), or the folder with a folder for each slot (agent, files).
	Path string `yaml:"path"`
	// Offsets and Size are of the copies of a U-Boot environment; Boolean says that their flags are 1 and 0 and no numbers that grow.
	Offsets []int64 `yaml:"offsets"`
	Size    Size    `yaml:"size"`
	Boolean bool    `yaml:"boolean"`
	// Booted is the word of the kernel's command line that names the slot that runs (uboot, grub).
	Booted string `yaml:"booted"`
	// Command is the hook.
	Command []string `yaml:"command"`
	// Restart starts the device anew, or for files what uses them.
	Restart []string `yaml:"restart"`
}

// FirmwareModule is a part of the gateway with a firmware of its own.
type FirmwareModule struct {
	Name string `yaml:"name"`
	// Class is VENDOR/CLASS as in `hawserctl firmware build`: a domain and a name; either may be a UUID.
	Class string `yaml:"class"`
	// Version is what the gateway was shipped with.
	Version string `yaml:"version"`
	// Paths are where the image is in each slot: a partition or a file.
	Paths map[string]string `yaml:"paths"`
}

// FirmwareChecks are commands that are content when they end with 0.
type FirmwareChecks struct {
	Power   []string   `yaml:"power"`
	Health  [][]string `yaml:"health"`
	Timeout Duration   `yaml:"timeout"`
}

// Watchdog is a device that the agent feeds.
type Watchdog struct {
	Device string   `yaml:"device"`
	Every  Duration `yaml:"every"`
}

// fill sets what a section need not say.
func (f *Firmware) fill() {
	if len(f.Boot.Slots) == 0 {
		f.Boot.Slots = []string{"A", "B"}
	}
	if f.Boot.Tries == 0 {
		f.Boot.Tries = 3
	}
	if f.Boot.Booted == "" {
		f.Boot.Booted = "rauc.slot"
	}
	for _, d := range []struct {
		v *Duration
		d time.Duration
	}{{&f.Checks.Timeout, 30 * time.Second}, {&f.Trial, 10 * time.Minute}, {&f.Watchdog.Every, 10 * time.Second}} {
		if *d.v == 0 {
			*d.v = Duration(d.d)
		}
	}
}

// validate reports the first key that is missing or can't be right.
func (f *Firmware) validate() error {
	switch {
	case f.Root == "" && !f.AllowUnsigned:
		return errors.New("firmware.root: missing; name the file of a root document, or set allow_unsigned")
	case len(f.Modules) == 0:
		return errors.New("firmware.modules: missing")
	case f.Trial < Duration(time.Second) || f.Trial > Duration(24*time.Hour):
		return fmt.Errorf("firmware.trial: %s is outside 1s..24h", time.Duration(f.Trial))
	case f.Checks.Timeout <= 0 || f.Checks.Timeout > f.Trial:
		return fmt.Errorf("firmware.checks.timeout: %s is outside 0..trial", time.Duration(f.Checks.Timeout))
	case f.Watchdog.Every < Duration(time.Second) || f.Watchdog.Every > Duration(10*time.Minute):
		return fmt.Errorf("firmware.watchdog.every: %s is outside 1s..10m", time.Duration(f.Watchdog.Every))
	}
	for i, c := range f.Checks.Health {
		if len(c) == 0 || c[0] == "" {
			return fmt.Errorf("firmware.checks.health[%d]: no command", i)
		}
	}
	if _, err := f.Boot.control(); err != nil {
		return fmt.Errorf("firmware.boot: %w", err)
	}
	for i, m := range f.Modules {
		if _, err := m.module(f.Boot.Slots, f.Root != ""); err != nil {
			return fmt.Errorf("firmware.modules[%d]: %w", i, err)
		}
	}
	if _, err := f.root(); err != nil {
		return err
	}
	return nil
}

// root reads the root document; nil if there is none.
func (f *Firmware) root() ([]byte, error) {
	b, err := readRoot(f.Root)
	if err != nil {
		return nil, fmt.Errorf("firmware.root: %w", err)
	}
	return b, nil
}

// readRoot reads a root document from a file; nil without a name.
func readRoot(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err == nil {
		_, err = signing.TrustRoot(b)
	}
	return b, err
}

// control is what the section says of the boot loader. Nothing is read but by its methods.
func (b *FirmwareBoot) control() (slot.Control, error) {
	names := slot.Names(b.Slots)
	if err := names.Check(); err != nil {
		return nil, err
	}
	if b.Tries < 1 || b.Tries > slot.MaxTries {
		return nil, fmt.Errorf("tries: %d is outside 1..%d", b.Tries, slot.MaxTries)
	}
	switch needsPath := b.Kind == "uboot" || b.Kind == "grub" || b.Kind == "agent" || b.Kind == "files"; {
	case needsPath && b.Path == "":
		return nil, errors.New("path: missing")
	case b.Kind != "uboot" && (len(b.Offsets) > 0 || b.Size != 0 || b.Boolean):
		return nil, errors.New("offsets, size and boolean are of kind uboot")
	case b.Kind != "hook" && len(b.Command) > 0:
		return nil, errors.New("command is of kind hook")
	case b.Kind == "files" && len(b.Restart) == 0:
		return nil, errors.New("restart: missing; name the command that restarts what uses the files")
	case b.Kind == "agent" && len(b.Restart) > 0:
		return nil, errors.New("restart: the agent restarts itself")
	}
	booted := slot.CommandLine("/proc/cmdline", b.Booted)
	switch b.Kind {
	case "uboot":
		return slot.NewUBoot(slot.UBootConfig{Path: b.Path, Copies: slot.Copies{Offsets: b.Offsets, Size: int(b.Size), Boolean: b.Boolean}, Slots: names, Booted: booted})
	case "grub":
		return slot.NewGRUB(slot.GRUBConfig{Path: b.Path, Slots: names, Booted: booted})
	case "agent":
		return slot.NewLinks(slot.LinksConfig{Dir: b.Path, Slots: names, Booted: launchedSlot})
	case "files":
		return slot.NewLinks(slot.LinksConfig{Dir: b.Path, Slots: names})
	case "hook":
		return slot.NewHook(slot.HookConfig{Command: b.Command, Slots: names})
	}
	return nil, fmt.Errorf("kind: %q is none of uboot, grub, agent, files, hook", b.Kind)
}

func (m *FirmwareModule) module(slots []string, signed bool) (ota.Module, error) {
	out := ota.Module{Name: m.Name, Module: update.Module{Version: m.Version}, Paths: m.Paths}
	if err := errors.Join(manifest.CheckModule(m.Name), manifest.CheckVersion(m.Version)); err != nil {
		return out, err
	}
	for _, s := range slots {
		if m.Paths[s] == "" {
			return out, fmt.Errorf("paths: none for slot %s", s)
		}
	}
	if !signed && m.Class == "" {
		return out, nil
	}
	vendor, class, ok := strings.Cut(m.Class, "/")
	if !ok || vendor == "" || class == "" {
		return out, fmt.Errorf("class: %q: want VENDOR/CLASS, like example.com/thermo-2", m.Class)
	}
	var err error
	if out.Vendor, err = manifest.ParseUUID(vendor); err != nil {
		out.Vendor = manifest.VendorID(vendor)
	}
	if out.Class, err = manifest.ParseUUID(class); err != nil {
		out.Class = manifest.ClassID(out.Vendor, class)
	}
	return out, nil
}

// ota assembles the part that takes firmware.
func (c *Config) ota(link uplink.Firmware, log *slog.Logger) (*ota.OTA, error) {
	f := c.Firmware
	root, err := f.root()
	if err != nil {
		return nil, err
	}
	control, err := f.Boot.control()
	if err != nil {
		return nil, fmt.Errorf("firmware.boot: %w", err)
	}
	lc, err := c.link()
	if err != nil {
		return nil, err
	}
	tls, err := lc.TLS.Config()
	if err != nil {
		return nil, err
	}
	oc := ota.Config{
		Device: ident.Device{Product: c.Product, SN: c.Device}.ClientID(), Secret: c.Secret, Dir: c.Data, Link: link, Root: root,
		AllowUnsigned: f.AllowUnsigned, Consent: f.Consent, Trial: time.Duration(f.Trial),
		Boot: ota.Boot{
			Control: control, Slots: f.Boot.Slots, Tries: f.Boot.Tries, Used: f.Boot.Kind == "files",
			Restart: restartBy(f.Boot.Kind, f.Boot.Restart),
		},
		Checks:   ota.Checks{Power: f.Checks.Power, Health: f.Checks.Health, Timeout: time.Duration(f.Checks.Timeout)},
		Watchdog: ota.Watchdog{Device: f.Watchdog.Device, Every: time.Duration(f.Watchdog.Every)},
		Download: update.Download{TLS: tls},
	}
	for _, m := range f.Modules {
		om, err := m.module(f.Boot.Slots, f.Root != "")
		if err != nil {
			return nil, fmt.Errorf("firmware.modules: %w", err)
		}
		oc.Modules = append(oc.Modules, om)
	}
	return ota.New(oc, log)
}
