package api

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/account"
)

func TestOperationsOfTheDocument(t *testing.T) {
	ops, err := operations(document)
	if err != nil {
		t.Fatal(err)
	}
	for route, want := range map[string]operation{
		"GET /openapi.yaml":              {id: "getOpenAPI", open: true},
		"POST /v1/login":                 {id: "login", open: true, audited: true},
		"GET /v1/me":                     {id: "getMe"},
		"GET /v1/products":               {id: "listProducts", need: account.ProductRead, filtered: true},
		"GET /v1/events":                 {id: "streamEvents", need: account.DeviceRead, filtered: true, long: true},
		"POST /v1/products":              {id: "createProduct", need: account.ProductWrite, audited: true, made: "productSN"},
		"POST /v1/projects":              {id: "createProject", need: account.ProjectWrite, hub: true, audited: true, made: "projectID"},
		"PUT /v1/rules/{ruleID}":         {id: "updateRule", need: account.RuleWrite, audited: true, object: "GET /v1/rules/{ruleID}"},
		"POST /v1/rules/{ruleID}/enable": {id: "enableRule", need: account.RuleWrite, audited: true, object: "GET /v1/rules/{ruleID}"},
		"POST /v1/products/{productSN}/devices/{deviceSN}/commands": {id: "callCommand", need: account.DeviceControl, audited: true, made: "requestID"},
		"DELETE /v1/api-keys/{keyID}":                               {id: "deleteAPIKey", need: account.KeyWrite, audited: true, object: "GET /v1/api-keys/{keyID}"},
	} {
		got := ops[route]
		if got.json, got.body = false, nil; got != want {
			t.Errorf("%s: %+v, want %+v", route, got, want)
		}
	}
	if _, err := New(DefaultConfig(), Services{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("New: %v", err)
	}
}

// What the document forgets must not be open.
func TestOperationsRefuse(t *testing.T) {
	tests := []struct{ name, op, want string }{
		{"missing", "operationId: a", "GET /x: x-permission is missing"},
		{"unknown", "x-permission: device.eat", `there is no permission "device.eat"`},
		{"a list", "x-permission: [device.read]", "cannot unmarshal"},
		{"without a caller", "{security: [], x-permission: device.read}", "x-permission on an operation without a caller"},
		{"scope", "x-permission: device.read, x-scope: galaxy", `there is no scope "galaxy"`},
		{"self on the hub", "x-permission: self, x-scope: hub", `there is no permission "self"`},
		{"products", "x-permission: device.read, x-products: all", `"all" means nothing`},
		{"another security", "security: [{bearer: []}]", "x-permission is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := operations([]byte("paths:\n  /x:\n    get: " + indent(tt.op)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := operations([]byte("paths: 7")); err == nil {
		t.Error("a document that is none is taken")
	}
}

func indent(op string) string {
	if strings.HasPrefix(op, "{") {
		return op
	}
	return "{" + op + "}"
}
