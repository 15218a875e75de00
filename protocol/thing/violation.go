package thing

import (
	"strings"

	"github.com/hawser-iot/hawser/protocol/message"
)

// Violation is a value that its definition refuses. Its text goes to devices whose JSON readers search for characters,
// so it holds none of {}[]" and needs no escapes.
type Violation struct {
	Code       message.Code // CodeRange for a bound, CodeBad for a wrong type, else what is undefined or read-only
	Identifier string       // which value; members of structs after a dot (pos.lat), elements of arrays too (track.3)
	Bound      string       // what is asked for, for example "must be at most 100"
}

func (v *Violation) Error() string { return plain(v.Identifier) + " " + plain(v.Bound) }

// maxPlain bounds what a Violation repeats of a name that a device made up.
const maxPlain = 160

// plain replaces what a device's reader would stumble over. Identifiers that are defined never need it; those that a
// device sent may hold anything.
func plain(s string) string {
	if len(s) > maxPlain {
		s = s[:maxPlain]
	}
	if strings.IndexFunc(s, ugly) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if ugly(r) {
			return '?'
		}
		return r
	}, s)
}

func ugly(r rune) bool {
	return r < ' ' || r > '~' || strings.ContainsRune(`{}[]"\`, r)
}

// under puts a violation of a part below the name of the whole. A name may be memory of the message: a violation outlives it.
func (v *Violation) under(name string) *Violation {
	if v.Identifier == "" {
		v.Identifier = strings.Clone(name)
	} else {
		v.Identifier = name + "." + v.Identifier
	}
	return v
}

func outOfRange(bound string) *Violation { return &Violation{Code: message.CodeRange, Bound: bound} }

func wrongType(bound string) *Violation { return &Violation{Code: message.CodeBad, Bound: bound} }
