package signing

import (
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
)

// MaxDocument bounds the document of a configuration, in bytes.
const MaxDocument = 64 << 10

// maxConfiguration is a document with what is said about it.
const maxConfiguration = MaxDocument + 1<<10

// Configuration is the hub's word that one device's agent is to work with a document, signed by the hub's director key.
type Configuration struct {
	Device string `json:"device"` // ProductSN.DeviceSN
	// Version is what the hub calls the document: device/3, group/17/2.
	Version string `json:"version"`
	// Counter only grows for a device.
	Counter uint64 `json:"counter"`
	// Issued and NotAfter bound the time in which the device may take it.
	Issued   time.Time `json:"issued"`
	NotAfter time.Time `json:"notAfter"`
	Document []byte    `json:"document"`
}

// configurationFormat is the version of docs/formats/agent-configuration.md.
const configurationFormat = 1

type wireConfiguration struct {
	Format   int    `cbor:"0,keyasint"`
	Device   string `cbor:"1,keyasint"`
	Version  string `cbor:"2,keyasint"`
	Counter  uint64 `cbor:"3,keyasint"`
	Issued   int64  `cbor:"4,keyasint"`
	NotAfter int64  `cbor:"5,keyasint"`
	Document []byte `cbor:"6,keyasint"`
}

// Check tells what is wrong with a configuration, whoever has signed it and whomever it is for.
func (c *Configuration) Check() error {
	switch {
	case c.Counter == 0:
		return invalid("configuration", "counter 0; the first is 1")
	case c.Issued.Unix() <= 0 || c.Issued.Unix() > maxTime || c.NotAfter.Unix() > maxTime || !c.NotAfter.After(c.Issued):
		return invalid("configuration", "issued %v, not after %v", c.Issued, c.NotAfter)
	case len(c.Document) > MaxDocument:
		return invalid("configuration", "document of %d bytes, at most %d", len(c.Document), MaxDocument)
	case c.Device == "" || len(c.Device) > maxName || c.Version == "" || len(c.Version) > maxName:
		return invalid("configuration", "device of %d bytes, version of %d, want 1 to %d", len(c.Device), len(c.Version), maxName)
	}
	return nil
}

// Sign returns the configuration as a COSE_Sign1.
func (c *Configuration) Sign(k PrivateKey) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	document := c.Document
	if document == nil {
		document = []byte{}
	}
	payload, err := canon.Marshal(wireConfiguration{Format: configurationFormat, Device: c.Device, Version: c.Version, Counter: c.Counter,
		Issued: c.Issued.Unix(), NotAfter: c.NotAfter.Unix(), Document: document})
	if err != nil {
		return nil, err
	}
	return sign(k, payload, forConfiguration, true)
}

// VerifyConfiguration reads a configuration that one of the keys has signed. Whether it is for this device, and now, is left to the caller.
func VerifyConfiguration(b []byte, keys []PublicKey) (*Configuration, error) {
	if len(b) > maxConfiguration {
		return nil, refuse("configuration", fmt.Errorf("%w: %d bytes, at most %d", canon.ErrTooLarge, len(b), maxConfiguration))
	}
	s, err := parseSignature(b)
	if err != nil {
		return nil, refuse("configuration", err)
	}
	known := false
	for _, k := range keys {
		if k.ID() != s.id {
			continue
		}
		known = true
		if err := s.verify(k, s.message.Payload, forConfiguration); err != nil {
			return nil, refuse("configuration", err)
		}
	}
	if !known {
		return nil, failure.New(failure.Signature, "configuration: %w: key %v is none that is trusted", ErrThreshold, s.id)
	}
	var w wireConfiguration
	if err := canon.Unmarshal(s.message.Payload, maxConfiguration, &w); err != nil {
		return nil, refuse("configuration", err)
	}
	if w.Format != configurationFormat || w.NotAfter < 0 {
		return nil, invalid("configuration", "format %d, want %d", w.Format, configurationFormat)
	}
	c := &Configuration{Device: w.Device, Version: w.Version, Counter: w.Counter, Issued: time.Unix(w.Issued, 0).UTC(),
		NotAfter: time.Unix(w.NotAfter, 0).UTC(), Document: w.Document}
	return c, c.Check()
}
