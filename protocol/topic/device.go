package topic

import (
	"strings"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// DeviceOf returns the device that a topic or a filter names by its first levels, "/$system/P/D/…" or "/P/D/…"; ok is false when
// they name none, or hold a wildcard. What follows is not looked at. It allocates nothing.
func DeviceOf(name string) (d ident.Device, ok bool) {
	product, sn, ok := identityLevels(name)
	if !ok || sn == broadcast || strings.ContainsAny(product, "+#") || strings.ContainsAny(sn, "+#") {
		return ident.Device{}, false
	}
	return ident.Device{Product: product, SN: sn}, true
}

// OverDevices tells whether a filter is one over the topics of several devices: "/$system/P/+/…", "/P/+/…", with + for the product
// too, or "/#", "/$system/#" and the like. Such a filter is a gateway's over its own sub-devices.
func OverDevices(filter string) bool {
	if len(filter) > MaxBytes || strings.Count(filter, "/") > MaxSlashes || ValidFilter(filter) != nil {
		return false
	}
	rest, ok := strings.CutPrefix(filter, "/")
	if !ok {
		return false
	}
	if below, system := strings.CutPrefix(rest, systemPrefix[1:]); system {
		rest = below
	}
	product, rest, more := strings.Cut(rest, "/")
	if product == "#" {
		return true
	}
	if !more || product != "+" && ident.CheckProductSN(product) != nil {
		return false
	}
	sn, _, more := strings.Cut(rest, "/")
	return sn == "#" || sn == "+" && more
}

// BroadcastProduct returns the product of a broadcast topic or filter, "/P/$broadcast/…".
func BroadcastProduct(name string) (product string, ok bool) {
	product, sn, ok := identityLevels(name)
	return product, ok && sn == broadcast && !strings.ContainsAny(product, "+#")
}

// identityLevels are the levels of a product and a device.
func identityLevels(name string) (product, sn string, ok bool) {
	rest, system := strings.CutPrefix(name, systemPrefix)
	if !system {
		if rest, ok = strings.CutPrefix(name, "/"); !ok {
			return "", "", false
		}
	}
	if product, rest, ok = strings.Cut(rest, "/"); !ok {
		return "", "", false
	}
	sn, _, ok = strings.Cut(rest, "/")
	return product, sn, ok
}
