package shadowdoc

import (
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Desire returns what an application's change of Desired makes of d: each member of desired sets that key, null deletes
// it, and a desired that is null itself deletes all. The device is then told with Controls of the Outcome's document,
// unless nothing desired is left. desired is not kept.
func Desire(d *Document, desired codec.Value, now time.Time, o Options) Outcome {
	out := Outcome{doc: d, at: now.Unix(), merge: o.Merge}
	c := newChange(d, out.at, o.Merge, o)
	switch desired.Kind() {
	case codec.Null:
		c.desired.clear()
	case codec.Object:
		c.apply(&c.desired, desired)
	default:
		out.Code = message.CodeBad
		return out
	}
	return c.finish(out, false)
}
