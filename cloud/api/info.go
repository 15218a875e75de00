package api

import (
	"bytes"
	"context"

	"github.com/hawser-iot/hawser/cloud/apitype"
)

func (s *server) GetOpenAPI(context.Context, apitype.GetOpenAPIRequestObject) (apitype.GetOpenAPIResponseObject, error) {
	return apitype.GetOpenAPI200ApplicationYamlResponse{Body: bytes.NewReader(document), ContentLength: int64(len(document))}, nil
}

func (s *server) GetInfo(ctx context.Context, _ apitype.GetInfoRequestObject) (apitype.GetInfoResponseObject, error) {
	return apitype.GetInfo200JSONResponse(s.Info(ctx)), nil
}
