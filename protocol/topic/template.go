package topic

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// MaxTemplates is the largest number of custom topics of a product.
const MaxTemplates = 50

// Template is a custom topic of a product: the path below each of its devices and what a device may do with it.
type Template struct {
	Path string    // such as "upload/event"; with Perm Sub also "cmd/+" and "cfg/#"
	Perm Direction // Pub, Sub or PubSub
	// Description is for people.
	Description string
}

// Errors of CheckTemplate.
var (
	ErrTemplatePerm     = errors.New("topic: permission must be pub, sub or pubsub")
	ErrTemplateWildcard = errors.New("topic: + and # are for sub only, as a whole level, and # the last one")
)

// DefaultTemplates returns the custom topics that a new product has.
func DefaultTemplates() []Template {
	return []Template{{Path: "upload", Perm: Pub}, {Path: "upload/event", Perm: Pub}, {Path: "set", Perm: Sub}}
}

// CheckTemplate returns nil for a template that a product may have: 1 to 5 levels of 1 to 64 characters of
// A-Za-z0-9_@:-, wildcards only when devices only subscribe.
func CheckTemplate(t Template) error {
	if t.Perm != Pub && t.Perm != Sub && t.Perm != PubSub {
		return ErrTemplatePerm
	}
	if validPath(t.Path) {
		return nil
	}
	if !HasWildcard(t.Path) {
		return fmt.Errorf("custom topic: %w", ErrPath)
	}
	if t.Perm != Sub || ValidFilter(t.Path) != nil {
		return ErrTemplateWildcard
	}
	// Wildcards are in order; what is left must be a path once they are read as words.
	if !validPath(strings.NewReplacer("+", "x", "#", "x").Replace(t.Path)) {
		return fmt.Errorf("custom topic: %w", ErrPath)
	}
	return nil
}

// Filter returns the topic filter that the template means for one device.
func (t Template) Filter(d ident.Device) string { return Name(d, t.Path) }
