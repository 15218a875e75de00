package rollout

import (
	"cmp"
	"fmt"
	"strings"
)

// Compare puts versions in order: by their parts between '.', '-' and '_', numbers by value and before words. Where one ends, the other is
// newer if it goes on with a number, and older if it goes on with a word: 1.2-rc1 < 1.2 < 1.2.1.
func Compare(a, b string) int {
	as, bs := parts(a), parts(b)
	for i := range max(len(as), len(bs)) {
		switch {
		case i == len(as):
			return -beyond(bs[i])
		case i == len(bs):
			return beyond(as[i])
		}
		if c := comparePart(as[i], bs[i]); c != 0 {
			return c
		}
	}
	return 0
}

func parts(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == '.' || r == '-' || r == '_' })
}

// beyond is 1 when a version that has this part more is newer than one that has not.
func beyond(part string) int {
	if isNumber(part) {
		return 1
	}
	return -1
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func comparePart(a, b string) int {
	an, bn := isNumber(a), isNumber(b)
	switch {
	case an && bn:
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	case an:
		return 1
	case bn:
		return -1
	}
	return strings.Compare(a, b)
}

// Range is a set of versions: alternatives, each of bounds that must all hold. The zero Range takes every version.
type Range struct{ any [][]bound }

type bound struct{ op, version string }

// ParseRange reads ">=1.2 <2.0 || 3.1": bounds beside each other must all hold, alternatives stand between "||". A bound is <, <=, >, >=, =, or
// != before a version, or a version alone. The empty text takes every version.
func ParseRange(text string) (r Range, err error) {
	if strings.TrimSpace(text) == "" {
		return r, nil
	}
	for alternative := range strings.SplitSeq(text, "||") {
		var all []bound
		for _, word := range strings.Fields(alternative) {
			v := strings.TrimLeft(word, "<>=!")
			op := word[:len(word)-len(v)]
			switch op {
			case "":
				op = "="
			case "<", "<=", ">", ">=", "=", "!=":
			default:
				return Range{}, fmt.Errorf("%q is no comparison", op)
			}
			if v == "" || len(v) > 32 || strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
				return Range{}, fmt.Errorf("%q is no version", v)
			}
			all = append(all, bound{op, v})
		}
		if all == nil {
			return Range{}, fmt.Errorf("an alternative is empty")
		}
		r.any = append(r.any, all)
	}
	return r, nil
}

// Takes tells whether the range has the version. A device that has not said what it runs is "", which only the zero Range takes.
func (r Range) Takes(version string) bool {
	if r.any == nil {
		return true
	}
	if version == "" {
		return false
	}
	for _, all := range r.any {
		if holds(all, version) {
			return true
		}
	}
	return false
}

func holds(all []bound, version string) bool {
	for _, b := range all {
		c := Compare(version, b.version)
		ok := map[string]bool{"<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0, "=": c == 0, "!=": c != 0}[b.op]
		if !ok {
			return false
		}
	}
	return true
}
