package shadowdoc

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// ErrDocument is wrapped by the errors of Parse.
var ErrDocument = errors.New("shadowdoc: not a shadow document")

// Parse reads a document as AppendDocument or AppendGet writes it: what a device gets on shadow/get_reply. What was left
// out for size is empty, and its keys' Timestamps are the document's. The revision is not part of it.
func Parse(wire []byte) (*Document, error) {
	doc, err := codec.Decode(wire, codec.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	defer doc.Release()
	v := doc.Root()
	version, ok := v.Get("Version").Int()
	if !ok || version < 0 || version > math.MaxInt32 {
		return nil, fmt.Errorf("%w: Version must be a whole number of 0 to %d", ErrDocument, math.MaxInt32)
	}
	stamp, ok := v.Get("Timestamp").Int()
	if !ok {
		return nil, fmt.Errorf("%w: Timestamp must be a whole number", ErrDocument)
	}
	d := &Document{Version: int32(version), Timestamp: stamp}
	if d.reported, err = parseSection(v, "Reported", stamp); err != nil {
		return nil, err
	}
	if d.desired, err = parseSection(v, "Desired", stamp); err != nil {
		return nil, err
	}
	return d, nil
}

func parseSection(v codec.Value, name string, stamp int64) (section, error) {
	values, meta := v.Path("State", name), v.Path("Metadata", name)
	if values.Kind() != codec.Object {
		return nil, fmt.Errorf("%w: State.%s must be an object", ErrDocument, name)
	}
	var s section
	var err error
	values.Each(func(key string, e codec.Value) bool {
		item := entry{key: strings.Clone(key), stamp: stamp}
		if item.value, err = canonical(e, DefaultMaxDepth); err != nil {
			err = fmt.Errorf("%w: State.%s: %w", ErrDocument, name, err)
			return false
		}
		m := meta.Get(key)
		if n, ok := m.Get("Timestamp").Int(); ok {
			item.stamp = n
		} else if m.Kind() == codec.Object {
			t := newTree(e, m, stamp)
			item.stamp, item.meta = t.newest(), string(t.appendMeta(nil))
		}
		s = append(s, item)
		return true
	})
	slices.SortFunc(s, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	return s, err
}

// newest returns the latest stamp of the leaves.
func (t *tree) newest() int64 {
	if !t.object || len(t.members) == 0 {
		return t.stamp
	}
	newest := int64(math.MinInt64)
	for _, m := range t.members {
		newest = max(newest, m.tree.newest())
	}
	return newest
}
