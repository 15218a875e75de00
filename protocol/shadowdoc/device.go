package shadowdoc

import (
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Device returns what a device's message on shadow/upstream makes of d. It never fails: what the device did wrong is
// the Outcome's Code, and the document stays as it is. req is not kept.
func Device(d *Document, req codec.Value, now time.Time, o Options) Outcome {
	out := Outcome{doc: d, at: now.Unix()}
	r, ok := parseRequest(req, o.Merge)
	if !ok {
		out.Code = message.CodeBad
		return out
	}
	out.delta, out.merge = r.delta, r.merge
	if r.versioned && !r.reset && r.version != int64(d.Version) {
		out.Code = message.CodeVersionConflict
		return out
	}
	c := newChange(d, out.at, r.merge, o)
	if r.method == methodUpdate {
		c.update(&r)
	} else {
		c.delete(&r)
	}
	return c.finish(out, r.reset)
}

const (
	methodUpdate = "update"
	methodDelete = "delete"
	resetVersion = -1 // a device's wish that the version start again at 0
)

// request is a device's message, its shape checked.
type request struct {
	method            string
	reported, desired codec.Value
	version           int64
	versioned, reset  bool
	merge, delta      bool
}

func parseRequest(v codec.Value, merge bool) (request, bool) {
	r := request{merge: merge}
	method, _ := v.Get("Method").Str()
	switch method {
	case methodUpdate:
		r.method = methodUpdate
	case methodDelete:
		r.method = methodDelete
	default:
		return r, false
	}
	if ver := versionOf(v); ver.Kind() != codec.Missing {
		n, ok := ver.Int()
		if !ok {
			return r, false
		}
		r.version, r.versioned, r.reset = n, true, n == resetVersion
	}
	if on, ok := v.Get("Merge").Bool(); ok {
		r.merge = on
	}
	r.delta, _ = v.Get("Delta").Bool()
	state := v.Get("State")
	if state.Kind() != codec.Object {
		return r, false
	}
	r.reported, r.desired = state.Get("Reported"), state.Get("Desired")
	return r, r.valid()
}

// versionOf finds the version under whatever capitals a device writes it with.
func versionOf(v codec.Value) codec.Value {
	found := v.Get("Version")
	if found.Kind() != codec.Missing {
		return found
	}
	if found = v.Get("version"); found.Kind() != codec.Missing {
		return found
	}
	v.Each(func(key string, e codec.Value) bool {
		if strings.EqualFold(key, "version") {
			found = e
			return false
		}
		return true
	})
	return found
}

// valid checks State: sections are objects or null, a device only ever clears desired keys, and what a delete lists it
// sets to null.
func (r *request) valid() bool {
	if !absentOrObject(r.reported) || !absentOrObject(r.desired) || !onlyNulls(r.desired, false) {
		return false
	}
	if r.method == methodUpdate {
		return true
	}
	if r.reported.Kind() == codec.Missing && r.desired.Kind() == codec.Missing {
		return false
	}
	return onlyNulls(r.reported, r.merge)
}

func absentOrObject(v codec.Value) bool {
	k := v.Kind()
	return k == codec.Missing || k == codec.Null || k == codec.Object
}

// onlyNulls tells whether the members of an object are all null; if nested, or objects of such.
func onlyNulls(v codec.Value, nested bool) bool {
	if v.Kind() != codec.Object {
		return true
	}
	ok := true
	v.Each(func(_ string, e codec.Value) bool {
		ok = e.Kind() == codec.Null || nested && e.Kind() == codec.Object && onlyNulls(e, true)
		return ok
	})
	return ok
}

// update moves the desired keys that the device has applied, then takes what it reports: a value reported in the same
// message wins over the moved one.
func (c *change) update(r *request) {
	switch r.desired.Kind() {
	case codec.Null:
		for i := range c.desired.section {
			c.move(c.desired.section[i])
		}
		c.desired.clear()
	case codec.Object:
		r.desired.Each(func(key string, _ codec.Value) bool {
			if i, ok := c.desired.find(key); ok {
				c.move(c.desired.section[i])
				c.desired.remove(key)
			}
			return true
		})
	}
	if r.reported.Kind() == codec.Object {
		c.apply(&c.reported, r.reported)
	}
}

// delete removes reported keys, and clears desired ones without moving them.
func (c *change) delete(r *request) {
	switch r.reported.Kind() {
	case codec.Null:
		c.reported.clear()
	case codec.Object:
		c.apply(&c.reported, r.reported)
	}
	switch r.desired.Kind() {
	case codec.Null:
		c.desired.clear()
	case codec.Object:
		c.apply(&c.desired, r.desired)
	}
}
