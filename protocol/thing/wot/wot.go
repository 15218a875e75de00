// Package wot reads and writes thing models as W3C Web of Things descriptions (TD 1.1).
//
// A product is a kind of thing, so what Export writes is a Thing Model: no addresses, no security. Import takes Thing Models and
// Thing Descriptions. What the vocabulary of the W3C has no word for (that a number is a float32, a bool's labels, the
// severity of an event) is written under the prefix "hawser", so that a definition which is exported and imported again is the
// same. It promises that what cannot be expressed is reported as a thing.Loss, never dropped in silence.
package wot

import (
	"fmt"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// Contexts of a document.
const (
	contextTD  = "https://www.w3.org/2022/wot/td/v1.1"
	contextOwn = "urn:hawser:thing-model:1#"
	typeModel  = "tm:ThingModel"
)

// Terms of our own.
const (
	ownType     = "hawser:type"     // of a data schema: the type's name here
	ownLabels   = "hawser:labels"   // of a bool
	ownID       = "hawser:id"       // of an interaction: PropertyID, EventID, CommandID
	ownSeverity = "hawser:severity" // of an event
)

// Limits of a document.
var limits = codec.Limits{Size: 4 << 20, Depth: 60, Count: 400_000}

// Import reads a Thing Model or a Thing Description. The error says that it is none, or that what it defines is no valid
// thing model here.
func Import(b []byte) (*thing.Template, thing.Losses, error) {
	doc, err := codec.DecodeAs(codec.JSON, b, limits)
	if err != nil {
		return nil, nil, fmt.Errorf("wot: %w", err)
	}
	defer doc.Release()
	root := doc.Root()
	if !described(root.Get("@context")) {
		return nil, nil, fmt.Errorf("wot: @context does not name %s or an earlier version", contextTD)
	}
	r := &reader{}
	t := r.document(root)
	if err := t.Validate(); err != nil {
		return nil, r.losses, err
	}
	return t, r.losses, nil
}

// described tells whether one of the contexts is that of a Thing Description.
func described(v codec.Value) bool {
	is := func(v codec.Value) bool {
		s, _ := v.Str()
		return strings.HasPrefix(s, "https://www.w3.org/") && strings.Contains(s, "/td/") || strings.HasPrefix(s, "https://www.w3.org/ns/td")
	}
	found := is(v)
	v.Elems(func(_ int, e codec.Value) bool {
		found = found || is(e)
		return !found
	})
	return found
}
