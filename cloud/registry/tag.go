package registry

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/hawser-iot/hawser/cloud/registry/filter"
)

// Limits of a device's tags.
const (
	MaxTags     = 32
	MaxTagValue = 128 // characters
)

// Tags are the labels that operators give a device. The names are of 1..64 of [A-Za-z0-9_.-].
type Tags map[string]string

func checkTags(tags Tags) error {
	if len(tags) > MaxTags {
		return &LimitError{"tags of a device", MaxTags}
	}
	for name, value := range tags {
		if !filter.GoodTag(name) {
			return &ErrInvalid{"tags", fmt.Sprintf("%q: a name has 1 to 64 letters, digits, _ . or -", name)}
		}
		if err := checkText("tags."+name, value, 0, MaxTagValue); err != nil {
			return err
		}
		if strings.ContainsFunc(value, unicode.IsControl) {
			return &ErrInvalid{"tags." + name, "has control characters"}
		}
	}
	return nil
}

// encode is the stored form: name=value in lines, sorted, with a newline before and behind each, so that a search for a
// tag or for the beginning of its value is one for a text in a text.
func (t Tags) encode() string {
	if len(t) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteByte('\n')
	for _, name := range slices.Sorted(maps.Keys(t)) {
		b.WriteString(name + "=" + t[name] + "\n")
	}
	return b.String()
}

func decodeTags(s string) Tags {
	if s == "" {
		return nil
	}
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	tags := make(Tags, len(lines))
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		tags[name] = value
	}
	return tags
}
