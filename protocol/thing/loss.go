package thing

import (
	"fmt"
	"slices"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// Loss is something of a definition that another notation cannot hold, or that a foreign one has and this one does not.
type Loss struct {
	Path   string // where in the document that was read
	Reason string
}

// Losses gathers what is lost on the way between two notations. It is bounded, as documents are.
type Losses []Loss

// maxLosses bounds what is reported of one document; a last entry says that there is more.
const maxLosses = 1000

// Add notes a loss.
func (l *Losses) Add(path, format string, args ...any) {
	switch {
	case len(*l) < maxLosses:
		*l = append(*l, Loss{path, fmt.Sprintf(format, args...)})
	case len(*l) == maxLosses:
		*l = append(*l, Loss{path, "and more, which is not listed"})
	}
}

// Unknown notes the members of v that are not among known.
func (l *Losses) Unknown(v codec.Value, path string, known ...string) {
	v.Each(func(key string, _ codec.Value) bool {
		if !slices.Contains(known, key) {
			l.Add(path+"."+key, "has no place in a thing model here")
		}
		return true
	})
}
