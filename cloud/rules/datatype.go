package rules

import (
	"fmt"
	"strings"

	"github.com/hawser-iot/hawser/protocol/rulesql"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// DataType is what the messages of a rule are.
type DataType string

// The data types.
const (
	JSON   DataType = "json"   // JSON or CBOR: what is neither is dropped and counted
	Binary DataType = "binary" // bytes, which pass through as they came
)

// binaryKinds are the kinds of actions that take bytes.
var binaryKinds = map[string]bool{"kafka": true, "republish": true, "http": true}

// validateType checks what a data type demands of a rule beside its query.
func (r *Rule) validateType() error {
	switch r.DataType {
	case JSON:
		return nil
	case Binary:
	default:
		return &ErrInvalid{Field: "dataType", Reason: fmt.Sprintf("%q is neither json nor binary", r.DataType)}
	}
	for i, a := range r.Actions {
		if !binaryKinds[a.Kind] {
			return &ErrInvalid{Field: fmt.Sprintf("actions[%d].kind", i), Reason: fmt.Sprintf("%s takes no binary messages; kafka, republish and http do", a.Kind)}
		}
	}
	return nil
}

// program parses and compiles the query of a rule.
func (r *Rules) program(rule *Rule) (*rulesql.Program, error) {
	q, err := rulesql.Parse(rule.SQL, rule.Dialect)
	var p *rulesql.Program
	if err == nil {
		p, err = rulesql.Compile(q, rulesql.Options{Binary: rule.DataType == Binary, Owner: r.owner})
	}
	if err != nil {
		field := "sql"
		if rule.Dialect != rulesql.Stock && rule.Dialect != rulesql.Full {
			field = "dialect"
		}
		return nil, &ErrInvalid{Field: field, Reason: err.Error(), Err: err}
	}
	if rule.DataType != Binary {
		return p, nil
	}
	for _, f := range p.Filters() {
		if !customOnly(f) {
			return nil, &ErrInvalid{Field: "sql", Reason: fmt.Sprintf("topic filter %s can match topics of the system, whose messages are JSON: a rule for binary messages has custom topics, like /product/+/data", f)}
		}
	}
	return p, nil
}

// customOnly tells whether every topic that a filter matches is a custom one: the system's begin with $system.
func customOnly(filter string) bool {
	levels := strings.Split(filter, "/")
	return len(levels) > 1 && levels[0] == "" && !strings.HasPrefix(levels[1], "$") && levels[1] != "+" && levels[1] != "#" && topic.ValidFilter(filter) == nil
}
