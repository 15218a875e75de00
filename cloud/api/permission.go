package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/cloud/account"
)

// operation is what the document says about who may call an operation, and how its change is told in the audit log.
type operation struct {
	id string
	// open needs no caller: the document itself, or a login.
	open bool
	// need is what the caller must have; 0 is an operation that concerns the caller alone.
	need account.Permission
	// hub wants need on the hub as a whole, not in a project.
	hub bool
	// filtered is a list that leaves out what is of products that the caller does not have.
	filtered bool
	// long is an answer that goes on: it ends when the caller's right does.
	long bool
	// upload takes a file, which is stored as it comes in.
	upload bool
	// download gives a file, which may be large.
	download bool
	// json is an answer that is JSON.
	json bool
	// body is what a JSON body must and may have; nil is anything.
	body *shape
	// audited is a change; object is the route that shows what it changes, "" when that is known only afterwards, and made the
	// name of the member of the answer that says what was made.
	audited      bool
	object, made string
	// owner is the route of the thing that object is a part of, and whose revision counts if object has none: a product's topics.
	owner string
}

// The values that stand in the document beside the permissions.
const (
	self     = "self"     // x-permission of an operation that every caller has, because it concerns nobody else
	scopeHub = "hub"      // x-scope
	filtered = "filtered" // x-products
)

// operations reads what every operation of an OpenAPI document needs, by "METHOD /path". An operation that does not
// say it, or says what nobody knows, is an error: what is forgotten must not be open.
func operations(doc []byte) (map[string]operation, error) {
	var (
		d struct {
			Paths map[string]map[string]yaml.Node
		}
		root yaml.Node
	)
	err := yaml.Unmarshal(doc, &root)
	if err == nil {
		err = root.Decode(&d)
	}
	if err != nil {
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
			op.body = docReader{root.Content[0]}.bodyOf(&node, methods["get"])
			all[route] = op
		}
	}
	for route, op := range all {
		all[route] = audited(route, op, all)
	}
	return all, nil
}

func operationOf(node *yaml.Node) (operation, error) {
	var o struct {
		ID         string                 `yaml:"operationId"`
		Permission string                 `yaml:"x-permission"`
		Scope      string                 `yaml:"x-scope"`
		Products   string                 `yaml:"x-products"`
		Security   *[]map[string][]string `yaml:"security"`
		Body       struct {
			Content map[string]yaml.Node `yaml:"content"`
		} `yaml:"requestBody"`
		Responses map[string]struct {
			Content map[string]yaml.Node `yaml:"content"`
		} `yaml:"responses"`
	}
	if err := node.Decode(&o); err != nil {
		return operation{}, err
	}
	op := operation{id: o.ID, open: o.Security != nil && len(*o.Security) == 0, hub: o.Scope == scopeHub, filtered: o.Products == filtered}
	_, op.long = o.Responses["200"].Content["text/event-stream"]
	_, op.json = o.Responses["200"].Content["application/json"]
	_, table := o.Body.Content["text/csv"]
	_, file := o.Body.Content["application/octet-stream"]
	op.upload = table || file
	_, op.download = o.Responses["200"].Content["application/octet-stream"]
	switch {
	case o.Scope != "" && !op.hub:
		return op, fmt.Errorf("x-scope: there is no scope %q", o.Scope)
	case o.Products != "" && !op.filtered:
		return op, fmt.Errorf("x-products: %q means nothing", o.Products)
	case op.open && o.Permission != "":
		return op, errors.New("x-permission on an operation without a caller")
	case op.open || o.Permission == self && !op.hub:
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

// audited finds out how an operation's change can be seen: in the thing at its own path, or in that of which it is a verb.
func audited(route string, op operation, all map[string]operation) operation {
	method, path, _ := strings.Cut(route, " ")
	parent := path[:max(strings.LastIndexByte(path, '/'), 0)]
	_, own := all["GET "+path]
	_, above := all["GET "+parent]
	op.audited = method != http.MethodGet && op.id != "beginOIDC" && op.id != "tryRule" && op.id != "planCampaign" || op.id == "finishOIDC"
	switch {
	case !op.audited || op.open:
	case own && method != http.MethodPost:
		op.object = "GET " + path
		if method == http.MethodPut && above && strings.HasSuffix(parent, "}") {
			op.owner = "GET " + parent
		}
	case !own && above && strings.HasSuffix(parent, "}"):
		op.object = "GET " + parent
	case own:
		for other := range all {
			if name, ok := strings.CutPrefix(other, "GET "+path+"/{"); ok && strings.IndexByte(name, '}') == len(name)-1 {
				op.made = strings.TrimSuffix(name, "}")
			}
		}
	}
	return op
}
