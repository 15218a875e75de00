package ota

import "github.com/hawser-iot/hawser/device-sdk/update"

// OpenMedium is how the paths of modules are opened where Config.Open is nil.
var OpenMedium = openMedium

// Installer is what the engine installs with.
func (o *OTA) Installer() update.Installer { return o.installer }
