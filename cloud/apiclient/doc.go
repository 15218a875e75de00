// Package apiclient is the Go client of the Hawser API.
//
// It is generated from cloud/api/openapi.yaml and speaks with apitype's objects. Connect adds what every caller wants:
// the API key on each request. Answers other than 2xx are left to the caller; hawserctl shows how
// they become errors.
package apiclient

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config generate.yaml ../api/openapi.yaml
