// Package shadowdoc is the device shadow as pure functions: what a device's request and an application's wish make of
// a document, and every form in which the document and its messages are written.
//
// A Document never changes. Device and Desire take one and return an Outcome with the next one, so that a caller stores
// it first and then lets it be seen; called with the same input they return the same, which is what lets hub, agent and
// test devices share them. The package promises the shadow protocol of stock devices to the byte: key order, compact
// form, the sizes of small receive buffers. It leaves clocks, storage, permissions and topics to its callers.
//
// By default a key is flat: a reported value replaces the old one whole, and the key has one Timestamp. A merging update
// (Options.Merge, or "Merge":true in the request) follows RFC 7396 within each key, and each leaf has its own Timestamp.
// In both a reported null deletes the key.
package shadowdoc

import (
	"math"
	"slices"
	"strings"
)

// Limits of a document unless Options say otherwise.
const (
	DefaultMaxSize  = 32 << 10 // bytes of the document as AppendDocument writes it
	DefaultMaxDepth = 8        // levels of State.Reported and of State.Desired, that object itself included
)

// Document is a shadow: what a device reported, what applications desire of it, and when each key was set.
type Document struct {
	// Timestamp is the Unix second of the last change; 0 before the first.
	Timestamp int64
	// Version counts changes as devices see it: from 0, to 0 again after 2147483647, and to 0 when a device asks so.
	Version int32
	// Revision counts changes and is never reset; devices do not see it.
	Revision int64

	reported, desired section
}

// New returns an empty document, version and revision 0.
func New() *Document { return &Document{} }

// Reported returns the reported value of a key as JSON.
func (d *Document) Reported(key string) (json string, ok bool) { return d.reported.value(key) }

// Desired returns the desired value of a key as JSON.
func (d *Document) Desired(key string) (json string, ok bool) { return d.desired.value(key) }

// HasDesired tells whether any desired key is there that the device has not cleared.
func (d *Document) HasDesired() bool { return len(d.desired) > 0 }

// Options are what a product chooses for its shadows.
type Options struct {
	Merge    bool // merge nested objects key by key unless the request says "Merge":false
	MaxSize  int  // bytes; 0 stands for DefaultMaxSize
	MaxDepth int  // levels; 0 stands for DefaultMaxDepth
}

func (o Options) withDefaults() Options {
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.MaxDepth <= 0 {
		o.MaxDepth = DefaultMaxDepth
	}
	return o
}

// next returns the document after a change at the Unix second now.
func (d *Document) next(reported, desired section, now int64, reset bool) *Document {
	n := &Document{Timestamp: now, Revision: d.Revision + 1, reported: reported, desired: desired}
	if !reset && d.Version != math.MaxInt32 {
		n.Version = d.Version + 1
	}
	return n
}

// entry is one key. All its strings are JSON text except key.
type entry struct {
	key   string
	value string // canonical: compact, keys ascending, no exponents
	meta  string // the metadata of a merged object, a Timestamp a leaf; empty when stamp tells all
	stamp int64  // Unix second of the last change of the key
}

// section is Reported or Desired: ascending by key, and shared between documents, hence never written to.
type section []entry

func (s section) find(key string) (int, bool) {
	return slices.BinarySearchFunc(s, key, func(e entry, k string) int { return strings.Compare(e.key, k) })
}

func (s section) value(key string) (string, bool) {
	i, ok := s.find(key)
	if !ok {
		return "", false
	}
	return s[i].value, true
}

// draft is a section under change: it copies the original before the first write.
type draft struct {
	section
	room    int // how many keys the change may add
	changed bool
}

func (d *draft) own() {
	if !d.changed {
		d.section = append(make(section, 0, len(d.section)+d.room), d.section...)
		d.changed = true
	}
}

func (d *draft) set(e entry) {
	d.own()
	i, ok := d.find(e.key)
	if ok {
		d.section[i] = e
		return
	}
	d.section = slices.Insert(d.section, i, e)
}

func (d *draft) remove(key string) {
	if i, ok := d.find(key); ok {
		d.own()
		d.section = slices.Delete(d.section, i, i+1)
	}
}

func (d *draft) clear() {
	if len(d.section) > 0 {
		d.section, d.changed = nil, true
	}
}
