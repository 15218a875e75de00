// Package manifest is what a firmware update says of itself: which images there are, for which devices, after which other
// versions. On the wire it is a profile of the IETF SUIT manifest (RFC 9019, RFC 9124, draft-ietf-suit-manifest), drawn
// in bytes in docs/formats/manifest.md.
//
// A SUIT manifest is a small program. The profile allows exactly one program for a Manifest, so there is nothing to
// interpret: Parse reads the parameters, writes the manifest that has them, and refuses everything that is not the same
// byte for byte. Unknown commands, parameters and members are refused, never skipped.
//
// The package promises typed errors with a failure class and bounded work for whatever bytes it gets. It does not know
// keys: an Envelope's signatures are judged by firmware/signing, and until then its content is called unverified.
package manifest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
)

// Limits of a manifest and its envelope.
const (
	MaxSize        = 64 << 10 // bytes of an envelope, and so of a manifest
	MaxComponents  = 16       // images
	MaxRequired    = 16       // other modules that must be there
	MaxDescription = 512      // bytes
)

// Manifest is one release: images that are installed together or not at all.
type Manifest struct {
	// Sequence orders the releases for a class of device: an older one is not installed over a newer one.
	Sequence uint64
	// Components are the images, in ascending order of their modules.
	Components []Component
	// Requires are the rules for modules that this manifest does not install, in ascending order of the modules.
	Requires []Requirement
}

// Component is an image for one module.
type Component struct {
	Module        string
	Vendor, Class UUID
	Image         Payload
	// Index is the chunk index of the image, nil without one.
	Index *Payload
	// Version and Description are for people; Version is also what a device reports when it runs the image.
	Version, Description string
	// From is what must be installed of this module: a release that can only be reached from some others.
	From Rule
}

// Payload is a file that is known by its digest.
type Payload struct {
	Digest Digest
	Size   uint64
}

// Requirement is a rule for another module.
type Requirement struct {
	Module string
	Rule   Rule
}

// The errors of Parse, beside those of canon. All are of the class SIG: such a manifest is not to be tried again.
var (
	ErrUnknownCommand = errors.New("unknown SUIT command")
	ErrNotProfile     = errors.New("not in the form of the profile")
	ErrInvalid        = errors.New("invalid")
)

func malformed(err error) error { return failure.New(failure.Signature, "manifest: %w", err) }

func invalid(format string, args ...any) error {
	return failure.New(failure.Signature, "manifest: %w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// Check tells what Encode would refuse.
func (m *Manifest) Check() error {
	switch {
	case m.Sequence == 0:
		return invalid("sequence number 0; the first is 1")
	case len(m.Components) == 0 || len(m.Components) > MaxComponents:
		return invalid("%d images, want 1 to %d", len(m.Components), MaxComponents)
	case len(m.Requires) > MaxRequired:
		return invalid("%d required modules, at most %d", len(m.Requires), MaxRequired)
	}
	if !ascending(m.Components, func(c Component) string { return c.Module }) || !ascending(m.Requires, func(r Requirement) string { return r.Module }) {
		return invalid("modules must be in ascending order, each once")
	}
	for _, c := range m.Components {
		if err := c.check(); err != nil {
			return invalid("module %.40q: %w", c.Module, err)
		}
	}
	for _, r := range m.Requires {
		if err := r.check(m); err != nil {
			return invalid("required module %.40q: %w", r.Module, err)
		}
	}
	return nil
}

func ascending[T any](list []T, name func(T) string) bool {
	return slices.IsSortedFunc(list, func(a, b T) int {
		if name(a) == name(b) {
			return -1 // equal ones are not in order either
		}
		return strings.Compare(name(a), name(b))
	})
}

func (c *Component) check() error {
	switch {
	case c.Vendor.IsZero() || c.Class.IsZero():
		return errors.New("no vendor or class identifier")
	case c.Image.Size == 0 || c.Image.Digest == Digest{}:
		return errors.New("no size or digest of the image")
	case c.Index != nil && (c.Index.Size == 0 || c.Index.Digest == Digest{}):
		return errors.New("no size or digest of the chunk index")
	case c.Image.Size > math.MaxInt64 || c.Index != nil && c.Index.Size > math.MaxInt64:
		return errors.New("a size that no file has")
	case len(c.Description) > MaxDescription || !utf8.ValidString(c.Description):
		return fmt.Errorf("the description must be UTF-8 of at most %d bytes", MaxDescription)
	}
	return errors.Join(CheckModule(c.Module), CheckVersion(c.Version), c.From.check())
}

func (r *Requirement) check(m *Manifest) error {
	if r.Rule.IsZero() {
		return errors.New("no rule")
	}
	if m.Component(r.Module) != nil {
		return errors.New("the manifest installs it; the rule belongs to its component")
	}
	return errors.Join(CheckModule(r.Module), r.Rule.check())
}

// Component is the image for a module, nil if there is none.
func (m *Manifest) Component(module string) *Component {
	for i := range m.Components {
		if m.Components[i].Module == module {
			return &m.Components[i]
		}
	}
	return nil
}

// DigestOf is the digest by which an encoded manifest is known: SHA-256 over the byte string that holds it in the envelope,
// with that byte string's head.
func DigestOf(manifest []byte) Digest {
	b, err := canon.Marshal(manifest)
	if err != nil {
		panic(err) // a byte string always encodes
	}
	return sha256.Sum256(b)
}
