package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Version is a version that can be compared: 2.0.1 is [2, 0, 1]. A negative number is a step before the release: -1 a
// candidate, -2 a beta, -3 an alpha, with its number behind it; 2.0-rc1 is [2, 0, -1, 1].
type Version []int64

// before are the words for steps before a release.
var before = []string{"rc", "beta", "alpha"}

// ErrIncomparable is returned for a version's text that has no order.
var ErrIncomparable = errors.New("manifest: version has no order; it must be numbers with dots, and may end in -alpha, -beta or -rc with a number")

// ParseVersion reads a version's text. A leading v is left out.
func ParseVersion(text string) (Version, error) {
	numbers, step, hasStep := strings.Cut(strings.TrimPrefix(text, "v"), "-")
	var v Version
	for part := range strings.SplitSeq(numbers, ".") {
		n, ok := number(part)
		if !ok {
			return nil, fmt.Errorf("%q: %w", text, ErrIncomparable)
		}
		v = append(v, n)
	}
	if !hasStep {
		return v, nil
	}
	for i, word := range before {
		rest, ok := strings.CutPrefix(step, word)
		if !ok {
			continue
		}
		v = append(v, -1-int64(i))
		if rest = strings.TrimPrefix(rest, "."); rest == "" {
			return v, nil
		}
		if n, ok := number(rest); ok {
			return append(v, n), nil
		}
	}
	return nil, fmt.Errorf("%q: %w", text, ErrIncomparable)
}

func number(text string) (int64, bool) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int64(n), err == nil
}

// Compare orders versions number by number, first those of the release, then the step before it; what is not there is 0,
// so that 2 is 2.0, and after 2.0-rc1.
func (v Version) Compare(w Version) int {
	release, step := v.split()
	otherRelease, otherStep := w.split()
	return cmp.Or(compareNumbers(release, otherRelease), compareNumbers(step, otherStep))
}

// split parts the numbers of the release from those of a step before it.
func (v Version) split() (release, step []int64) {
	i := slices.IndexFunc(v, func(n int64) bool { return n < 0 })
	if i < 0 {
		return v, nil
	}
	return v[:i], v[i:]
}

func compareNumbers(a, b []int64) int {
	at := func(list []int64, i int) int64 {
		if i < len(list) {
			return list[i]
		}
		return 0
	}
	for i := range max(len(a), len(b)) {
		if order := cmp.Compare(at(a, i), at(b, i)); order != 0 {
			return order
		}
	}
	return 0
}

func (v Version) String() string {
	var b strings.Builder
	for i, n := range v {
		switch {
		case n < 0 && n >= -int64(len(before)):
			b.WriteString("-" + before[-n-1])
			continue
		case i > 0 && v[i-1] >= 0 && n >= 0:
			b.WriteByte('.')
		}
		b.WriteString(strconv.FormatInt(n, 10))
	}
	return b.String()
}

// Comparison is how a version must be to another, in the numbers of the SUIT manifest.
type Comparison uint8

// The comparisons. The zero value asks for nothing.
const (
	Greater Comparison = iota + 1
	GreaterEqual
	Equal
	LesserEqual
	Lesser
)

var signs = []string{"", ">", ">=", "=", "<=", "<"}

func (c Comparison) String() string { return signs[c] }

func (c Comparison) holds(order int) bool {
	switch c {
	case Greater:
		return order > 0
	case GreaterEqual:
		return order >= 0
	case Equal:
		return order == 0
	case LesserEqual:
		return order <= 0
	case Lesser:
		return order < 0
	}
	return false
}

// Rule is what must be installed of a module before an update: a version, a sequence number, or both. The zero value asks
// for nothing. Of the two only the sequence number orders all releases, whatever their versions are called.
type Rule struct {
	Comparison Comparison
	Version    Version
	Sequence   uint64 // of the installed manifest, at least
}

// ParseRule reads a rule: >=1.4, <2, =1.0-rc1, or #7 for a sequence number of at least 7; several with commas between.
func ParseRule(text string) (Rule, error) {
	var r Rule
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if digits, ok := strings.CutPrefix(part, "#"); ok {
			n, err := strconv.ParseUint(digits, 10, 64)
			if err != nil || n == 0 || r.Sequence != 0 {
				return Rule{}, fmt.Errorf("rule %q: want one sequence number behind #, from 1", text)
			}
			r.Sequence = n
			continue
		}
		number := strings.TrimLeft(part, "<>=")
		c := slices.Index(signs, strings.TrimSuffix(part, number))
		if c < 1 || r.Comparison != 0 {
			return Rule{}, fmt.Errorf("rule %q: want one of > >= = <= < before a version, or #N for a sequence number", text)
		}
		v, err := ParseVersion(number)
		if err != nil {
			return Rule{}, fmt.Errorf("rule %q: %w", text, err)
		}
		r.Comparison, r.Version = Comparison(c), v
	}
	return r, nil
}

// IsZero tells whether the rule asks for nothing.
func (r Rule) IsZero() bool { return r.Comparison == 0 && r.Sequence == 0 }

// String is what ParseRule reads.
func (r Rule) String() string {
	var parts []string
	if r.Comparison != 0 {
		parts = append(parts, r.Comparison.String()+r.Version.String())
	}
	if r.Sequence != 0 {
		parts = append(parts, "#"+strconv.FormatUint(r.Sequence, 10))
	}
	return strings.Join(parts, ",")
}

// maxVersion bounds the numbers of a version.
const maxVersion = 8

func (r Rule) check() error {
	switch {
	case r.Comparison > Lesser:
		return fmt.Errorf("comparison %d is unknown", r.Comparison)
	case (r.Comparison == 0) != (len(r.Version) == 0):
		return errors.New("a comparison needs a version, and a version a comparison")
	case len(r.Version) > maxVersion:
		return fmt.Errorf("version of %d numbers, at most %d", len(r.Version), maxVersion)
	}
	return nil
}
