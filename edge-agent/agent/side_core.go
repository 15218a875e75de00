//go:build core

package agent

import (
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// SideConfig are the keys that only a gateway agent knows.
type SideConfig struct{}

func (*SideConfig) read() error { return nil }

func (*Config) validateSide(ident.Device) error { return nil }
func (*Config) registers(string) bool           { return false }
func (*Config) checkBrought() error             { return nil }
func (*Config) trustsAs(*Config) error          { return nil }

// subrecords are the records of sub-devices' firmware: there are none.
func (*Config) subrecords(ident.Device) (update.Store, error) { return nil, ErrNoFirmware }

func (*Config) takesFor() []ident.Device { return nil }
