package topic

import (
	"strings"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// Scope narrows or widens what a session may do.
type Scope struct {
	Restricted bool // dynamic registration: publish to password and subscribe to password_reply, nothing else
	Gateway    bool // the device is a gateway: its subdev/ topics too
}

// Permissions is what one device may publish and subscribe to. It is compiled once a session, immutable, and safe for
// concurrent use. The nil Permissions allows nothing.
//
// It speaks for one identity. On a gateway's connection the caller asks the gateway's own Permissions for the gateway's
// topics, and for a topic of a logged-in sub-device the Permissions compiled for that sub-device.
type Permissions struct {
	device    ident.Device
	scope     Scope
	system    string              // "/$system/P/D/"
	custom    string              // "/P/D/"
	broadcast string              // "/P/$broadcast/"
	publish   map[string]struct{} // paths of custom topics with Pub
	subscribe []string            // paths of custom topics with Sub, wildcards included
}

// Compile prepares the permissions of device d of a product with these custom topics. Templates that CheckTemplate
// refuses are left out.
func Compile(d ident.Device, custom []Template, scope Scope) *Permissions {
	p := &Permissions{
		device:    d,
		scope:     scope,
		system:    systemPrefix + d.Product + "/" + d.SN + "/",
		custom:    Name(d, ""),
		broadcast: "/" + d.Product + "/" + broadcast + "/",
	}
	if scope.Restricted {
		return p
	}
	p.publish = make(map[string]struct{}, len(custom))
	for _, t := range custom {
		if CheckTemplate(t) != nil {
			continue
		}
		if t.Perm&Pub != 0 {
			p.publish[t.Path] = struct{}{}
		}
		if t.Perm&Sub != 0 {
			p.subscribe = append(p.subscribe, t.Path)
		}
	}
	return p
}

// Device returns the device that the permissions are for.
func (p *Permissions) Device() ident.Device { return p.device }

// Publish parses name and reports whether the device may publish to it. It allocates nothing; the Topic shares memory
// with name.
func (p *Permissions) Publish(name string) (Topic, bool) {
	if p == nil || len(name) > MaxBytes || strings.Count(name, "/") > MaxSlashes {
		return Topic{}, false
	}
	if path, ok := strings.CutPrefix(name, p.custom); ok {
		path, parse := strings.CutSuffix(path, parseSuffix)
		if _, ok := p.publish[path]; !ok {
			return Topic{}, false
		}
		return Topic{Kind: Custom, Device: p.device, Tail: path, Parse: parse}, true
	}
	path, ok := strings.CutPrefix(name, p.system)
	if !ok {
		return Topic{}, false
	}
	kind, tail := systemKind(path)
	if kind == Invalid || !p.allows(kind, Pub) {
		return Topic{}, false
	}
	return Topic{Kind: kind, Device: p.device, Tail: tail}, true
}

// allows reports whether the session's scope and the kind's direction allow dir.
func (p *Permissions) allows(k Kind, dir Direction) bool {
	if p.scope.Restricted && k != Password && k != PasswordReply {
		return false
	}
	if k.GatewayOnly() && !p.scope.Gateway {
		return false
	}
	return system[k].dir&dir != 0
}

// Subscribe reports whether the device may subscribe to filter.
//
// A filter must begin with the device's own /$system/P/D/, /P/D/ or with the product's /P/$broadcast/, spelled out: so
// whatever it matches is the device's own, and "#", "+/…" or "/P/+/…" are refused, as is every filter of another device.
// Below that, a filter without wildcards must be a topic that the device may subscribe to (table of section 3, a
// template with sub, any broadcast). One with wildcards must match at least one such topic; stock users subscribe to
// "/$system/P/D/#", and as the hub sends a device nothing that it may not receive, that gives away no more than asking
// for the topics one by one. A restricted session gets its password_reply and no wildcards.
func (p *Permissions) Subscribe(filter string) bool {
	if p == nil || len(filter) > MaxBytes || strings.Count(filter, "/") > MaxSlashes || ValidFilter(filter) != nil {
		return false
	}
	if p.scope.Restricted {
		return strings.HasPrefix(filter, p.system) && filter[len(p.system):] == system[PasswordReply].path
	}
	if path, ok := strings.CutPrefix(filter, p.system); ok {
		return p.subscribeSystem(path)
	}
	if path, ok := strings.CutPrefix(filter, p.custom); ok {
		for _, t := range p.subscribe {
			if overlaps(path, t) {
				return true
			}
		}
		return false
	}
	path, ok := strings.CutPrefix(filter, p.broadcast)
	return ok && overlaps(path, "#")
}

func (p *Permissions) subscribeSystem(path string) bool {
	if k, ok := byPath[path]; ok {
		return p.allows(k, Sub)
	}
	if !HasWildcard(path) {
		return false
	}
	for k := range Kinds {
		if p.allows(k, Sub) && Match(path, system[k].path) {
			return true
		}
	}
	return false
}

// overlaps reports whether a filter below the device asks for something that the template's path covers. A filter
// without wildcards must also be a well-formed path: nobody could publish to another.
func overlaps(path, template string) bool {
	if HasWildcard(path) {
		return Overlap(path, template)
	}
	return validPath(path) && Match(template, path)
}
