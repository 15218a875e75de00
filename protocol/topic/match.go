package topic

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxUTF8 is the longest string that MQTT can carry, in bytes.
const MaxUTF8 = 65_535

// Errors of ValidName and ValidFilter.
var (
	ErrEmpty    = errors.New("topic: empty")
	ErrTooLong  = errors.New("topic: longer than 65535 bytes")
	ErrText     = errors.New("topic: not UTF-8, or holds a null character")
	ErrWildcard = errors.New("topic: wildcard out of place")
)

// ValidName returns nil when s is a topic name that MQTT allows: UTF-8 of 1 to 65,535 bytes without U+0000 and without
// wildcards (MQTT 3.1.1 section 4.7).
func ValidName(s string) error {
	if err := validText(s); err != nil {
		return err
	}
	if strings.ContainsAny(s, "+#") {
		return ErrWildcard
	}
	return nil
}

// ValidFilter returns nil when s is a topic filter that MQTT allows: as ValidName, but + may stand for a whole level and
// # for the last ones.
func ValidFilter(s string) error {
	if err := validText(s); err != nil {
		return err
	}
	for {
		level, rest, more := strings.Cut(s, "/")
		if strings.ContainsAny(level, "+#") && (len(level) > 1 || level == "#" && more) {
			return ErrWildcard
		}
		if !more {
			return nil
		}
		s = rest
	}
}

func validText(s string) error {
	switch {
	case s == "":
		return ErrEmpty
	case len(s) > MaxUTF8:
		return ErrTooLong
	case strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s):
		return ErrText
	}
	return nil
}

// HasWildcard reports whether a valid filter matches more than the topic that it spells.
func HasWildcard(filter string) bool { return strings.ContainsAny(filter, "+#") }

// Match reports whether a valid filter matches a valid name by the rules of MQTT 3.1.1: "a/#" matches "a" too, and a
// wildcard in the first level does not match a name that starts with $. It allocates nothing.
func Match(filter, name string) bool {
	if name != "" && name[0] == '$' && filter != "" && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	for {
		f, filterRest, filterMore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		n, nameRest, nameMore := strings.Cut(name, "/")
		if f != "+" && f != n {
			return false
		}
		if !filterMore || !nameMore {
			return filterMore == nameMore || filterMore && filterRest == "#"
		}
		filter, name = filterRest, nameRest
	}
}

// Overlap reports whether some name is matched by both valid filters, neither of which starts with a wildcard in a
// tree of $-topics.
func Overlap(a, b string) bool {
	for {
		x, aRest, aMore := strings.Cut(a, "/")
		y, bRest, bMore := strings.Cut(b, "/")
		if x == "#" || y == "#" {
			return true
		}
		if x != "+" && y != "+" && x != y {
			return false
		}
		if !aMore || !bMore {
			return aMore == bMore || aMore && aRest == "#" || bMore && bRest == "#"
		}
		a, b = aRest, bRest
	}
}
