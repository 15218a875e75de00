package shadowdoc

import (
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// tree is a value taken apart for a merge: a leaf with its JSON, or an object with its members, ascending.
type tree struct {
	leaf    string
	stamp   int64
	object  bool
	members []member
}

type member struct {
	key  string
	tree *tree
}

func (t *tree) find(key string) (int, bool) {
	return slices.BinarySearchFunc(t.members, key, func(m member, k string) int { return strings.Compare(m.key, k) })
}

// applyMerging is apply by the rules of RFC 7396 within each key.
func (c *change) applyMerging(to *draft, patch codec.Value) {
	patch.Each(func(key string, v codec.Value) bool {
		c.mergeKey(to, strings.Clone(key), v)
		return c.err == nil
	})
}

// mergeText merges a value that is JSON text.
func (c *change) mergeText(to *draft, key, value string) {
	doc, err := codec.Decode([]byte(value), codec.DefaultLimits())
	if err != nil {
		c.err = err
		return
	}
	defer doc.Release()
	c.mergeKey(to, key, doc.Root())
}

func (c *change) mergeKey(to *draft, key string, v codec.Value) {
	var old *tree
	if i, ok := to.find(key); ok {
		if v.Kind() == codec.Null {
			to.remove(key)
			return
		}
		if old, c.err = to.section[i].tree(); c.err != nil {
			return
		}
	}
	t := c.patch(old, v, c.depth-1)
	if c.err != nil || t == nil || t == old {
		return
	}
	e := entry{key: key, value: string(t.appendValue(nil)), stamp: c.now}
	if t.object && len(t.members) > 0 {
		e.meta = string(t.appendMeta(nil))
	}
	to.set(e)
}

// patch returns old with v merged into it; nil for nothing; old itself if v deletes only what is not there.
func (c *change) patch(old *tree, v codec.Value, depth int) *tree {
	switch v.Kind() {
	case codec.Null:
		return nil
	case codec.Object:
	default:
		leaf, err := canonical(v, depth)
		if err != nil {
			c.err = err
		}
		return &tree{leaf: leaf, stamp: c.now}
	}
	if depth <= 0 {
		c.err = errTooDeep
		return old
	}
	t, changed := &tree{object: true, stamp: c.now}, true
	if old != nil && old.object {
		t.members, changed = slices.Clone(old.members), false
	}
	v.Each(func(key string, e codec.Value) bool {
		i, ok := t.find(key)
		var was, is *tree
		if ok {
			was = t.members[i].tree
		}
		if is = c.patch(was, e, depth-1); is == was {
			return c.err == nil
		}
		changed = true
		switch {
		case is == nil:
			t.members = slices.Delete(t.members, i, i+1)
		case ok:
			t.members[i].tree = is
		default:
			t.members = slices.Insert(t.members, i, member{key: strings.Clone(key), tree: is})
		}
		return c.err == nil
	})
	if !changed {
		return old
	}
	return t
}

// tree takes an entry apart.
func (e *entry) tree() (*tree, error) {
	value, err := codec.Decode([]byte(e.value), codec.DefaultLimits())
	if err != nil {
		return nil, err
	}
	defer value.Release()
	if e.meta == "" {
		return newTree(value.Root(), codec.Value{}, e.stamp), nil
	}
	meta, err := codec.Decode([]byte(e.meta), codec.DefaultLimits())
	if err != nil {
		return nil, err
	}
	defer meta.Release()
	return newTree(value.Root(), meta.Root(), e.stamp), nil
}

// newTree pairs a value with its metadata. {"Timestamp":n} covers all below it; a member that is called Timestamp has an
// object there.
func newTree(v, meta codec.Value, stamp int64) *tree {
	if n, ok := meta.Get("Timestamp").Int(); ok {
		stamp, meta = n, codec.Value{}
	}
	if v.Kind() != codec.Object {
		return &tree{leaf: string(v.AppendJSON(nil)), stamp: stamp}
	}
	t := &tree{object: true, stamp: stamp}
	v.Each(func(key string, e codec.Value) bool {
		t.members = append(t.members, member{key: strings.Clone(key), tree: newTree(e, meta.Get(key), stamp)})
		return true
	})
	slices.SortFunc(t.members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	return t
}

func (t *tree) appendValue(dst []byte) []byte {
	if !t.object {
		return append(dst, t.leaf...)
	}
	return t.appendMembers(dst, (*tree).appendValue)
}

func (t *tree) appendMeta(dst []byte) []byte {
	if !t.object || len(t.members) == 0 {
		return appendStamp(dst, t.stamp)
	}
	return t.appendMembers(dst, (*tree).appendMeta)
}

func (t *tree) appendMembers(dst []byte, write func(*tree, []byte) []byte) []byte {
	dst = append(dst, '{')
	for i, m := range t.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(codec.AppendString(dst, m.key), ':')
		dst = write(m.tree, dst)
	}
	return append(dst, '}')
}

// difference returns what of the desired JSON differs from the reported one, member by member; empty for nothing.
func difference(desired, reported string) string {
	want, err := (&entry{value: desired}).tree()
	if err != nil {
		return desired
	}
	have, err := (&entry{value: reported}).tree()
	if err != nil {
		return desired
	}
	left := want.without(have)
	if left == nil {
		return ""
	}
	return string(left.appendValue(nil))
}

// without returns the members of t that other does not have alike; nil for none.
func (t *tree) without(other *tree) *tree {
	if !t.object || !other.object {
		if !t.object && !other.object && same(t.leaf, other.leaf) {
			return nil
		}
		return t
	}
	left := &tree{object: true}
	for _, m := range t.members {
		i, ok := other.find(m.key)
		if !ok {
			left.members = append(left.members, m)
			continue
		}
		if part := m.tree.without(other.members[i].tree); part != nil {
			left.members = append(left.members, member{key: m.key, tree: part})
		}
	}
	if len(left.members) == 0 {
		return nil
	}
	return left
}
