package modbus

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// Config is a line or a host with devices on it.
type Config struct {
	// Name is for people and logs.
	Name string `yaml:"name"`
	// URL is tcp://host:502, rtu:///dev/ttyUSB0, or rtuovertcp://host:port for a serial converter.
	URL string `yaml:"url"`
	// The serial line, for rtu: 9600, 8, none and 1 by default.
	Baud     uint   `yaml:"baud"`
	DataBits uint   `yaml:"data_bits"`
	Parity   string `yaml:"parity"` // none, even or odd
	StopBits uint   `yaml:"stop_bits"`
	// Timeout is how long a device may take to answer, 1s by default.
	Timeout Duration `yaml:"timeout"`
	Devices []Device `yaml:"devices"`
}

// Device is one unit and the sub-device that it is at the hub.
type Device struct {
	Product string `yaml:"product"`
	Device  string `yaml:"device"`
	Unit    uint8  `yaml:"unit"`
	// Every is how often points are read that do not say so themselves, 10s by default.
	Every Duration `yaml:"every"`
	// ReportEvery is after how long a value is reported that has not changed; 0 is never.
	ReportEvery Duration `yaml:"report_every"`
	// MaxGap is how many registers that nobody wants may be read to save a request (16), MaxBlock how many a request may ask for (125).
	MaxGap   *int     `yaml:"max_gap"`
	MaxBlock int      `yaml:"max_block"`
	Points   []Point  `yaml:"points"`
	Commands []Action `yaml:"commands"`
}

// Point is one value: a property of the sub-device, and where it is.
type Point struct {
	// Name is the property's identifier.
	Name string `yaml:"name"`
	// Table is holding (the default), input, coil or discrete.
	Table string `yaml:"table"`
	// Address counts from 0, as it goes over the wire.
	Address uint16 `yaml:"address"`
	// Type is uint16 (the default), int16, uint32, int32, uint64, int64, float32, float64, or bool with Bit for a bit of a register.
	Type string `yaml:"type"`
	Bit  uint8  `yaml:"bit"`
	// WordOrder is big (the default) when the high word comes first, ByteOrder big when the high byte of each word does, as the standard has it.
	WordOrder string `yaml:"word_order"`
	ByteOrder string `yaml:"byte_order"`
	// The property's value is the number × Scale + Offset; Scale is 1 by default.
	Scale  float64 `yaml:"scale"`
	Offset float64 `yaml:"offset"`
	// Deadband is by how much the value must differ from the reported one to be reported.
	Deadband float64 `yaml:"deadband"`
	// Every is how often it is read, Device.Every by default.
	Every Duration `yaml:"every"`
	// Write lets the hub set it.
	Write bool `yaml:"write"`
	// Group is a name that neighbours have in common which are to be written with one request when a message sets several of them.
	Group string `yaml:"group"`
}

// Action is a command of the sub-device: it writes to points.
type Action struct {
	// Name is the command's identifier.
	Name string `yaml:"name"`
	// Set says what each point gets: the name of an input parameter, or a number.
	Set map[string]any `yaml:"set"`
}

// Duration reads "250ms", "10s".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 10s", b)
	}
	*d = Duration(v)
	return nil
}

// Limits of a configuration.
const (
	MaxDevices = 247
	MaxPoints  = 1000 // of a device
	minEvery   = Duration(20 * time.Millisecond)
)

// Check fills in what may be left out and reports the first thing that can't be right.
func (c *Config) Check() error {
	c.fill()
	if err := c.checkLine(); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	if len(c.Devices) > MaxDevices {
		return fmt.Errorf("%s: more than %d devices", c.Name, MaxDevices)
	}
	seen := make(map[ident.Device]bool)
	for i := range c.Devices {
		d := &c.Devices[i]
		if err := d.check(); err != nil {
			return fmt.Errorf("%s: devices[%d]: %w", c.Name, i, err)
		}
		if seen[d.id()] {
			return fmt.Errorf("%s: devices[%d]: %s is there twice", c.Name, i, d.id())
		}
		seen[d.id()] = true
	}
	return nil
}

func (c *Config) fill() {
	if c.Name == "" {
		c.Name = c.URL
	}
	set(&c.Baud, 9600)
	set(&c.DataBits, 8)
	set(&c.StopBits, 1)
	set(&c.Parity, "none")
	set(&c.Timeout, Duration(time.Second))
	for i := range c.Devices {
		c.Devices[i].fill()
	}
}

func (d *Device) fill() {
	set(&d.Every, Duration(10*time.Second))
	set(&d.MaxBlock, 125)
	if d.MaxGap == nil {
		gap := 16
		d.MaxGap = &gap
	}
	for i := range d.Points {
		p := &d.Points[i]
		set(&p.Table, "holding")
		set(&p.WordOrder, "big")
		set(&p.ByteOrder, "big")
		set(&p.Scale, 1)
		set(&p.Every, d.Every)
		if p.bits() {
			set(&p.Type, "bool")
		}
		set(&p.Type, "uint16")
	}
}

// set gives a value that was left out.
func set[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c *Config) checkLine() error {
	u, err := url.Parse(c.URL)
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	switch u.Scheme {
	case "tcp", "rtuovertcp":
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return fmt.Errorf("url: %w", err)
		}
	case "rtu":
		if !strings.HasPrefix(u.Path, "/") || u.Host != "" {
			return errors.New("url: want rtu:///dev/NAME")
		}
	default:
		return fmt.Errorf("url: %q is none of tcp://, rtu://, rtuovertcp://", c.URL)
	}
	if _, ok := parities[c.Parity]; !ok {
		return fmt.Errorf("parity: %q is none of none, even, odd", c.Parity)
	}
	if c.Timeout < 0 || c.Timeout > Duration(time.Minute) {
		return errors.New("timeout: outside 0..1m")
	}
	return nil
}

func (d *Device) id() ident.Device { return ident.Device{Product: d.Product, SN: d.Device} }

func (d *Device) check() error {
	if err := d.id().Check(); err != nil {
		return err
	}
	switch {
	case d.MaxBlock < 4 || d.MaxBlock > 125:
		return errors.New("max_block: outside 4..125")
	case *d.MaxGap < 0:
		return errors.New("max_gap: less than nothing")
	case len(d.Points) > MaxPoints:
		return fmt.Errorf("more than %d points", MaxPoints)
	case d.Every < minEvery || d.ReportEvery < 0:
		return errors.New("every: less than 20ms, or report_every less than nothing")
	}
	seen := make(map[string]*Point)
	for i := range d.Points {
		p := &d.Points[i]
		if err := p.check(); err != nil {
			return fmt.Errorf("points[%d]: %w", i, err)
		}
		if seen[p.Name] != nil {
			return fmt.Errorf("points[%d]: %s is there twice", i, p.Name)
		}
		seen[p.Name] = p
	}
	if err := d.checkGroups(); err != nil {
		return err
	}
	for i, a := range d.Commands {
		if a.Name == "" || len(a.Set) == 0 {
			return fmt.Errorf("commands[%d]: name and set must be there", i)
		}
		for name := range a.Set {
			if seen[name] == nil || !seen[name].writable() {
				return fmt.Errorf("commands[%d]: %s is no point that can be written", i, name)
			}
		}
	}
	return nil
}

// checkGroups reports a group whose points can't be in one request.
func (d *Device) checkGroups() error {
	groups := make(map[string][]*Point)
	for i := range d.Points {
		p := &d.Points[i]
		switch {
		case p.Group == "":
			continue
		case !p.writable() || p.Table == "holding" && p.Type == "bool":
			return fmt.Errorf("points[%d]: group: %s can't be written together with others", i, p.Name)
		}
		groups[p.Group] = append(groups[p.Group], p)
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if n := len(runs(groups[name])); n != 1 {
			return fmt.Errorf("group %s: its points are not one behind the other in one table, or are more than one request takes", name)
		}
	}
	return nil
}

func (p *Point) bits() bool     { return p.Table == "coil" || p.Table == "discrete" }
func (p *Point) writable() bool { return p.Table == "coil" || p.Table == "holding" }

func (p *Point) check() error {
	words, known := words[p.Type]
	order := func(s string) bool { return s == "big" || s == "little" }
	switch {
	case p.Name == "":
		return errors.New("name: missing")
	case !slices.Contains([]string{"holding", "input", "coil", "discrete"}, p.Table):
		return fmt.Errorf("table: %q is none of holding, input, coil, discrete", p.Table)
	case !known:
		return fmt.Errorf("type: %q is none that is known", p.Type)
	case p.bits() && p.Type != "bool":
		return fmt.Errorf("type: a %s is a bool", p.Table)
	case p.Bit > 15 || p.Bit > 0 && (p.Type != "bool" || p.bits()):
		return errors.New("bit: outside 0..15, or not a bool in a register")
	case int(p.Address)+words > 1<<16:
		return errors.New("address: the value ends behind 65535")
	case !order(p.WordOrder) || !order(p.ByteOrder):
		return errors.New("word_order, byte_order: want big or little")
	case math.IsInf(p.Scale, 0) || math.IsNaN(p.Scale) || math.IsInf(p.Offset, 0) || math.IsNaN(p.Offset) || p.Deadband < 0 || p.Deadband != p.Deadband:
		return errors.New("scale, offset, deadband: want finite numbers, deadband not less than 0")
	case p.Write && !p.writable():
		return fmt.Errorf("write: a %s can't be written", p.Table)
	case p.Every < minEvery:
		return errors.New("every: less than 20ms")
	}
	return nil
}
