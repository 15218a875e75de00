package shadowdoc

import (
	"strconv"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// AppendDiff appends what changed from one document to the next: {"reported":{…},"desired":{…}} with each key whose value is
// another, null for one that has gone. Keys that do not fit limit bytes are only counted, in "omitted". ok is false, and nothing
// is appended, when no value is another: a key that was set to what it was is no change here.
func AppendDiff(dst []byte, from, to *Document, limit int) (out []byte, ok bool) {
	d := diff{dst: dst, start: len(dst), limit: limit}
	d.dst = append(d.dst, '{')
	d.section("reported", from.reported, to.reported)
	d.section("desired", from.desired, to.desired)
	if d.keys == 0 && d.omitted == 0 {
		return dst, false
	}
	if d.omitted > 0 {
		if d.keys > 0 {
			d.dst = append(d.dst, ',')
		}
		d.dst = strconv.AppendInt(append(d.dst, `"omitted":`...), int64(d.omitted), 10)
	}
	return append(d.dst, '}'), true
}

// diff is one in the making.
type diff struct {
	dst           []byte
	start, limit  int
	keys, omitted int
}

// section walks two sections, which are both in ascending order.
func (d *diff) section(name string, from, to section) {
	open := false
	note := func(key, value string) {
		begin := len(d.dst)
		switch {
		case open:
			d.dst = append(d.dst, ',')
		case d.keys > 0:
			d.dst = append(append(append(d.dst, `,"`...), name...), `":{`...)
		default:
			d.dst = append(append(append(d.dst, '"'), name...), `":{`...)
		}
		d.dst = append(append(codec.AppendString(d.dst, key), ':'), value...)
		if len(d.dst)-d.start > d.limit {
			d.dst = d.dst[:begin]
			d.omitted++
			return
		}
		open = true
		d.keys++
	}
	for len(from) > 0 || len(to) > 0 {
		switch {
		case len(from) == 0 || len(to) > 0 && to[0].key < from[0].key:
			note(to[0].key, to[0].value)
			to = to[1:]
		case len(to) == 0 || from[0].key < to[0].key:
			note(from[0].key, "null")
			from = from[1:]
		default:
			if from[0].value != to[0].value {
				note(to[0].key, to[0].value)
			}
			from, to = from[1:], to[1:]
		}
	}
	if open {
		d.dst = append(d.dst, '}')
	}
}
