//go:build !core

package agent

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/driver"
	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/edge-agent/modbus"
	"github.com/hawser-iot/hawser/edge-agent/route"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// SideConfig are the keys of the configuration that only a gateway agent knows.
type SideConfig struct {
	// ListenTLS is where sub-devices log in with TLS, ListenCert and ListenKey are the PEM files for it and for HTTP.
	ListenTLS  string `yaml:"listen_tls"`
	ListenCert string `yaml:"listen_cert"`
	ListenKey  string `yaml:"listen_key"`
	// HTTP takes posts of sub-devices.
	HTTP HTTP `yaml:"http"`
	// Page is where a browser on the local network sees how the agent is; absent, nowhere. Everybody who reaches it may read it.
	Page string `yaml:"page"`
	// SubdevicesFromHub admits sub-devices that the hub puts behind the gateway, beside those that are listed.
	SubdevicesFromHub bool `yaml:"subdevices_from_hub"`
	// SubdeviceProducts are those whose sub-devices may be listed without a secret: the gateway asks the hub for it.
	SubdeviceProducts []ProductSecret `yaml:"subdevice_products"`
	// ReportFound tells the hub of sub-devices that try to log in, or that drivers find, and that are not behind the gateway.
	ReportFound bool `yaml:"report_found"`
	// Applications are programs that work with messages on the gateway.
	Applications []Application `yaml:"applications"`
	// Routes is the file of the routes.
	Routes string `yaml:"routes"`
	// Modbus are lines with devices that are sub-devices.
	Modbus []modbus.Config `yaml:"modbus"`
	// Drivers are programs that bring devices in.
	Drivers []Driver `yaml:"drivers"`
	// SubdeviceFirmware says whose firmware the gateway takes for them; absent, sub-devices take their own.
	SubdeviceFirmware *SubdeviceFirmware `yaml:"subdevice_firmware"`
}

// Driver is a program that speaks for devices.
type Driver struct {
	Name    string     `yaml:"name"`
	Command []string   `yaml:"command"`
	Env     []Variable `yaml:"env"`
	Dir     string     `yaml:"dir"`
	// Devices are sub-devices of the gateway.
	Devices []struct {
		Product string `yaml:"product"`
		Device  string `yaml:"device"`
	} `yaml:"devices"`
	// Settings are the driver's own.
	Settings DriverSettings `yaml:"settings"`
	Rate     int            `yaml:"rate"`
	Memory   Size           `yaml:"memory"`
	Silence  Duration       `yaml:"silence"`
}

// driver is the driver as the supervisor takes it.
func (d *Driver) driver() (c driver.Config, err error) {
	c = driver.Config{Name: d.Name, Command: d.Command, Dir: d.Dir, Rate: d.Rate, Memory: uint64(d.Memory), Silence: time.Duration(d.Silence)}
	for _, v := range d.Env {
		c.Env = append(c.Env, string(v))
	}
	for _, p := range d.Devices {
		c.Devices = append(c.Devices, ident.Device{Product: p.Product, SN: p.Device})
	}
	if len(d.Settings) > 0 {
		if c.Settings, err = json.Marshal(d.Settings); err != nil {
			return c, fmt.Errorf("settings: %w", err)
		}
	}
	return c, c.Check()
}

// HTTP is the local intake.
type HTTP struct {
	Listen string `yaml:"listen"`
	// Token is what posts carry; TokenFile names a file that holds it instead.
	Token     Secret `yaml:"token"`
	TokenFile string `yaml:"token_file"`
}

// Application is a program that logs in at the gateway.
type Application struct {
	Name      string   `yaml:"name"`
	Secret    Secret   `yaml:"secret"`
	Publish   []string `yaml:"publish"`
	Subscribe []string `yaml:"subscribe"`
}

// read reads the files that stand for values.
func (c *SideConfig) read() error {
	for i := range c.SubdeviceProducts {
		if err := c.SubdeviceProducts[i].read(); err != nil {
			return fmt.Errorf("subdevice_products[%d]: %w", i, err)
		}
	}
	if c.HTTP.TokenFile == "" {
		return nil
	}
	if c.HTTP.Token != "" {
		return errors.New("http: token and token_file: only one of them may be set")
	}
	b, err := os.ReadFile(c.HTTP.TokenFile)
	if err != nil {
		return fmt.Errorf("http.token_file: %w", err)
	}
	c.HTTP.Token = Secret(strings.TrimSpace(string(b)))
	return nil
}

func (c *Config) validateSide(own ident.Device) error {
	for key, addr := range map[string]string{"listen_tls": c.ListenTLS, "http.listen": c.HTTP.Listen, "page": c.Page} {
		if addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	switch {
	case (c.ListenCert == "") != (c.ListenKey == ""):
		return errors.New("listen_cert, listen_key: set both")
	case c.ListenTLS != "" && c.ListenCert == "":
		return errors.New("listen_tls: listen_cert and listen_key are missing")
	case c.HTTP.Listen != "" && c.HTTP.Token == "":
		return errors.New("http.token: missing; set it, or token_file")
	}
	if _, err := c.tls(); err != nil {
		return err
	}
	for i, a := range c.Applications {
		if a.Name == "" || a.Secret == "" {
			return fmt.Errorf("applications[%d]: name and secret must be set", i)
		}
	}
	for i := range c.Modbus {
		if err := c.Modbus[i].Check(); err != nil {
			return fmt.Errorf("modbus[%d]: %w", i, err)
		}
	}
	for i := range c.Drivers {
		if _, err := c.Drivers[i].driver(); err != nil {
			return fmt.Errorf("drivers[%d]: %w", i, err)
		}
	}
	if c.SubdeviceFirmware != nil {
		if _, err := c.SubdeviceFirmware.depot(); err != nil {
			return err
		}
	}
	if c.Routes == "" {
		return nil
	}
	b, err := os.ReadFile(c.Routes)
	if err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	if _, err := route.Parse(b, c.routes(), true); err != nil {
		return fmt.Errorf("routes %s: %w", c.Routes, err)
	}
	return nil
}

// routes is what the file of the routes may speak of.
func (c *Config) routes() route.Config {
	return route.Config{Own: c.own(), Streams: c.Buffer.streamNames()}
}

// tls is the certificate of the listeners, nil without one.
func (c *SideConfig) tls() (*tls.Config, error) {
	if c.ListenCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.ListenCert, c.ListenKey)
	if err != nil {
		return nil, fmt.Errorf("listen_cert, listen_key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// checkBrought reports a device of a line or a driver that is no sub-device of the configuration, where no others may come in.
func (c *Config) checkBrought() error {
	listed := make(map[ident.Device]bool)
	for _, s := range c.Subdevices {
		listed[ident.Device{Product: s.Product, SN: s.Device}] = true
	}
	for i, l := range c.Modbus {
		for _, d := range l.Devices {
			if id := (ident.Device{Product: d.Product, SN: d.Device}); !listed[id] && !c.SubdevicesFromHub {
				return fmt.Errorf("modbus[%d]: %s is not in subdevices", i, id)
			}
		}
	}
	for i, l := range c.Drivers {
		for _, d := range l.Devices {
			if id := (ident.Device{Product: d.Product, SN: d.Device}); !listed[id] && !c.SubdevicesFromHub {
				return fmt.Errorf("drivers[%d]: %s is not in subdevices", i, id)
			}
		}
	}
	return nil
}

// gateway is the configuration of the door.
func (c *Config) gateway() (g gateway.Config, err error) {
	g = gateway.Config{
		Listen: c.Listen, ListenTLS: c.ListenTLS, HTTP: gateway.HTTP{Listen: c.HTTP.Listen, Token: c.HTTP.Token},
		Own: c.own(), Learn: c.SubdevicesFromHub, Report: c.ReportFound,
	}
	if len(c.SubdeviceProducts) > 0 {
		g.Products = c.products()
		if g.Keys, err = openKeys(filepath.Join(c.Data, registeredFile)); err != nil {
			return g, err
		}
	}
	if g.Learn {
		if g.Added, err = openKeys(filepath.Join(c.Data, addedFile)); err != nil {
			return g, err
		}
	}
	for _, s := range c.Subdevices {
		g.Subdevices = append(g.Subdevices, s.gateway())
	}
	for _, a := range c.Applications {
		g.Applications = append(g.Applications, gateway.Application(a))
	}
	g.TLS, err = c.tls()
	return g, err
}

// trustsAs reports what a configuration trusts or runs that another does not: a root document for sub-devices, or a driver's command.
func (c *Config) trustsAs(old *Config) error {
	if !reflect.DeepEqual(c.SubdeviceFirmware, old.SubdeviceFirmware) {
		return errors.New("subdevice_firmware: would not be the same")
	}
	for i, d := range c.Drivers {
		known := slices.ContainsFunc(old.Drivers, func(o Driver) bool {
			return slices.Equal(d.Command, o.Command) && slices.Equal(d.Env, o.Env) && d.Dir == o.Dir
		})
		if !known {
			return fmt.Errorf("drivers[%d]: its command is none that the gateway runs", i)
		}
	}
	return nil
}
