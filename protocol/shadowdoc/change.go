package shadowdoc

import (
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// change is the next document in the making.
type change struct {
	from              *Document
	now               int64
	merge             bool
	size, depth       int
	reported, desired draft
	err               error
}

func newChange(d *Document, now int64, merge bool, o Options) change {
	o = o.withDefaults()
	return change{
		from: d, now: now, merge: merge, size: o.MaxSize, depth: o.MaxDepth,
		reported: draft{section: d.reported}, desired: draft{section: d.desired},
	}
}

// finish puts the next document into out, if there is one and it is within the limits. A document that was too large
// before, because the limit is younger, may still shrink.
func (c *change) finish(out Outcome, reset bool) Outcome {
	if c.err != nil {
		out.Code = message.CodeRange
		return out
	}
	out.Code = message.CodeOK
	restarts := reset && c.from.Version != 0
	if !c.reported.changed && !c.desired.changed && !restarts {
		return out
	}
	next := c.from.next(c.reported.section, c.desired.section, c.now, reset)
	if next.tooLarge(c.size) && next.size() > c.from.size() {
		out.Code = message.CodeRange
		return out
	}
	out.Next, out.doc = next, next
	return out
}

// tooLarge compares the document, as AppendDocument writes it, with size. It writes it only when an estimate from above
// does not settle it.
func (d *Document) tooLarge(size int) bool {
	const escape = 6
	return d.estimate(escape) > size && d.size() > size
}

// Room is about how long AppendDocument's text is, rather more: keys seldom need escapes.
func (d *Document) Room() int { return d.estimate(1) }

// estimate is how long AppendDocument's text is at most when the bytes of a key take no more than escape each.
func (d *Document) estimate(escape int) int {
	const frame, stamp = 200, 48
	most := frame
	for _, s := range [...]section{d.reported, d.desired} {
		for i := range s {
			most += 2*escape*len(s[i].key) + len(s[i].value) + len(s[i].meta) + stamp
		}
	}
	return most
}

// size is the length of the document as AppendDocument writes it.
func (d *Document) size() int { return len(d.AppendDocument(nil)) }

// apply takes the members of patch into a section, null deleting.
func (c *change) apply(to *draft, patch codec.Value) {
	to.room = patch.Len()
	if c.merge {
		c.applyMerging(to, patch)
		return
	}
	c.applyFlat(to, patch)
}

// span is a key and its value in the text of a flat patch.
type span struct {
	key, value, end int
	null            bool
}

// applyFlat writes all keys and values of the patch into one text, which the new entries share.
func (c *change) applyFlat(to *draft, patch codec.Value) {
	var spanRoom [16]span
	var textRoom [512]byte
	spans, text := spanRoom[:0], textRoom[:0]
	patch.Each(func(key string, v codec.Value) bool {
		s := span{key: len(text), value: len(text) + len(key)}
		text = append(text, key...)
		if s.null = v.Kind() == codec.Null; !s.null {
			var err error
			if text, err = appendCanonical(text, v, c.depth-1); err != nil {
				c.err = err
				return false
			}
		}
		s.end = len(text)
		spans = append(spans, s)
		return true
	})
	if c.err != nil {
		return
	}
	all := string(text)
	for _, s := range spans {
		key := all[s.key:s.value]
		if s.null {
			to.remove(key)
			continue
		}
		to.set(entry{key: key, value: all[s.value:s.end], stamp: c.now})
	}
}

// move takes a desired key into Reported.
func (c *change) move(e entry) {
	if c.merge {
		c.mergeText(&c.reported, e.key, e.value)
		return
	}
	c.reported.room = len(c.desired.section)
	c.reported.set(entry{key: e.key, value: e.value, stamp: c.now})
}
