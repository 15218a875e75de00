// Package tsl reads and writes thing models in TSL, the JSON notation that several IoT platforms share: properties, events
// and services with dataType and specs.
//
// It promises that what one of the two notations cannot express is reported as a thing.Loss, never dropped in silence, and
// that a definition which is exported and imported again is the same but for the reported losses. The entries that TSL
// derives from the properties (the event post, the services set and get) are written, and skipped when read.
package tsl

import (
	"fmt"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// Limits of a document.
var limits = codec.Limits{Size: 4 << 20, Depth: 40, Count: 400_000}

// types maps the names of scalar types, here first.
var types = [...][2]string{
	{string(thing.Int32), "int"}, {string(thing.Float32), "float"}, {string(thing.Float64), "double"}, {string(thing.Bool), "bool"},
	{string(thing.Enum), "enum"}, {string(thing.String), "text"}, {string(thing.Date), "date"}, {string(thing.Array), "array"},
	{string(thing.Struct), "struct"},
}

// severities maps the types of events, here first.
var severities = [...][2]string{{thing.EventNotify, "info"}, {thing.EventWarning, "alert"}, {thing.EventError, "error"}}

// The methods of the entries that are derived from the properties.
const (
	methodPost = "thing.event.property.post"
	methodSet  = "thing.service.property.set"
	methodGet  = "thing.service.property.get"
)

func translate(table [][2]string, from, to int, name string) (string, bool) {
	for _, pair := range table {
		if pair[from] == name {
			return pair[to], true
		}
	}
	return "", false
}

// Import reads a TSL document. The error says that it is none, or that what it defines is no valid thing model.
func Import(b []byte) (*thing.Template, thing.Losses, error) {
	doc, err := codec.DecodeAs(codec.JSON, b, limits)
	if err != nil {
		return nil, nil, fmt.Errorf("tsl: %w", err)
	}
	defer doc.Release()
	root := doc.Root()
	if root.Kind() != codec.Object || root.Get("properties").Kind() != codec.Array && root.Get("services").Kind() != codec.Array &&
		root.Get("events").Kind() != codec.Array {
		return nil, nil, fmt.Errorf("tsl: the document has none of the lists properties, events and services")
	}
	r := &reader{}
	t := r.document(root)
	if err := t.Validate(); err != nil {
		return nil, r.losses, err
	}
	return t, r.losses, nil
}
