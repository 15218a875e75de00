package rulesql

import "math/bits"

// Fault is a kind of what can go wrong with a message that a program is run on.
type Fault uint8

// The kinds. FaultMissing, FaultZero and FaultArgument do not end an evaluation: the value is missing or null. The others do, with an
// *EvalError, and the message does not match then.
const (
	FaultMissing  Fault = iota // a field that the message has not got was computed or compared with
	FaultZero                  // division by zero
	FaultArgument              // an argument of the right type that a function can make nothing of, such as a date that is none
	FaultType                  // an operation on a value that it is not defined for
	FaultLimit                 // more work or output than a rule may cause
	FaultOwner                 // a shadow or property could not be read, or a filter failed
	faultKinds
)

// String returns the kind as counters name it.
func (f Fault) String() string {
	return [...]string{"missing_field", "division_by_zero", "bad_argument", "type_clash", "limit", "unavailable"}[f]
}

// EvalError is a fault that ended an evaluation.
type EvalError struct {
	Kind   Fault
	Expr   string // the expression, as it prints
	Reason string
}

func (e *EvalError) Error() string { return "evaluate " + e.Expr + ": " + e.Reason }

// faults keeps the first fault of each kind. Nothing is printed before somebody asks.
type faults struct {
	seen uint8 // bits by kind
	list [faultKinds]struct {
		x      Expr
		reason string
	}
}

// maxExpr is how much of an expression a fault shows.
const maxExpr = 300

func short(x Expr) string {
	s := x.String()
	if len(s) <= maxExpr {
		return s
	}
	i := maxExpr
	for i > 0 && s[i]&0xC0 == 0x80 { // not within a character
		i--
	}
	return s[:i] + "…"
}

// note keeps a fault that does not end the evaluation.
func (e *Env) note(f Fault, x Expr, reason string) {
	if bit := uint8(1) << f; e.faults.seen&bit == 0 {
		e.faults.seen |= bit
		e.faults.list[f].x, e.faults.list[f].reason = x, reason
	}
}

// fail keeps a fault that ends the evaluation.
func (e *Env) fail(f Fault, x Expr, reason string) val {
	e.note(f, x, reason)
	if e.err == nil {
		e.err = &EvalError{Kind: f, Expr: short(x), Reason: reason}
	}
	return val{}
}

// Faults calls each for the kinds of faults since the last Match began; text explains the first of the kind.
func (e *Env) Faults(each func(f Fault, text func() string)) {
	for seen := e.faults.seen; seen != 0; seen &= seen - 1 {
		f := Fault(bits.TrailingZeros8(seen))
		each(f, func() string { return short(e.faults.list[f].x) + ": " + e.faults.list[f].reason })
	}
}

// Faulty tells whether Faults has any.
func (e *Env) Faulty() bool { return e.faults.seen != 0 }
