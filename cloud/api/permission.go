package api

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/cloud/account"
)

// operation is what the document says about who may call an operation.
type operation struct {
	id string
	// open needs no caller: the document itself, or a login.
	open bool
	// need is what the caller must have; 0 is an operation that concerns the caller alone.
	need account.Permission
}

// self is the x-permission of an operation that every caller has, because it concerns nobody else.
const self = "self"

// operations reads what every operation of an OpenAPI document needs, by "METHOD /path". An operation that does not
// say it, or says what nobody knows, is an error: what is forgotten must not be open.
func operations(doc []byte) (map[string]operation, error) {
	var d struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(doc, &d); err != nil {
		return nil, fmt.Errorf("api: read the OpenAPI document: %w", err)
	}
	all := make(map[string]operation)
	for path, methods := range d.Paths {
		for method, node := range methods {
			if method == "parameters" {
				continue
			}
			route := strings.ToUpper(method) + " " + path
			op, err := operationOf(&node)
			if err != nil {
				return nil, fmt.Errorf("api: %s: %w", route, err)
			}
			all[route] = op
		}
	}
	return all, nil
}

func operationOf(node *yaml.Node) (operation, error) {
	var o struct {
		ID         string                 `yaml:"operationId"`
		Permission string                 `yaml:"x-permission"`
		Security   *[]map[string][]string `yaml:"security"`
	}
	if err := node.Decode(&o); err != nil {
		return operation{}, err
	}
	op := operation{id: o.ID, open: o.Security != nil && len(*o.Security) == 0}
	switch {
	case op.open && o.Permission != "":
		return op, errors.New("x-permission on an operation without a caller")
	case op.open || o.Permission == self:
		return op, nil
	case o.Permission == "":
		return op, errors.New("x-permission is missing")
	}
	var ok bool
	if op.need, ok = account.ParsePermission(o.Permission); !ok {
		return op, fmt.Errorf("x-permission: there is no permission %q", o.Permission)
	}
	return op, nil
}
