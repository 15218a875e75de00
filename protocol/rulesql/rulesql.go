// Package rulesql is the language of rules: SELECT fields FROM topic filters WHERE condition, over one message.
//
// Parse makes a Query, the syntax tree, whose String parses back to the same; Compile makes of it a Program of closures, which
// decides and computes without allocating for a message that does not match. A Program never changes and may be shared;
// an Env belongs to one goroutine at a time. The package promises that an absent field is never an error: missing is a value
// of its own, a comparison with it is unknown, and a condition that is unknown does not match. Whatever the query and the
// message, an evaluation ends after a bounded number of steps and bytes (see the limits). It leaves topic matching, the state of
// devices, actions and counters to its callers. Rules here have no state: windows and joins belong behind the outbox, and the words
// GROUP, HAVING, WINDOW, ORDER and LIMIT are kept free for them.
//
// # Dialects
//
// Stock is the language that others speak; Full is ours on top of it. What Full has more is refused in Stock with a hint.
//
// # Values
//
// A value is missing, null, a bool, an integer (64 bits), a float, a string, or an array or object. Operands of
// different types are converted upward: bool → integer → float → string. An integer result that does not fit becomes a
// float, and in Full so does a quotient that is not whole; division by zero gives null. + with a string joins texts. A comparison
// with missing, null, an array or an object is unknown; NOT, AND and OR treat unknown as SQL does. IS NULL is true for null and for
// missing, IS MISSING for missing only. A field that is missing is left out of the result. docs/rules.md is the whole of it.
package rulesql

import (
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Dialect is a version of the language.
type Dialect int

// The dialects. A rule keeps the one that it was written in, so that later ones may change what words mean.
const (
	Stock Dialect = 1 // as rules elsewhere are written
	Full  Dialect = 2
)

// Limits of a query.
const (
	MaxQuery   = 16 << 10 // bytes
	MaxNesting = 64       // levels of parentheses, arguments and operators within each other
	MaxFields  = 200      // of a SELECT
	MaxFilters = 50       // of FROM
	MaxScopes  = 8        // FOREACH and SELECTs over arrays within each other
	MaxPattern = 512      // bytes of a regular expression or of what LIKE compares with
)

// Limits of an evaluation.
const (
	MaxSteps   = 1 << 18 // elements visited, and 16 bytes of text that a function reads or makes, for each message
	MaxText    = 1 << 20 // bytes of one text
	MaxItems   = 20_000  // elements of an array that is made
	MaxMembers = 200     // of an object that is made
	MaxRows    = 1000    // results that FOREACH makes of one message
	MaxResult  = 1 << 20 // bytes of all results of one message
)

// Env is one message as rules see it. It may be used for many programs, one after the other.
type Env struct {
	Device    ident.Device
	Topic     string // with its leading slash
	MessageID message.ID
	QoS       byte
	Time      time.Time   // when the message was taken, by the hub or by the gateway that it waited at
	Replayed  bool        // it waited at a gateway without a connection
	Payload   codec.Value // decoded; Missing if it is not JSON or CBOR
	Raw       []byte      // as it came

	vars   [MaxScopes]item // the elements that FOREACH and SELECTs over arrays are at
	steps  int             // left to this evaluation
	err    error           // the first fault that ended the evaluation under way
	faults faults
	shadow *val // get_shadow's document, once it was asked for
}

// item is an element of an array and its position.
type item struct {
	value val
	at    int64
}

// begin is called before an evaluation.
func (e *Env) begin() {
	e.steps, e.err = MaxSteps, nil
}

// spend takes n steps; false means that there are none left and the evaluation is to end.
func (e *Env) spend(x Expr, n int) bool {
	if e.steps -= n; e.steps >= 0 {
		return true
	}
	e.fail(FaultLimit, x, "the message takes more work than a rule may cause")
	return false
}
