// Package topic is the only place where MQTT topics of devices are built and taken apart, by inverse functions, and where
// it is decided which of them a device may use.
//
// A device topic is one of
//
//	/$system/ProductSN/DeviceSN/…   what the protocol defines, see Kind
//	/ProductSN/DeviceSN/…           a custom topic, allowed by a Template of the product
//	/ProductSN/$broadcast/…         to all devices of a product
//
// Parse and Permissions.Publish run for every message: they allocate nothing and take well under 100 ns. The package also
// holds MQTT's own rules for names, filters and matching (OASIS MQTT 3.1.1, section 4.7). It leaves to its callers where
// templates are kept, and that a gateway's session asks the Permissions of the sub-device that a topic names.
package topic

import (
	"errors"
	"strings"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// Limits of what a device may publish to. The small clients' limit of 127 bytes for topics sent to devices follows from
// the lengths of identities and paths and is the caller's to check (MaxToDevice).
const (
	MaxBytes    = 128 // length of a topic
	MaxSlashes  = 7   // slashes in it, the leading one included
	MaxLevels   = 5   // levels of a custom topic below the device
	MaxToDevice = 127 // length of a topic that a stock device can receive
)

const (
	systemPrefix = "/$system/"
	broadcast    = "$broadcast"
	parseSuffix  = "?parse=true"
)

// Errors of Parse. They are values, not built for each call: a flood of bad topics must not cost memory.
var (
	ErrLong    = errors.New("topic: longer than 128 bytes or more than 7 slashes")
	ErrForm    = errors.New("topic: want /$system/ProductSN/DeviceSN/… or /ProductSN/DeviceSN/…")
	ErrProduct = errors.New("topic: bad ProductSN, want 16 characters of a-z and 0-9")
	ErrDevice  = errors.New("topic: bad DeviceSN, want 4 to 64 characters of A-Z a-z 0-9 _ @ : -")
	ErrUnknown = errors.New("topic: no such system topic")
	ErrPath    = errors.New("topic: bad path, want 1 to 5 levels of 1 to 64 characters of A-Z a-z 0-9 _ @ : -")
)

// Topic is a parsed topic name. Its strings share memory with the string it was parsed from.
type Topic struct {
	Kind   Kind
	Device ident.Device // of a broadcast only the product
	Tail   string       // path of a custom or broadcast topic, RequestID of a CommandReply, else ""
	Parse  bool         // a custom topic that ended in "?parse=true": the payload goes through the product's parse script
}

// Parse takes a topic name apart. Wildcards have no place in a name and make it malformed. The error is one of this
// package's Err values. It allocates nothing.
func Parse(s string) (Topic, error) {
	if len(s) > MaxBytes || strings.Count(s, "/") > MaxSlashes {
		return Topic{}, ErrLong
	}
	if rest, ok := strings.CutPrefix(s, systemPrefix); ok {
		return parseSystem(rest)
	}
	if s == "" || s[0] != '/' {
		return Topic{}, ErrForm
	}
	product, rest, ok := strings.Cut(s[1:], "/")
	if !ok {
		return Topic{}, ErrForm
	}
	if ident.CheckProductSN(product) != nil {
		return Topic{}, ErrProduct
	}
	sn, path, ok := strings.Cut(rest, "/")
	if !ok {
		return Topic{}, ErrForm
	}
	t := Topic{Kind: Custom, Device: ident.Device{Product: product, SN: sn}}
	if sn == broadcast {
		t.Kind, t.Device.SN = Broadcast, ""
	} else if ident.CheckDeviceSN(sn) != nil {
		return Topic{}, ErrDevice
	}
	return t, t.setPath(path)
}

// setPath checks and sets the path of a custom or broadcast topic.
func (t *Topic) setPath(path string) error {
	if t.Kind == Custom {
		path, t.Parse = strings.CutSuffix(path, parseSuffix)
	}
	if !validPath(path) {
		*t = Topic{}
		return ErrPath
	}
	t.Tail = path
	return nil
}

// validPath reports whether path is 1 to 5 levels of 1 to 64 characters of the level alphabet.
func validPath(path string) bool {
	for range MaxLevels {
		level, rest, more := strings.Cut(path, "/")
		if len(level) > ident.MaxDeviceLen || !ident.IsWord(level) {
			return false
		}
		if !more {
			return true
		}
		path = rest
	}
	return false
}

// parseSystem parses what follows "/$system/".
func parseSystem(s string) (Topic, error) {
	product, rest, ok := strings.Cut(s, "/")
	if !ok {
		return Topic{}, ErrForm
	}
	sn, path, ok := strings.Cut(rest, "/")
	if !ok {
		return Topic{}, ErrForm
	}
	if ident.CheckProductSN(product) != nil {
		return Topic{}, ErrProduct
	}
	if ident.CheckDeviceSN(sn) != nil {
		return Topic{}, ErrDevice
	}
	kind, tail := systemKind(path)
	if kind == Invalid {
		return Topic{}, ErrUnknown
	}
	return Topic{Kind: kind, Device: ident.Device{Product: product, SN: sn}, Tail: tail}, nil
}

// systemKind looks up the path below the device; a command reply has its RequestID as tail.
func systemKind(path string) (Kind, string) {
	if k, ok := byPath[path]; ok && k != CommandReply {
		return k, ""
	}
	const reply = "tmodel/command_reply/"
	if id, ok := strings.CutPrefix(path, reply); ok && len(id) <= ident.MaxDeviceLen && ident.IsWord(id) {
		return CommandReply, id
	}
	return Invalid, ""
}

// String returns the topic's name, the inverse of Parse; "" for the zero Topic.
func (t Topic) String() string {
	switch {
	case t.Kind == Custom && t.Parse:
		return Name(t.Device, t.Tail) + parseSuffix
	case t.Kind == Custom:
		return Name(t.Device, t.Tail)
	case t.Kind == Broadcast:
		return "/" + t.Device.Product + "/" + broadcast + "/" + t.Tail
	case t.Kind == CommandReply:
		return System(t.Device, t.Kind) + "/" + t.Tail
	case t.Kind.IsSystem():
		return System(t.Device, t.Kind)
	}
	return ""
}

// System returns the system topic of that kind, such as "/$system/P/D/shadow/get". For CommandReply the RequestID is
// still missing: use Topic.String.
func System(d ident.Device, k Kind) string {
	return systemPrefix + d.Product + "/" + d.SN + "/" + k.String()
}

// AppendSystem appends what System returns to dst.
func AppendSystem(dst []byte, d ident.Device, k Kind) []byte {
	dst = append(dst, systemPrefix...)
	dst = append(dst, d.Product...)
	dst = append(dst, '/')
	dst = append(dst, d.SN...)
	dst = append(dst, '/')
	return append(dst, k.String()...)
}

// Name returns the custom topic with that path below the device, "/P/D/path".
func Name(d ident.Device, path string) string {
	return "/" + d.Product + "/" + d.SN + "/" + path
}

// Parsed is the topic's name, and the topic, without the suffix that asks for a parse script.
func (t Topic) Parsed(name string) (Topic, string) {
	t.Parse = false
	return t, strings.TrimSuffix(name, parseSuffix)
}
