// Package apitype holds the objects of the Hawser API and the server interface that cloud/api implements.
//
// Everything in it is generated from cloud/api/openapi.yaml: change the document and run "make generate" (or
// "go generate ./cloud/apitype ./cloud/apiclient"). Free-form JSON (a shadow's state, a command's input) is kept as
// json.RawMessage, so that numbers pass through exactly as they were written.
package apitype

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config generate.yaml ../api/openapi.yaml
