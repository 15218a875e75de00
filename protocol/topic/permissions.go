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

// Rules is what the devices of a product may publish and subscribe to. It is compiled once, immutable, and safe for concurrent use.
type Rules struct {
	scope     Scope
	publish   map[string]struct{} // paths of custom topics with Pub
	subscribe []string            // paths of custom topics with Sub, wildcards included
}

// CompileRules prepares the rules of a product with these custom topics. Templates that CheckTemplate refuses are left out.
func CompileRules(custom []Template, scope Scope) *Rules {
	r := &Rules{scope: scope}
	if scope.Restricted {
		return r
	}
	r.publish = make(map[string]struct{}, len(custom))
	for _, t := range custom {
		if CheckTemplate(t) != nil {
			continue
		}
		if t.Perm&Pub != 0 {
			r.publish[t.Path] = struct{}{}
		}
		if t.Perm&Sub != 0 {
			r.subscribe = append(r.subscribe, t.Path)
		}
	}
	return r
}

// For returns the permissions of one device; they share r.
func (r *Rules) For(d ident.Device) *Permissions { return &Permissions{Rules: r, device: d} }

// Permissions is what one device may publish and subscribe to: the rules of its product for its own topics. It is immutable and safe
// for concurrent use. The nil Permissions allows nothing.
//
// It speaks for one identity. On a gateway's connection the caller asks the gateway's own Permissions for the gateway's
// topics, and for a topic of a logged-in sub-device those of that sub-device.
type Permissions struct {
	*Rules
	device ident.Device
}

// Compile prepares the permissions of a single device; those of many share their product's CompileRules.
func Compile(d ident.Device, custom []Template, scope Scope) *Permissions {
	return CompileRules(custom, scope).For(d)
}

// cutSystem takes "/$system/P/D/" off name.
func (p *Permissions) cutSystem(name string) (path string, ok bool) {
	path, ok = strings.CutPrefix(name, systemPrefix)
	if !ok {
		return name, false
	}
	return p.cutDevice(path)
}

// cutCustom takes "/P/D/" off name.
func (p *Permissions) cutCustom(name string) (path string, ok bool) {
	path, ok = strings.CutPrefix(name, "/")
	if !ok {
		return name, false
	}
	return p.cutDevice(path)
}

// cutDevice takes "P/D/" off name.
func (p *Permissions) cutDevice(name string) (path string, ok bool) {
	if path, ok = cutLevel(name, p.device.Product); ok {
		path, ok = cutLevel(path, p.device.SN)
	}
	return path, ok
}

// cutBroadcast takes "/P/$broadcast/" off name.
func (p *Permissions) cutBroadcast(name string) (path string, ok bool) {
	if path, ok = strings.CutPrefix(name, "/"); !ok {
		return name, false
	}
	if path, ok = cutLevel(path, p.device.Product); ok {
		path, ok = cutLevel(path, broadcast)
	}
	return path, ok
}

// cutLevel takes "level/" off name.
func cutLevel(name, level string) (rest string, ok bool) {
	if len(name) <= len(level) || name[len(level)] != '/' || name[:len(level)] != level {
		return name, false
	}
	return name[len(level)+1:], true
}

// Device returns the device that the permissions are for.
func (p *Permissions) Device() ident.Device { return p.device }

// Publish parses name and reports whether the device may publish to it. It allocates nothing; the Topic shares memory
// with name.
func (p *Permissions) Publish(name string) (Topic, bool) {
	if p == nil || len(name) > MaxBytes || strings.Count(name, "/") > MaxSlashes {
		return Topic{}, false
	}
	if path, ok := p.cutCustom(name); ok {
		path, parse := strings.CutSuffix(path, parseSuffix)
		if _, ok := p.publish[path]; !ok {
			return Topic{}, false
		}
		return Topic{Kind: Custom, Device: p.device, Tail: path, Parse: parse}, true
	}
	path, ok := p.cutSystem(name)
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
func (r *Rules) allows(k Kind, dir Direction) bool {
	if r.scope.Restricted && k != Password && k != PasswordReply {
		return false
	}
	if k.GatewayOnly() && !r.scope.Gateway {
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
		path, ok := p.cutSystem(filter)
		return ok && path == system[PasswordReply].path
	}
	if path, ok := p.cutSystem(filter); ok {
		return p.subscribeSystem(path)
	}
	if path, ok := p.cutCustom(filter); ok {
		for _, t := range p.subscribe {
			if overlaps(path, t) {
				return true
			}
		}
		return false
	}
	path, ok := p.cutBroadcast(filter)
	return ok && overlaps(path, "#")
}

func (r *Rules) subscribeSystem(path string) bool {
	if k, ok := byPath[path]; ok {
		return r.allows(k, Sub)
	}
	if !HasWildcard(path) {
		return false
	}
	for k := range Kinds {
		if r.allows(k, Sub) && Match(path, system[k].path) {
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
