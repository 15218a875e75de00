package shadowsync

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/hawser-iot/hawser/protocol/shadowdoc"
)

// Value is a key's value as compact JSON and when it was set, Unix seconds.
type Value struct {
	JSON string `json:"json"`
	At   int64  `json:"at"`
}

// Side is a shadow as one side has it.
type Side struct {
	Reported map[string]Value `json:"reported"`
	Desired  map[string]Value `json:"desired"`
}

// sideOf takes a document apart.
func sideOf(d *shadowdoc.Document) (Side, error) {
	var doc struct {
		State, Metadata struct{ Reported, Desired map[string]json.RawMessage }
		Timestamp       int64
	}
	if err := json.Unmarshal(d.AppendDocument(nil), &doc); err != nil {
		return Side{}, fmt.Errorf("shadowsync: %w", err)
	}
	section := func(values, meta map[string]json.RawMessage) map[string]Value {
		m := make(map[string]Value, len(values))
		for k, v := range values {
			var at struct{ Timestamp int64 }
			if json.Unmarshal(meta[k], &at) != nil || at.Timestamp == 0 {
				at.Timestamp = doc.Timestamp // of a merged object
			}
			m[k] = Value{string(v), at.Timestamp}
		}
		return m
	}
	return Side{section(doc.State.Reported, doc.Metadata.Reported), section(doc.State.Desired, doc.Metadata.Desired)}, nil
}

// Policy says which side a key follows when both have changed it.
type Policy string

// The policies.
const (
	DeviceWins Policy = "device" // what the device reported, or was desired on the gateway
	CloudWins  Policy = "cloud"
	Newest     Policy = "newest" // what was set last, by the clocks of both; the cloud's when they say the same
)

// Check reports a policy that is none.
func (p Policy) Check() error {
	if p != DeviceWins && p != CloudWins && p != Newest {
		return fmt.Errorf("shadowsync: %q is none of device, cloud, newest", string(p))
	}
	return nil
}

// Conflict is a key that both sides have changed since they agreed. A value that is nil has been deleted there.
type Conflict struct {
	Key    string
	Base   *Value // what both had
	Device *Value // reported, or desired on the gateway
	Cloud  *Value
	// Desired: the cloud's value is one that it desires; else it is one that the hub has as reported.
	Desired bool
}

// Decide answers a Conflict: DeviceWins or CloudWins.
type Decide func(c Conflict) Policy

// changes are what Merge wants of one side: a value that is nil deletes its key.
type changes struct{ reported, desired map[string]*Value }

func newChanges() changes { return changes{make(map[string]*Value), make(map[string]*Value)} }

func (c *changes) none() bool { return len(c.reported)+len(c.desired) == 0 }

// merge joins what changed on both sides since they had base: what the local document gets, and what the hub is to be told, where desired
// keys are only ever cleared.
func merge(base, local, cloud Side, decide Decide) (down, up changes) {
	down, up = newChanges(), newChanges()
	for _, k := range keys(base.Reported, local.Reported, cloud.Reported) {
		mergeReported(k, base, local, cloud, decide, &down, &up)
	}
	for _, k := range keys(base.Desired, local.Desired, cloud.Desired) {
		mergeDesired(k, base, local, cloud, decide, &down, &up)
	}
	for k := range up.desired {
		// A hub that clears a desired key takes its value for reported, unless it is told another.
		if v := get(local.Reported, k); v != nil && up.reported[k] == nil {
			up.reported[k] = v
		}
	}
	return down, up
}

func keys(ms ...map[string]Value) []string {
	all := make(map[string]bool)
	for _, m := range ms {
		for k := range m {
			all[k] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func get(m map[string]Value, k string) *Value {
	if v, ok := m[k]; ok {
		return &v
	}
	return nil
}

func same(a, b *Value) bool {
	return a == nil && b == nil || a != nil && b != nil && a.JSON == b.JSON
}

func mergeReported(k string, base, local, cloud Side, decide Decide, down, up *changes) {
	b, l, c := get(base.Reported, k), get(local.Reported, k), get(cloud.Reported, k)
	switch {
	case same(l, c):
	case same(l, b):
		down.reported[k] = c
	case same(c, b) || decide(Conflict{Key: k, Base: b, Device: l, Cloud: c}) == DeviceWins:
		up.reported[k] = l
	default:
		down.reported[k] = c
	}
}

func mergeDesired(k string, base, local, cloud Side, decide Decide, down, up *changes) {
	b, l, c := get(base.Desired, k), get(local.Desired, k), get(cloud.Desired, k)
	reported := get(local.Reported, k)
	touched := !same(reported, get(base.Reported, k)) // by the device, since both agreed
	switch {
	case same(l, c):
	case same(c, b):
		// Changed here only. That the device has cleared it is told; what was desired here the hub can't be told.
		if l == nil {
			up.desired[k] = nil
		}
	case c == nil:
		if same(l, b) {
			down.desired[k] = nil // the cloud has withdrawn it
		}
	case same(l, b) && !touched:
		down.desired[k] = c
	default:
		mine := l
		if same(l, b) || l == nil {
			mine = reported
		}
		if decide(Conflict{Key: k, Base: b, Device: mine, Cloud: c, Desired: true}) == DeviceWins {
			up.desired[k] = nil
		} else {
			down.desired[k] = c
		}
	}
}

// decide answers with the policy of a key: its own, or that of "*".
func (c *Config) decide(d Conflict) Policy {
	p, ok := c.Conflicts[d.Key]
	if !ok {
		p = c.Conflicts["*"]
	}
	switch {
	case c.Custom != nil && p == "":
		return c.Custom(d)
	case p == DeviceWins:
		return DeviceWins
	case p == Newest && (d.Device == nil || d.Cloud == nil):
		return CloudWins // of what was deleted nobody knows when
	case p == Newest && d.Device.At > d.Cloud.At:
		return DeviceWins
	}
	return CloudWins
}
