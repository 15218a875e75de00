// Package rulesql is the language of rules: SELECT fields FROM topic filters WHERE condition, over one message.
//
// Parse makes a Query, the syntax tree, whose String parses back to the same; Compile makes of it a Program of closures, which
// decides and computes without allocating for a message that does not match. A Program never changes and may be shared;
// an Env belongs to one goroutine at a time. The package promises that an absent field is never an error: MISSING is a value
// of its own, a comparison with it is unknown, and a condition that is unknown does not match. It leaves topic matching, the state
// of devices, actions and counters to its callers. Rules here have no state: windows and joins belong behind the outbox.
//
// # Values
//
// A value is missing, null, a bool, an integer (64 bits), a float, a string, or an array or object of the payload. Operands of
// different types are converted upward: bool → integer → float → string. An integer result that does not fit becomes a
// float, and so does a quotient that is not whole; division by zero gives null. + with a string joins texts. A comparison
// with missing, null, an array or an object is unknown; NOT, AND and OR treat unknown as SQL does. IS NULL is true for null and for
// missing, IS MISSING for missing only. A field that is missing is left out of the result.
package rulesql

import (
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Limits of a query.
const (
	MaxQuery   = 16 << 10 // bytes
	MaxNesting = 64       // levels of parentheses, arguments and operators within each other
	MaxFields  = 200      // of SELECT
	MaxFilters = 50       // of FROM
)

// Env is one message as rules see it. It may be used for many programs, one after the other.
type Env struct {
	Device    ident.Device
	Topic     string // with its leading slash
	MessageID message.ID
	QoS       byte
	Time      time.Time   // when the rule fires
	Payload   codec.Value // decoded; Missing if it is not JSON or CBOR
	Raw       []byte      // as it came

	err error // the first fault of the evaluation under way
}

// EvalError is a fault of a message, not of the program: an operation on a value that it is not defined for.
type EvalError struct {
	Expr   string // the expression, as it prints
	Reason string
}

func (e *EvalError) Error() string { return "evaluate " + e.Expr + ": " + e.Reason }

func (e *Env) fail(x Expr, reason string) val {
	if e.err == nil {
		e.err = &EvalError{Expr: x.String(), Reason: reason}
	}
	return val{}
}
