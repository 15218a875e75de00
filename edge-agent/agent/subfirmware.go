//go:build !core

package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/depot"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// SubdeviceFirmware says which sub-devices' firmware the gateway takes for them; docs/subdevice-firmware.md.
type SubdeviceFirmware struct {
	// Root is the root document that their firmware is verified with: a file. Without one it needs AllowUnsigned.
	Root          string `yaml:"root"`
	AllowUnsigned bool   `yaml:"allow_unsigned"`
	// Listen is where sub-devices download, URL what their links begin with when that is not the address.
	Listen string `yaml:"listen"`
	URL    string `yaml:"url"`
	// Budget bounds the bytes of all images on the disk.
	Budget Size `yaml:"budget"`
	// AtOnce is how many sub-devices' images are downloaded at a time, Handover how long one has for what it was handed.
	AtOnce   int      `yaml:"at_once"`
	Handover Duration `yaml:"handover"`
	// Products are the kinds of sub-devices that take it.
	Products []SubdeviceProduct `yaml:"products"`
}

// SubdeviceProduct is a kind of sub-device.
type SubdeviceProduct struct {
	Product string `yaml:"product"`
	Module  string `yaml:"module"` // "default" when empty
	// Class is VENDOR/CLASS, as of the gateway's own modules.
	Class string `yaml:"class"`
	// Version is what they were shipped with; empty, it is what a sub-device says first.
	Version string `yaml:"version"`
	// Modules are in place of module, class and version when there are several.
	Modules []SubdeviceModule `yaml:"modules"`
	// Files names the image's file to the sub-device's driver, beside the URL.
	Files bool `yaml:"files"`
	// Consent makes each update wait for `hawser-agent ota consent --device`.
	Consent bool `yaml:"consent"`
}

// SubdeviceModule is a part of a sub-device with a firmware of its own.
type SubdeviceModule struct {
	Name    string `yaml:"name"`
	Class   string `yaml:"class"`
	Version string `yaml:"version"`
}

// noVersion stands for the one that is not known yet.
const noVersion = "0"

// model is the product as the depot takes it.
func (p *SubdeviceProduct) model(signed bool) (m depot.Model, err error) {
	m = depot.Model{Product: p.Product, Files: p.Files, Consent: p.Consent}
	modules := p.Modules
	switch {
	case p.Product == "":
		return m, errors.New("product: missing")
	case len(modules) > 0 && (p.Module != "" || p.Class != "" || p.Version != ""):
		return m, errors.New("modules: in place of module, class and version, not beside them")
	case len(modules) > manifest.MaxComponents:
		return m, fmt.Errorf("modules: %d of them, at most %d", len(modules), manifest.MaxComponents)
	case len(modules) == 0:
		modules = []SubdeviceModule{{p.Module, p.Class, p.Version}}
	}
	for _, s := range modules {
		om, err := s.module(signed)
		if err != nil {
			return m, err
		}
		m.Modules = append(m.Modules, om)
	}
	return m, nil
}

func (s *SubdeviceModule) module(signed bool) (depot.Module, error) {
	f := FirmwareModule{Name: s.Name, Class: s.Class, Version: s.Version}
	if f.Name == "" {
		f.Name = "default"
	}
	if f.Version == "" {
		f.Version = noVersion
	}
	om, err := f.module(nil, signed)
	om.Version = s.Version
	return depot.Module{Name: om.Name, Module: om.Module}, err
}

// subdeviceFolder is where a gateway with the data folder data keeps the firmware of sub-devices.
func subdeviceFolder(data string) string { return filepath.Join(data, "subdevice-firmware") }

// takesFor are the sub-devices of the configuration whose firmware the gateway takes.
func (c *Config) takesFor() (list []ident.Device) {
	if c.SubdeviceFirmware == nil {
		return nil
	}
	for _, s := range c.Subdevices {
		if slices.ContainsFunc(c.SubdeviceFirmware.Products, func(p SubdeviceProduct) bool { return p.Product == s.Product }) {
			list = append(list, ident.Device{Product: s.Product, SN: s.Device})
		}
	}
	return list
}

// subrecords are the records of a sub-device's firmware, for when no agent runs.
func (c *Config) subrecords(d ident.Device) (update.Store, error) {
	return depot.Records(subdeviceFolder(c.Data), d)
}

// depot is the section as the depot takes it.
func (f *SubdeviceFirmware) depot() (c depot.Config, err error) {
	c = depot.Config{
		AllowUnsigned: f.AllowUnsigned, Listen: f.Listen, URL: f.URL, Budget: int64(f.Budget), Turns: f.AtOnce, Handover: time.Duration(f.Handover),
	}
	if c.Root, err = readRoot(f.Root); err != nil {
		return c, fmt.Errorf("subdevice_firmware.root: %w", err)
	}
	if _, _, err := net.SplitHostPort(f.Listen); err != nil {
		return c, fmt.Errorf("subdevice_firmware.listen: %w", err)
	}
	if u, err := url.Parse(f.URL); f.URL != "" && (err != nil || u.Host == "" || u.RawQuery != "" || u.Scheme != "http" && u.Scheme != "https") {
		return c, fmt.Errorf("subdevice_firmware.url: %q is not like https://gateway.example", f.URL)
	}
	switch {
	case c.Root == nil && !f.AllowUnsigned:
		return c, errors.New("subdevice_firmware.root: missing; name the file of a root document, or set allow_unsigned")
	case len(f.Products) == 0:
		return c, errors.New("subdevice_firmware.products: missing")
	case f.AtOnce < 0 || f.AtOnce > 16:
		return c, fmt.Errorf("subdevice_firmware.at_once: %d is outside 1..16", f.AtOnce)
	case f.Handover < 0 || f.Handover > Duration(30*24*time.Hour):
		return c, fmt.Errorf("subdevice_firmware.handover: %s is outside 0..720h", time.Duration(f.Handover))
	}
	for i := range f.Products {
		m, err := f.Products[i].model(c.Root != nil)
		if err != nil {
			return c, fmt.Errorf("subdevice_firmware.products[%d]: %w", i, err)
		}
		c.Models = append(c.Models, m)
	}
	return c, nil
}

// depot assembles the part that takes firmware for sub-devices; nil when it takes none.
func (c *Config) depot(above depot.Up, conn depot.Connection, log *slog.Logger) (*depot.Depot, error) {
	if c.SubdeviceFirmware == nil {
		return nil, nil
	}
	dc, err := c.SubdeviceFirmware.depot()
	if err != nil {
		return nil, err
	}
	lc, err := c.link()
	if err != nil {
		return nil, err
	}
	trust, err := lc.TLS.Config()
	if err != nil {
		return nil, err
	}
	dc.Dir, dc.Download = subdeviceFolder(c.Data), update.Download{TLS: trust}
	if dc.TLS, err = c.tls(); err != nil {
		return nil, err
	}
	secrets := make(map[ident.Device]credential.Secret)
	for _, s := range c.Subdevices {
		secrets[ident.Device{Product: s.Product, SN: s.Device}] = s.Secret
	}
	return depot.New(dc, above, conn, secrets, log)
}
