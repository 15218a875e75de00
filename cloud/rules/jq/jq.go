// Package jq runs jq filters for rules, on the way of a message, so that none can hold it up: whatever the filter and its input, a
// run ends after Limits.Steps and Limits.Time, and no value in it grows beyond Limits.Nodes and Limits.Bytes.
//
// The library that does the work has neither bound. Steps and time are counted where it asks whether its context has ended, which it
// does before each instruction. Sizes are held by the filter itself: New writes it anew with a check behind everything that makes a value larger
// than what it is made of, and refuses the few things that could not be checked there: assignment to positions in arrays, regular
// expressions (the rule language has its own), input, modules and what looks at the process.
package jq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/itchyny/gojq"
)

// Limits bound a filter and each of its runs.
type Limits struct {
	Source int // bytes of the filter
	Nodes  int // values within a value; an array of three numbers has four
	Bytes  int // text and keys within a value
	Steps  int // instructions
	Time   time.Duration
}

// DefaultLimits are those of a hub.
func DefaultLimits() Limits {
	return Limits{Source: 4 << 10, Nodes: 20_000, Bytes: 512 << 10, Steps: 200_000, Time: 50 * time.Millisecond}
}

// Errors of Run when a limit is reached.
var (
	ErrSteps = errors.New("the jq filter takes too many steps")
	ErrTime  = errors.New("the jq filter takes too long")
	ErrSize  = errors.New("the jq filter makes or gets a value that is too large")
)

// Filter is a compiled filter. It is safe for concurrent use.
type Filter struct {
	code   *gojq.Code
	limits Limits
}

// New compiles a filter.
func New(source string, l Limits) (*Filter, error) {
	if len(source) > l.Source {
		return nil, fmt.Errorf("it has %d bytes, at most %d are allowed", len(source), l.Source)
	}
	q, err := gojq.Parse(source)
	if err != nil {
		return nil, err
	}
	w := writer{defined: map[string]bool{}}
	w.query(q)
	if w.err != nil {
		return nil, w.err
	}
	check := func(v any, _ []any) any {
		if !l.fits(v) {
			return ErrSize
		}
		return v
	}
	code, err := gojq.Compile(q, gojq.WithFunction(checked, 0, 0, check), gojq.WithFunction(product, 2, 2, l.multiply))
	if err != nil {
		return nil, err
	}
	return &Filter{code: code, limits: l}, nil
}

// Run returns the filter's first output; ok is false when it has none. in and the output are nil, bool, int, float64, string, []any and
// map[string]any; int64 is taken too.
func (f *Filter) Run(in any) (out any, ok bool, err error) {
	if !f.limits.fits(in) {
		return nil, false, ErrSize
	}
	ctx := &meter{Context: context.Background(), steps: f.limits.Steps, end: time.Now().Add(f.limits.Time), ended: closed}
	defer func() {
		if r := recover(); r != nil { // a fault of the library must cost the rule its message, not the hub its life
			out, ok, err = nil, false, fmt.Errorf("the jq filter cannot be run: %v", r)
		}
	}()
	out, ok = f.code.RunWithContext(ctx, native(in)).Next()
	if failed, is := out.(error); is {
		return nil, false, failed
	}
	return out, ok, nil
}

// meter is a context that ends when the steps or the time are used up. The library asks for Done before each step.
type meter struct {
	context.Context
	steps int
	end   time.Time
	err   error
	ended chan struct{}
}

// closed is what Done returns at the end.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done counts a step.
func (m *meter) Done() <-chan struct{} {
	switch m.steps--; {
	case m.err != nil:
	case m.steps < 0:
		m.err = ErrSteps
	case m.steps%64 == 0 && time.Now().After(m.end):
		m.err = ErrTime
	default:
		return nil
	}
	return m.ended
}

// Err tells what was used up.
func (m *meter) Err() error { return m.err }

// native turns int64 into int, which the library wants.
func native(v any) any {
	switch v := v.(type) {
	case int64:
		return int(v)
	case []any:
		for i, e := range v {
			v[i] = native(e)
		}
	case map[string]any:
		for k, e := range v {
			v[k] = native(e)
		}
	}
	return v
}

// fits tells whether a value is within the limits. It looks at no more of it than they allow.
func (l Limits) fits(v any) bool {
	nodes, bytes := l.Nodes, l.Bytes
	return take(v, &nodes, &bytes)
}

func take(v any, nodes, bytes *int) bool {
	if *nodes--; *nodes < 0 {
		return false
	}
	switch v := v.(type) {
	case string:
		*bytes -= len(v)
	case []any:
		for _, e := range v {
			if !take(e, nodes, bytes) {
				return false
			}
		}
	case map[string]any:
		for k, e := range v {
			if *bytes -= len(k); !take(e, nodes, bytes) {
				return false
			}
		}
	}
	return *bytes >= 0
}
